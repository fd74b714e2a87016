// The clients that Debian does not have. build.sh builds them; what they need is chosen by these versions alone
// (the lowest that all agree on), and checked by Go's checksum database.
module entrepot.test/programs

go 1.26.0

require (
	github.com/google/go-containerregistry v0.22.1
	github.com/moby/buildkit v0.29.0
	github.com/regclient/regclient v0.11.7
	helm.sh/helm/v3 v3.22.0
	oras.land/oras v1.3.1
)
