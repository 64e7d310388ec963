#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The first process of a light machine, from its initrd: this host's own root and the source tree
# (which may lie on another file system), read-only by virtiofs, each under a tmpfs that takes what
# is written; then agent.py, which waits for commands.
# vm_name, vm_tree (the path of the source tree) and vm_modules come from the kernel's command line.
# shellcheck disable=SC2154
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

stop() {
	echo "init: $*" >/dev/console
	poweroff -f
}

while read -r module; do
	insmod "/m/$module" || stop "no module $module"
done </m/order

mkdir -p /ro /rw /new
mount -t virtiofs -o ro root /ro || stop "no root"
mount -t tmpfs -o size=75% rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work new /new || stop "no overlay"

for at in proc sys dev; do
	mount --move "/$at" "/new/$at"
done
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts -o ptmxmode=666 pts /new/dev/pts
mount -t tmpfs shm /new/dev/shm
mount -t tmpfs run /new/run
# not what lies in the host's /tmp: sockets and locks of other people's daemons
mount -t tmpfs tmp /new/tmp
chmod 1777 /new/tmp
mkdir /new/run/lock /new/run/netns
mount -t bpf bpf /new/sys/fs/bpf
mount -t cgroup2 cgroup /new/sys/fs/cgroup
mount -t tracefs trace /new/sys/kernel/tracing
mkdir -p "/new$vm_tree" /tree-ro /rw/tree-upper /rw/tree-work
mount -t virtiofs -o ro tree /tree-ro || stop "no source tree"
mount -t overlay -o lowerdir=/tree-ro,upperdir=/rw/tree-upper,workdir=/rw/tree-work tree "/new$vm_tree" ||
	stop "no overlay for the source tree"
version=$(uname -r)
mkdir -p "/new/lib/modules/$version"
mount --bind "/new$vm_modules" "/new/lib/modules/$version" || stop "no modules"
hostname "$vm_name"
# a shell stays the first process: it reaps whom nobody waits for
cat >/new/run/first <<-FIRST
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
	export PYTHONDONTWRITEBYTECODE=1
	cd /
	ip link set lo up
	/usr/bin/python3 -IS "$vm_tree/tests/vm/agent.py" /dev/ttyS1
	echo o >/proc/sysrq-trigger
	sleep 60
FIRST
exec switch_root /new /bin/sh /run/first
