#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh BUILD - `make run`: says where to look and what to try, then is sluiced in the foreground.
set -eu
build=$1
conf=tools/conf/dev.conf

"$build/sluiced" -t -c "$conf" >/dev/null || exit $?

# The shield pins its maps on a bpffs, which containers and old systems do not mount.
if [ "$(id -u)" = 0 ]; then
	[ ! -d /sys/fs/bpf ] || [ "$(stat -f -c %t /sys/fs/bpf)" = cafe4a11 ] ||
		mount -t bpf bpf /sys/fs/bpf || echo "run: no bpffs on /sys/fs/bpf: the shield stays off"
else
	echo "run: not root, so the shield stays off and nothing is pinned; as root everything runs"
fi

ctl="$build/sluicectl"
cat <<TRY

  Open  https://localhost:8443/   (the certificate is a development one: accept it)

  and in another terminal try:

    curl -k https://localhost:8443/health
    curl -k https://localhost:8443/ready
    $ctl status
    $ctl worker show
    $ctl conn show
    $ctl channel show name lobby
    $ctl prog show
    $ctl deny add 203.0.113.0/24 for 10m
    $ctl -jp drop show
    npx --yes wscat --no-check -c wss://localhost:8443/ws      then type {"type":"ping"}

  Ctrl-C ends it: every client is closed with 1001 first.

TRY
exec "$build/sluiced" -c "$conf"
