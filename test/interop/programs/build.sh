#!/usr/bin/env bash
# Builds the clients that Debian does not have, once, into a directory outside the tree; test/support/programs.ts looks
# for them there. Exit codes: 0 they are there, 3 there is no Go that could build them, anything else is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

shared=$here/../../support/go-build.sh
# shellcheck source=../../support/go-build.sh
. "$shared"
target=$(built_directory '' "$here/go.mod" "$here/registry-with-referrers/main.go" "$here/build.sh" "$shared")
packages=(
  ./registry-with-referrers
  github.com/google/go-containerregistry/cmd/crane
  github.com/regclient/regclient/cmd/regctl
  oras.land/oras/cmd/oras
  helm.sh/helm/v3/cmd/helm
  github.com/moby/buildkit/cmd/buildkitd
  github.com/moby/buildkit/cmd/buildctl
)

if [ -d "$target" ]; then
  echo "already built: $target"
  exit 0
fi
lock_builds
if [ -d "$target" ]; then exit 0; fi

work=$(mktemp -d "$go_cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
find_go "$work" || {
  code=$?
  echo 'and so no crane, regctl, oras, helm and BuildKit: their tests are skipped' >&2
  exit "$code"
}
cp -r "$here/go.mod" "$here/registry-with-referrers" "$work/"
cd "$work"

mkdir out
# -mod=mod: the versions in go.mod decide the rest, which need not be listed here. Built without optimisations, and with
# few collections of the compiler's garbage: that is a third less work, and they wait for the network anyway.
CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS= GOGC=400 "$go" build -mod=mod -trimpath -buildvcs=false \
  -gcflags='all=-N -l' -ldflags='-s -w' -o out/ "${packages[@]}"
mv out "$target"
echo "built: $target"
