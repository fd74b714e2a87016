#!/usr/bin/env bash
# Builds the clients that Debian does not have, once, into a directory outside the tree; test/support/programs.ts looks
# for them there. Exit codes: 0 they are there, 3 there is no Go that could build them, anything else is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# A change of a version or of this script is another directory, so nothing stale is ever used.
state=$(cat "$here/go.mod" "$here/registry-with-referrers/main.go" "$here/build.sh" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/entrepot-tools
target=$cache/$state
packages=(
  ./registry-with-referrers
  github.com/google/go-containerregistry/cmd/crane
  github.com/regclient/regclient/cmd/regctl
  oras.land/oras/cmd/oras
  helm.sh/helm/v3/cmd/helm
  github.com/moby/buildkit/cmd/buildkitd
  github.com/moby/buildkit/cmd/buildctl
)
# What go.mod asks for, at the least.
toolchain=go1.26.8

if [ -d "$target" ]; then
  echo "already built: $target"
  exit 0
fi
mkdir -p "$cache"
# Two at once would build everything twice.
exec 9>"$cache/lock"
flock 9
if [ -d "$target" ]; then exit 0; fi

go=$(PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin command -v go || true)
if [ -z "$go" ]; then
  echo 'there is no Go here, and so no crane, regctl, oras, helm and BuildKit: their tests are skipped' >&2
  exit 3
fi

work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$here/go.mod" "$here/registry-with-referrers" "$work/"
cd "$work"

# Debian's Go is too old, but it can fetch a newer one, as a module.
minor=$("$go" version | sed -nE 's/.* go1\.([0-9]+).*/\1/p')
if [ "${minor:-0}" -lt 26 ]; then
  module=golang.org/toolchain@v0.0.1-$toolchain.$("$go" env GOOS)-$("$go" env GOARCH)
  # Away from our go.mod, which an old Go cannot read.
  found=$(cd / && GO111MODULE=on GOTOOLCHAIN=local GOFLAGS= "$go" mod download -json "$module" | sed -nE 's/.*"Dir": "(.*)".*/\1/p') || true
  if [ -z "$found" ]; then
    echo "this Go is too old ($("$go" version)), and $toolchain cannot be had" >&2
    exit 3
  fi
  # Modules come read-only and not executable.
  cp -r "$found" toolchain
  chmod -R u+w toolchain
  chmod +x toolchain/bin/* toolchain/pkg/tool/*/*
  go=$work/toolchain/bin/go
  unset GOROOT
fi

mkdir out
# -mod=mod: the versions in go.mod decide the rest, which need not be listed here. Built without optimisations, and with
# few collections of the compiler's garbage: that is a third less work, and they wait for the network anyway.
CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS= GOGC=400 "$go" build -mod=mod -trimpath -buildvcs=false \
  -gcflags='all=-N -l' -ldflags='-s -w' -o out/ "${packages[@]}"
mv out "$target"
echo "built: $target"
