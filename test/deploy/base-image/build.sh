#!/usr/bin/env bash
# Makes the images that deploy/Dockerfile begins from, as root file systems in tars, once, into a directory outside the
# tree: there is no registry here to pull them from. Debian by debootstrap, Node.js as npm's packages have it. As root.
# Prints the directory. Exit codes: 0 they are there, 3 debootstrap or root is missing, anything else is a failure.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dockerfile=$here/../../../deploy/Dockerfile

setting() { sed -nE "s/^ARG $1=(.+)$/\1/p" "$dockerfile" | head -n 1; }
node_version=$(setting NODE_VERSION)
debian=$(setting DEBIAN_RELEASE)

# Another version is another directory, so nothing stale is ever used.
state=$(printf '%s %s ' "$node_version" "$debian" | cat - "$here/build.sh" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/entrepot-tools
target=$cache/base-$state
if [ -d "$target" ]; then
  echo "$target"
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! PATH=$PATH:/usr/sbin command -v debootstrap >/dev/null; then
  echo 'debootstrap and root are needed to make the base image' >&2
  exit 3
fi
mkdir -p "$cache"
# Two at once would make everything twice.
exec 9>"$cache/base.lock"
flock 9
if [ -d "$target" ]; then
  echo "$target"
  exit 0
fi

work=$(mktemp -d "$cache/base.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
export DEBIAN_FRONTEND=noninteractive

# What neither image needs, and what would tell of this machine.
pack() {
  tar --directory="$root" --create --file="$work/$1" --sort=name --numeric-owner \
    --exclude=./proc/* --exclude=./sys/* --exclude=./var/cache/apt/* --exclude=./var/lib/apt/lists/* \
    --exclude=./var/log/* --exclude=./usr/share/doc/* --exclude=./usr/share/man/* --exclude=./usr/share/locale/* \
    --exclude=./etc/resolv.conf --exclude=./etc/hostname .
}

{
  # Side by side: one waits for Debian's packages, the other for npm's.
  PATH=$PATH:/usr/sbin debootstrap --variant=minbase "$debian" "$root" &
  bootstrap=$!
  npm install --prefix "$work/npm" --no-save --ignore-scripts --no-audit --no-fund \
    "node-linux-$(node -p process.arch)@$node_version" npm@11
  wait "$bootstrap"

  modules=$work/npm/node_modules
  cp -a "$modules"/node-linux-*/bin "$modules"/node-linux-*/include "$root/usr/local/"
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -a "$modules/npm" "$root/usr/local/lib/node_modules/"
  for name in npm npx; do ln -s "../lib/node_modules/npm/bin/$name-cli.js" "$root/usr/local/bin/$name"; done
  chown -R 0:0 "$root/usr/local"
  pack slim.tar

  chroot "$root" apt-get update -q
  chroot "$root" apt-get install -q -y --no-install-recommends python3 make g++
  pack toolchain.tar
} >&2

rm -rf "$root" "$work/npm"
chmod 755 "$work"
mv "$work" "$target"
# Those of other versions, nearly a gigabyte each.
find "$cache" -maxdepth 1 -name 'base-*' ! -path "$target" -exec rm -rf {} +
echo "$target"
