#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh BUILD - `make run`: says where to look and what to try, then is sluiced in the foreground.
set -eu
build=$1
conf=tools/conf/dev.conf

if [ "$(id -u)" = 0 ]; then
	# The shield pins its maps on a bpffs, which containers and old systems do not mount.
	[ ! -d /sys/fs/bpf ] || [ "$(stat -f -c %t /sys/fs/bpf)" = cafe4a11 ] ||
		mount -t bpf bpf /sys/fs/bpf || echo "run: no bpffs on /sys/fs/bpf: the shield stays off"
else
	echo "run: not root, so the shield stays off; \`sudo make run\` has everything"
	# the same with directories of this user's
	here=$(pwd)
	mkdir -p "$build/run" "$build/state"
	sed -e "s#\"/run/sluice-dev\"#\"$here/$build/run\"#" \
		-e "s#\"/var/lib/sluice-dev\"#\"$here/$build/state\"#" \
		-e "s#\"\.\./client-js#\"$here/tools/client-js#" "$conf" >"$build/dev.conf"
	conf=$build/dev.conf
fi
"$build/sluiced" -t -c "$conf" >/dev/null

ctl=$build/sluicectl
control=$(sed -nE 's/^runtime_dir *= *"([^"]*)".*/\1/p' "$conf")/control.sock
cat <<TRY

  Open  https://localhost:8443/   (the certificate is a development one: accept it)

  and in another terminal try:

    curl -k https://localhost:8443/health
    curl -k https://localhost:8443/ready
    export SLUICE_CONTROL=$control
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
