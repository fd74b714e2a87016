#!/usr/bin/env bash
# boot-systemd.sh DIRECTORY PROGRAM NODE: systemd as the first process of namespaces of its own, on this machine's root
# file system, of which it changes only what is laid over it in DIRECTORY. PROGRAM is installed at /opt/entrepot, NODE at
# /usr/bin/node. Ends when it is killed.
set -euo pipefail
directory=$1 program=$2 node=$(readlink -f "$3")
root=$directory/root

mount --make-rprivate /
mkdir "$directory/upper" "$directory/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$directory/upper,workdir=$directory/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
for name in run dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$name"; done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

mkdir -p "$root/opt/entrepot/node_modules/entrepot"
mount --bind "$program" "$root/opt/entrepot/node_modules/entrepot"
touch "$root/usr/bin/node"
if [ "$node" != /usr/bin/node ]; then mount --bind "$node" "$root/usr/bin/node"; fi
cat >"$root/etc/systemd/system/entrepot-test.target" <<'UNIT'
[Unit]
Description=Nothing
DefaultDependencies=no
UNIT

mkdir "$root/run/before"
cd "$root"
pivot_root . run/before
umount -l /run/before
exec env -i container=entrepot PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=entrepot-test.target --show-status=no
