#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# install.sh install|uninstall BUILD DESTDIR PREFIX - `make install` and `make uninstall`.
#
# Both walk the same list, so that what one puts the other takes. The configuration in use
# (SYSCONFDIR/sluice/sluice.conf) is written only if there is none, and never removed.
set -eu
verb=$1
build=$2
dest=$3
prefix=${4%/}
# /etc is where sluiced looks by itself; a prefix of one's own keeps everything together.
case $prefix in
/usr | /usr/local | '') sysconf=/etc ;;
*)                      sysconf=$prefix/etc ;;
esac

put() { # mode, source, target
	[ -e "$2" ] || return 0
	case $verb in
	install)
		install -D -m "$1" "$2" "$dest$3"
		echo "  INSTALL $dest$3"
		;;
	uninstall)
		[ -e "$dest$3" ] || return 0
		rm -f "$dest$3"
		echo "  REMOVE  $dest$3"
		;;
	esac
}

# Nothing needs to be built for an uninstall: the program goes, whether or not BUILD still has it.
put_program() { # name, directory
	if [ "$verb" = uninstall ]; then
		put 755 / "$2/$1"
	else
		put 755 "$build/$1" "$2/$1"
	fi
}

put_program sluiced "$prefix/sbin"
put_program sluicectl "$prefix/bin"
put_program sluice-bench "$prefix/bin"

for page in tools/man/*.[1-8]; do
	put 644 "$page" "$prefix/share/man/man${page##*.}/${page##*/}"
done
for completion in tools/completion/*; do
	name=${completion##*/}
	case $name in
	_*) put 644 "$completion" "$prefix/share/zsh/site-functions/$name" ;;
	*)  put 644 "$completion" "$prefix/share/bash-completion/completions/${name%.bash}" ;;
	esac
done
for text in README.md LICENSE tools/conf/sluice.conf tools/conf/minimal.conf tools/doc/*.md; do
	put 644 "$text" "$prefix/share/doc/sluice/${text##*/}"
done

unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
sed "s#@SBINDIR@#$prefix/sbin#g; s#@SYSCONFDIR@#$sysconf#g" tools/conf/sluiced.service >"$unit"
put 644 "$unit" "$prefix/lib/systemd/system/sluiced.service"

conf=$sysconf/sluice/sluice.conf
if [ "$verb" = uninstall ]; then
	[ ! -e "$dest$conf" ] || echo "  KEPT    $dest$conf"
	[ ! -d "$dest$prefix/share/doc/sluice" ] ||
		rmdir --ignore-fail-on-non-empty "$dest$prefix/share/doc/sluice"
elif [ -e "$dest$conf" ]; then
	echo "  KEPT    $dest$conf (the sample of this version is in $prefix/share/doc/sluice)"
else
	put 640 tools/conf/sluice.conf "$conf"
fi
