#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# provision.sh [ROLE] - makes a Debian 12 machine one that Sluice runs on. It is also the manual for
# doing it by hand: each step says why it is there.
#
#   provision.sh edge      libraries, Sluice (built here unless a build came with the tree), its service
#   provision.sh client    what attacks and measures
#   provision.sh app       what a server behind the edge needs
#   provision.sh --list    the Debian packages that a machine needs to run and test a finished build
#
# As root, in the top folder of the source tree. It can run again at any time.
set -eu

# libraries that sluiced and sluicectl are linked with; bpftool, which sluicectl shows maps with;
# what the tests call
packages='libbpf1 libxdp1 libelf1 zlib1g libevent-core-2.1-7 libroaring0 liburing2 libjansson4 libconfig9 libmaxminddb0
 bpftool ethtool iproute2 openssl python3 libcmocka0 python3-pytest python3-websockets python3-cryptography
 procps util-linux tcpdump curl gnutls-bin'

role=${1:-edge}
if [ "$role" = --list ]; then
	# shellcheck disable=SC2086 # a list of words
	echo $packages
	exit 0
fi
say() { echo "provision: $*"; }
cd "$(dirname "$0")/.."

# 1. Packages. A box made by build-box.sh has them all; then nothing is asked of the network.
missing=
for p in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
	say "installing$missing"
	apt-get -q -o DPkg::Lock::Timeout=300 update
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
fi

# 2. The kernel: 6.1 will do, later ones give exact TCP options to connections made by cookie. The
# shield needs BTF, and a bpffs to pin to; both are there in Debian's kernels.
[ -e /sys/kernel/btf/vmlinux ] || say "this kernel has no BTF: the shield will stay off"
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf

# 3. Addresses on the data network, where XDP will be: an interface of its own, never the one that
# ssh comes in by. Vagrant's machines get theirs here; on your own machines they are there already.
case $role:${SLUICE_DATA_DEV:-} in
*:) ;;
edge:*)   addresses='198.51.100.10/24 2001:db8:1::10/64' ;;
client:*) addresses='198.51.100.20/24 198.51.100.21/24 2001:db8:1::20/64 2001:db8:1::21/64' ;;
app:*)    addresses='198.51.100.30/24 2001:db8:1::30/64' ;;
esac
if [ -n "${SLUICE_DATA_DEV:-}" ]; then
	ip link set "$SLUICE_DATA_DEV" up
	for address in $addresses; do
		case $address in
		*:*) ip addr replace "$address" dev "$SLUICE_DATA_DEV" nodad ;;
		*)   ip addr replace "$address" dev "$SLUICE_DATA_DEV" ;;
		esac
	done
	hostname "$role"
	grep -q "[[:space:]]$role\$" /etc/hosts || echo "127.0.1.1 $role" >>/etc/hosts # sudo asks for it
fi
[ "$role" = edge ] || exit 0

# 4. Sluice itself. `make deps` installs the compilers and builds BoringSSL, `make` the rest; a build
# that came with the tree is taken as it is.
if [ ! -x build/sluiced ]; then
	command -v make >/dev/null || apt-get -q -y install --no-install-recommends make
	make deps
	make -j"$(nproc)"
fi

# 5. Programs, manual, service and a configuration, if there is none yet.
#    Then: edit /etc/sluice/sluice.conf (listeners, certificates, shield.interfaces), and
#    systemctl enable --now sluiced; sluicectl status
if command -v make >/dev/null; then
	make install PREFIX=/usr/local
else
	tools/install.sh install build '' /usr/local # what `make install` calls
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
say "done: $(build/sluiced -V 2>/dev/null | head -n 1)"
