# Sourced by the scripts that build programs which Debian does not have. What they build is kept outside the tree, in a
# directory for each state of what it is built from: a change of a version or of a script is another directory, so that
# nothing stale is ever used. test/support/built-directory.ts computes the same name.

# What the programs ask for, at the least.
go_minor=26
go_toolchain=go1.26.8
go_cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/entrepot-tools

# built_directory PREFIX FILE...: where it is, or will be.
built_directory() {
  local prefix=$1
  shift
  printf '%s/%s%s\n' "$go_cache" "$prefix" "$(cat "$@" | sha256sum | cut -c1-16)"
}

# Two builds at once would do everything twice.
lock_builds() {
  mkdir -p "$go_cache"
  exec 9>"$go_cache/lock"
  flock 9
}

# find_go DIRECTORY: sets $go to one that is new enough, fetched into DIRECTORY where need be; returns 3 when there is none.
find_go() {
  local directory=$1 minor module found
  go=$(PATH=$PATH:/usr/local/go/bin:/usr/lib/go/bin command -v go || true)
  if [ -z "$go" ]; then
    echo 'there is no Go here' >&2
    return 3
  fi
  minor=$("$go" version | sed -nE 's/.* go1\.([0-9]+).*/\1/p')
  if [ "${minor:-0}" -ge "$go_minor" ]; then return 0; fi
  # Debian's Go is too old, but it can fetch a newer one, as a module. Away from our go.mod, which an old Go cannot read.
  module=golang.org/toolchain@v0.0.1-$go_toolchain.$("$go" env GOOS)-$("$go" env GOARCH)
  found=$(cd / && GO111MODULE=on GOTOOLCHAIN=local GOFLAGS= "$go" mod download -json "$module" | sed -nE 's/.*"Dir": "(.*)".*/\1/p') || true
  if [ -z "$found" ]; then
    echo "this Go is too old ($("$go" version)), and $go_toolchain cannot be had" >&2
    return 3
  fi
  # Modules come read-only and not executable.
  cp -r "$found" "$directory/toolchain"
  chmod -R u+w "$directory/toolchain"
  chmod +x "$directory"/toolchain/bin/* "$directory"/toolchain/pkg/tool/*/*
  go=$directory/toolchain/bin/go
  unset GOROOT
}
