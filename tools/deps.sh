#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# deps.sh GROUP ... - installs from Debian what is missing, and says what.
#
#   build   compiler, libraries and bpftool: what `make all` and `make run` need
#   test    what `make test` needs on top: cmocka, pytest, other TLS stacks, Chromium, Node
#   lint    what `make lint` and `make fmt` need
#   vm      what `make vm-kernels` starts other kernels with, and the newest clang for its matrix
#   vagrant what `make vm-test` builds a box with and runs it
#   compare what `make compare` and tests/bench/*.py measure Sluice against: nginx with nchan, mosquitto,
#           haproxy, Node with ws and Socket.IO
#
# As root, or through sudo. When nothing is missing it changes nothing, asks nobody and takes
# a moment. A machine that is not Debian's kin gets the list of what it should provide.
set -eu

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

# A word is a package, or command?package: the package only where the command is missing.
build='binutils bpftool?bpftool ca-certificates clang?clang libbpf-dev libc6-dev libconfig-dev libelf-dev
 libevent-dev libjansson-dev libmaxminddb-dev libroaring-dev liburing-dev libxdp-dev make?make openssl?openssl zlib1g-dev
 dpkg-source?dpkg-dev xz-utils'
test='chromium chromium-driver curl?curl ethtool?ethtool gnutls-cli?gnutls-bin iproute2 libclang-rt-14-dev tcpdump?tcpdump
 libcmocka-dev llvm procps python3 python3-cryptography python3-prometheus-client python3-pytest
 python3-websockets strace?strace util-linux'
vm='busybox-static dpkg?dpkg kmod?kmod iproute2 qemu-system-x86_64?qemu-system-x86'
vagrant='extlinux?extlinux fdisk iptables libvirt-clients libvirt-daemon-system dnsmasq-base mmdebstrap openssh-client
 qemu-img?qemu-utils rsync?rsync vagrant?vagrant vagrant-libvirt'
lint='clang-format?clang-format clang-tidy?clang-tidy shellcheck?shellcheck'

# bpftool and ethtool live in sbin, which a plain user's PATH may lack
PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	as_root=none
fi

# Any Node from 18 on will do, from wherever it came.
node_missing() {
	major=$(node --version 2>/dev/null | sed -nE 's/^v([0-9]+)\..*/\1/p')
	[ "${major:-0}" -lt 18 ] || ! command -v npm >/dev/null
}

# As far as apt's lists know: objects that load when the oldest clang has made them may not when
# the newest has.
newest_clang() {
	command -v apt-cache >/dev/null || return 0
	apt-cache search --names-only '^clang-[0-9]+$' | cut -d' ' -f1 | sort -V | tail -n 1
}

missing_of() { # words → the packages among them that are not installed
	packages=
	for word in "$@"; do
		case $word in
		*\?*) command -v "${word%%\?*}" >/dev/null || packages="$packages ${word#*\?}" ;;
		*)    packages="$packages $word" ;;
		esac
	done
	[ -n "$packages" ] || return 0
	# shellcheck disable=SC2086 # a list of words
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
		sed -n 's/^installed //p' | sort -u >"$tmp/have"
	# shellcheck disable=SC2086
	printf '%s\n' $packages | sort -u | comm -23 - "$tmp/have" | tr '\n' ' '
}

words=
for group in "$@"; do
	case $group in
	build) words="$words $build" ;;
	test)  words="$words $test" ; node_missing && words="$words nodejs npm" ;;
	vm)    words="$words $vm $(newest_clang)" ;;
	vagrant) words="$words $vagrant" ;;
	lint)  words="$words $lint" ;;
	compare) words="$words nginx?nginx libnginx-mod-nchan mosquitto?mosquitto haproxy?haproxy python3" ; node_missing && words="$words nodejs npm" ;;
	boringssl-packaged) words="$words android-libboringssl-dev" ;; # boringssl.sh's last resort
	*)     die "unknown group '$group': build, test, vm, vagrant, lint and compare are known" ;;
	esac
done
[ -n "$words" ] || die "usage: deps.sh build|test|lint|compare ..."

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	say "this is not Debian or its kin; please provide (in Debian's names):"
	# shellcheck disable=SC2086
	printf '  %s\n' $words | sed 's/[^ ]*?//'
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# shellcheck disable=SC2086
missing=$(missing_of $words)
if [ -n "${missing% }" ]; then
	[ "$as_root" != none ] || die "neither root nor sudo here; as root run: apt-get install $missing"
	say "installing: $missing"
	$as_root apt-get -q -o DPkg::Lock::Timeout=300 update >"$tmp/log" 2>&1 ||
		say "apt-get update had complaints; going on with the lists that are there"
	# shellcheck disable=SC2086
	if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends $missing >>"$tmp/log" 2>&1; then
		tail -n 40 "$tmp/log" >&2
		die "apt-get could not install them (its last words stand above)"
	fi
	say "done"
fi

# From the npm registry: `ws`, the client that most of Node uses, and Socket.IO to be compared with. All that is
# wanted in one go, since npm takes away what it is not told of.
npm_wanted=
case " $* " in
*" compare "*) npm_wanted="ws socket.io" ;;
*" test "*) npm_wanted="ws" ;;
esac
for package in $npm_wanted; do
	[ ! -e ".deps/npm/node_modules/$package/package.json" ] || continue
	say "npm: installing $npm_wanted into .deps/npm"
	mkdir -p .deps/npm
	# shellcheck disable=SC2086 # a list of words
	npm install --prefix .deps/npm --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
		--loglevel=error $npm_wanted >/dev/null ||
		say "npm could not install $npm_wanted: tests and rows of benchmarks that need them are left out"
	break
done
