#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# build-box.sh [6.1|6.12] - makes the Vagrant box sluice/debian12-KERNEL for libvirt, from Debian
# packages alone: no box is downloaded.
#
#   mmdebstrap ─► a Debian 12 tree with what Sluice runs on ─► ext4 in a raw disk, extlinux ─► qcow2 ─► .box
#
# The box has systemd, sshd, rsync, a user vagrant who may sudo, and the packages that provision.sh
# would install, so its machines need no way to the internet. It trusts one ssh key, made here and
# kept beside it: a box is for the machine that built it. All of it lies in .cache/vm/vagrant.
# Needs root (for the file systems' owners and a loop device); `tools/deps.sh vagrant` installs the rest.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
kernel=${1:-6.1}
disk_mb=3072
cache=$PWD/.cache/vm/vagrant
box=$cache/debian12-$kernel.box
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "build-box: $*"; }
die() { echo "build-box: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root, for the owners of what lies in the disk"
for tool in mmdebstrap extlinux mkfs.ext4 sfdisk qemu-img ssh-keygen losetup; do
	command -v "$tool" >/dev/null || die "no $tool here: tools/deps.sh vagrant installs what is missing"
done
mkdir -p "$cache"
[ -e "$cache/key" ] || ssh-keygen -q -t ed25519 -N '' -C sluice-vm -f "$cache/key"

# Whoever changes this script or the list of packages gets a new box.
recipe=$(cat vagrant/build-box.sh vagrant/provision.sh "$cache/key.pub" | sha256sum)
if [ -e "$box" ] && [ "$(cat "$box.recipe" 2>/dev/null)" = "$recipe" ]; then
	say "$box is there already"
	exit 0
fi

work=$(mktemp -d "$cache/build.XXXXXX")
loop=
finish() {
	mountpoint -q "$work/mnt" && umount "$work/mnt"
	[ -z "$loop" ] || losetup -d "$loop"
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# ---- the mirror that this system uses, by suites of our own ----------------------------------
mirrors=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
	sed -nE '/^[[:space:]]*(deb[[:space:]]|URIs:)/p' | grep -oE 'https?://[^] ]+' | sed 's,/$,,' || true)
main=$(grep -m1 -E '/debian$' <<<"$mirrors") || die "no Debian mirror in this system's apt sources"
security=$(grep -m1 -E '/debian-security$' <<<"$mirrors" || echo "$main-security")
{
	echo "deb [signed-by=$keyring] $main bookworm main"
	echo "deb [signed-by=$keyring] $security bookworm-security main"
	[ "$kernel" = 6.1 ] || echo "deb [signed-by=$keyring] $main bookworm-backports main"
} >"$work/sources"
case $kernel in
6.1)  image=linux-image-cloud-amd64 ;;
6.12) image=linux-image-cloud-amd64/bookworm-backports ;;
*)    die "kernels: 6.1 and 6.12" ;;
esac

# ---- the tree -----------------------------------------------------------------------------------
base="systemd systemd-sysv dbus udev openssh-server sudo rsync kmod procps initramfs-tools netbase less"
packages="$base $image $(vagrant/provision.sh --list)"
cat >"$work/hook" <<-'HOOK'
	#!/bin/sh
	# in the tree, before anything is packed: what makes a machine of it
	set -eu
	root=$1
	chroot "$root" useradd -m -s /bin/bash vagrant
	echo 'vagrant ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/vagrant"
	install -d -m 700 -o 1000 -g 1000 "$root/home/vagrant/.ssh"
	install -m 600 -o 1000 -g 1000 "$KEY" "$root/home/vagrant/.ssh/authorized_keys"
	printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n[DHCPv4]\nClientIdentifier=mac\n' >"$root/etc/systemd/network/10-eth0.network"
	printf '[Match]\nName=eth1\n[Link]\nUnmanaged=yes\n' >"$root/etc/systemd/network/20-data.network"
	chroot "$root" systemctl -q enable systemd-networkd ssh
	chroot "$root" systemctl -q mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer
	echo 'UseDNS no' >"$root/etc/ssh/sshd_config.d/sluice.conf"
	echo sluice >"$root/etc/hostname"
	printf '127.0.0.1 localhost sluice\n::1 localhost\n' >"$root/etc/hosts"
	echo '/dev/vda1 / ext4 noatime 0 1' >"$root/etc/fstab"
	: >"$root/etc/machine-id"
HOOK
cat >"$work/initramfs" <<-'HOOK'
	#!/bin/sh
	# before the kernel is unpacked: an initrd with what a virtual machine has, not all hardware
	mkdir -p "$1/etc/initramfs-tools/conf.d"
	printf 'MODULES=list\nCOMPRESS=zstd\n' >"$1/etc/initramfs-tools/conf.d/sluice"
	printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' >"$1/etc/initramfs-tools/modules"
HOOK
chmod +x "$work/hook" "$work/initramfs"
say "installing Debian 12 with kernel $kernel into a tree"
mkdir "$work/root" "$work/mnt"
KEY=$cache/key.pub timeout 900 mmdebstrap --quiet --variant=minbase --include="${packages// /,}" \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--setup-hook="$work/initramfs" \
	--customize-hook="$work/hook" bookworm "$work/root" "$work/sources"

# ---- the disk: one partition, its boot loader reads ext4 -------------------------------------
say "making the disk"
version=$(basename "$work"/root/boot/vmlinuz-* | sed 's/^vmlinuz-//')
mkdir -p "$work/root/boot/extlinux"
cat >"$work/root/boot/extlinux/extlinux.conf" <<-CONF
	DEFAULT linux
	PROMPT 0
	LABEL linux
	  KERNEL /boot/vmlinuz-$version
	  INITRD /boot/initrd.img-$version
	  APPEND root=/dev/vda1 rw console=ttyS0,115200 quiet mitigations=off net.ifnames=0 panic=-1
CONF
disk=$work/disk
truncate -s "${disk_mb}M" "$disk"
echo 'start=2048,type=83,bootable' | sfdisk -q "$disk"
mkfs.ext4 -q -F -E offset=1048576 -O '^64bit,^metadata_csum_seed,^orphan_file' -d "$work/root" "$disk" "$(((disk_mb - 1) * 1024))k" 2>"$work/mkfs" ||
	mkfs.ext4 -q -F -E offset=1048576 -O '^64bit' -d "$work/root" "$disk" "$(((disk_mb - 1) * 1024))k" # e2fsprogs 1.46 knows fewer
loop=$(losetup -f --show -o 1048576 "$disk")
mount "$loop" "$work/mnt"
extlinux --install "$work/mnt/boot/extlinux" >"$work/extlinux" 2>&1 || die "$(cat "$work/extlinux")"
umount "$work/mnt"
losetup -d "$loop"
loop=
dd if=/usr/lib/EXTLINUX/mbr.bin of="$disk" conv=notrunc status=none

# ---- the box ------------------------------------------------------------------------------------
say "packing"
mkdir "$work/box"
qemu-img convert -O qcow2 "$disk" "$work/box/box.img"
echo "{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":$((disk_mb / 1024))}" >"$work/box/metadata.json"
echo 'Vagrant.configure("2") { |c| c.vm.provider(:libvirt) { |l| l.disk_bus = "virtio" } }' >"$work/box/Vagrantfile"
tar -C "$work/box" -cf - metadata.json Vagrantfile box.img | gzip -1 >"$work/out"
mv "$work/out" "$box"
echo "$recipe" >"$box.recipe"
say "$box, $(du -h "$box" | cut -f1); vagrant box add --name sluice/debian12-$kernel $box"
