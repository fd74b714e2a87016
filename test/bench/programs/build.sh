#!/usr/bin/env bash
# Builds the peers of the bench that Debian does not have, each once, into a directory outside the tree, where
# test/bench/peers/built-program.ts looks for them. What cannot be had is named, and the others are built. Exit codes:
# 0 all are there, 3 there is no Go that could build them, 1 something failed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shared=$here/../../support/go-build.sh
# shellcheck source=../../support/go-build.sh
. "$shared"

# Name, module, package, build tags. Of several with one name the first that can be had: some module proxies have what is
# on GitHub alone, and of zot that is an old one.
programs=(
  'registry github.com/distribution/distribution/v3@v3.1.2 ./cmd/registry'
  'zot zotregistry.dev/zot/v2@v2.1.21 ./cmd/zot sync'
  'zot github.com/project-zot/zot@v1.4.3 ./cmd/zot sync,containers_image_openpgp'
)
target=$(built_directory bench- "$here/build.sh" "$shared")

is_missing() { [ ! -x "$target/${1%% *}" ]; }
missing() {
  for program in "${programs[@]}"; do
    if is_missing "$program"; then echo "$program"; fi
  done
}

if [ -z "$(missing)" ]; then
  echo "already built: $target"
  exit 0
fi
lock_builds
work=$(mktemp -d "$go_cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
find_go "$work" || exit $?
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=

# build NAME MODULE PACKAGE TAGS: as its own release is built, by its own go.mod and go.sum, optimised.
build() {
  local name=$1 module=$2 package=$3 tags=${4:-} said source
  if ! said=$(cd "$work" && "$go" mod download -json "$module"); then
    printf '%s cannot be had: %s\n' "$name" "$(sed -nE 's/.*"Error": "(.*)",?/\1/p' <<<"$said")" >&2
    return 1
  fi
  source=$(sed -nE 's/.*"Dir": "(.*)".*/\1/p' <<<"$said")
  # Modules come read-only.
  cp -r "$source" "$work/$name"
  chmod -R u+w "$work/$name"
  (cd "$work/$name" && "$go" build -trimpath -buildvcs=false -tags "$tags" -ldflags='-s -w' -o "$work/built" "$package") || return 1
  mkdir -p "$target"
  printf '%s\n' "$module" >"$target/$name.version"
  mv "$work/built" "$target/$name"
  echo "built: $target/$name"
}

for program in "${programs[@]}"; do
  read -r -a parts <<<"$program"
  if is_missing "$program"; then build "${parts[@]}" || rm -rf "${work:?}/${parts[0]}"; fi
done
[ -z "$(missing)" ]
