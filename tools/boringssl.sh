#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# boringssl.sh PREFIX - builds BoringSSL from Debian's source package, as static libraries.
#
# Why not the packaged binary: it is compiled with OPENSSL_SMALL, and its P-256 signature takes
# 57 us where this build takes 17. Why static: no symbol of it can then meet an OpenSSL in the
# same process.
#
# The finished build lies in a cache of the user, named by what went into it, and PREFIX is a
# link to it: every other clone on the machine (and CI's) finds it there and is done at once.
# Without a usable cache directory PREFIX is an ordinary directory.
#
# The system's apt configuration is only read: the source list derived from it, the package
# lists and the download live in a temporary directory.
#
# Where no source can be had, PREFIX becomes the packaged binary (slower, as said above, and
# shared, with its own rpath), and one line says so. SLUICE_BORINGSSL=packaged asks for that.
# PREFIX/link holds what the linker needs beside the two libraries.
set -eu

PREFIX=${1:?usage: boringssl.sh PREFIX}
PACKAGE=android-platform-external-boringssl
CC=${BORINGSSL_CC:-clang}
CXX=${BORINGSSL_CXX:-clang++}
# Part of the cache's name: a change here is a new build.
RECIPE=1
CFLAGS_ALL="-O2 -g1 -fPIC -fvisibility=hidden -fno-common -fno-strict-aliasing -ffunction-sections \
-fdata-sections -fstack-protector-strong -DBORINGSSL_IMPLEMENTATION -DNDEBUG -D_XOPEN_SOURCE=700 \
-Wa,--noexecstack"

say() { echo "boringssl: $*"; }
die() { echo "boringssl: $*" >&2; exit 1; }

case $(uname -m) in
x86_64)  asm=linux_x86_64_sources ;;
aarch64) asm=linux_aarch64_sources ;;
*)       asm= ; CFLAGS_ALL="$CFLAGS_ALL -DOPENSSL_NO_ASM" ;;
esac

key=$(printf '%s' "$RECIPE $CFLAGS_ALL $(uname -m)" | cksum | cut -d' ' -f1)
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/sluice}

adopt() { # directory of a finished build
	mkdir -p "$(dirname "$PREFIX")"
	rm -rf "$PREFIX"
	ln -s "$1" "$PREFIX"
}

[ "${SLUICE_BORINGSSL:-source}" = packaged ] || for done in "$cache"/boringssl-*-"$key"; do
	if [ -e "$done/lib/libssl.a" ]; then
		adopt "$done"
		say "reused $done"
		exit 0
	fi
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP

# Each source of the machine once more, as deb-src: both the one-line and the deb822 form.
derive_sources() {
	mkdir -p "$tmp/parts" "$tmp/lists/partial"
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$f" ] || continue
		sed -nE 's/^[[:space:]]*deb([[:space:]])/deb-src\1/p' "$f" >>"$tmp/parts/sluice.list"
	done
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -r "$f" ] || continue
		sed -E 's/^Types:.*/Types: deb-src/I' "$f" >"$tmp/parts/$(basename "$f")"
	done
}

apt_tmp() { # command and arguments, with our lists instead of the system's
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$tmp/parts" \
		-o Dir::State::lists="$tmp/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}

fetch() {
	derive_sources
	say "fetching the source package $PACKAGE"
	apt_tmp apt-get update >"$tmp/apt.log" 2>&1 || true # one bad source must not spoil the others
	(cd "$tmp" && apt_tmp apt-get --download-only source "$PACKAGE") >>"$tmp/apt.log" 2>&1 || return 1
	# apt has checked the archives against the signed index: dpkg-source need not again.
	(cd "$tmp" && dpkg-source --no-check -x ./*.dsc source) >>"$tmp/apt.log" 2>&1
}

build() { # into $tmp/out
	cat >"$tmp/build.mk" <<-MK
	.RECIPEPREFIX := >
	include source/eureka.mk
	CC := $CC
	CXX := $CXX
	FLAGS := -Isource/src/include $CFLAGS_ALL
	crypto := \$(sort \$(addprefix obj/,\$(addsuffix .o,\$(crypto_sources) $([ -n "$asm" ] && echo "\$($asm)"))))
	ssl := \$(addprefix obj/,\$(addsuffix .o,\$(ssl_sources)))
	all: out/lib/libcrypto.a out/lib/libssl.a
	out/lib/libcrypto.a: \$(crypto)
	out/lib/libssl.a: \$(ssl)
	out/lib/%.a:
	> @mkdir -p \$(@D) && ar rcs \$@ \$^
	obj/%.c.o: source/%.c
	> @mkdir -p \$(@D) && \$(CC) -std=gnu11 \$(FLAGS) -c -o \$@ \$<
	obj/%.cc.o: source/%.cc
	> @mkdir -p \$(@D) && \$(CXX) -std=c++14 -fno-exceptions -fno-rtti \$(FLAGS) -c -o \$@ \$<
	obj/%.S.o: source/%.S
	> @mkdir -p \$(@D) && \$(CC) \$(FLAGS) -c -o \$@ \$<
	MK
	say "compiling with $CC on $(nproc) cores, about a minute"
	# Nothing of an outer make may reach this one: neither its variables nor its job server.
	(cd "$tmp" && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -rR -s -j"$(nproc)" -f build.mk all) || return 1
	cp -r "$tmp/source/src/include" "$tmp/out/include"
	cp "$tmp/source/LICENSE" "$tmp/out/LICENSE"
	cp "$tmp/source/BORINGSSL_REVISION" "$tmp/out/REVISION"
}

# The API that Sluice hangs on is there, links without a C++ runtime, and signs and verifies.
prove() {
	cat >"$tmp/prove.c" <<-'C'
	#include <openssl/ec_key.h>
	#include <openssl/ecdsa.h>
	#include <openssl/nid.h>
	#include <openssl/ssl.h>
	#include <stdio.h>
	#include <time.h>
	static double now_us(void)
	{
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
	}
	int main(void)
	{
		EC_KEY *k = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
		uint8_t digest[32] = {1}, sig[128];
		unsigned n = sizeof sig;
		if (!k || !EC_KEY_generate_key(k) || !ECDSA_sign(0, digest, 32, sig, &n, k) ||
		    ECDSA_verify(0, digest, 32, sig, n, k) != 1)
			return 1;
		double best = 1e9;
		for (int round = 0; round < 20; round++) {
			double t = now_us();
			for (int i = 0; i < 100; i++)
				ECDSA_sign(0, digest, 32, sig, &n, k);
			t = (now_us() - t) / 100;
			best = t < best ? t : best;
		}
		SSL_CTX *ctx = SSL_CTX_new(TLS_method());
		SSL_CTX_set_keylog_callback(ctx, NULL);
		SSL *ssl = SSL_new(ctx);
		unsigned long long seq = SSL_get_read_sequence(ssl) + SSL_get_write_sequence(ssl);
		printf("one P-256 signature takes %.1f us\n", best + (double)seq);
		return 0;
	}
	C
	"$CC" -O2 -I"$tmp/out/include" -o "$tmp/prove" "$tmp/prove.c" \
		"$tmp/out/lib/libssl.a" "$tmp/out/lib/libcrypto.a" -lpthread || return 1
	"$tmp/prove" >"$tmp/out/PROOF"
}

packaged() {
	dir=/usr/lib/$("$CC" -print-multiarch 2>/dev/null || dpkg-architecture -qDEB_HOST_MULTIARCH)/android
	if [ ! -e "$dir/libssl.so" ]; then
		log=$tmp/packaged.log
		"$(dirname "$0")/deps.sh" boringssl-packaged >"$log" 2>&1 || { cat "$log" >&2; return 1; }
	fi
	rm -rf "$PREFIX"
	mkdir -p "$PREFIX/lib"
	ln -s /usr/include/android "$PREFIX/include"
	# The linker looks at what a file is, not at how it is called.
	ln -s "$dir/libssl.so" "$PREFIX/lib/libssl.a"
	ln -s "$dir/libcrypto.so" "$PREFIX/lib/libcrypto.a"
	echo "-Wl,-rpath,$dir" >"$PREFIX/link"
	say "no source package to be had: using the packaged binary, whose P-256 signatures take three times as long"
}

if [ "${SLUICE_BORINGSSL:-source}" = packaged ] || ! fetch; then
	packaged && exit 0
	[ ! -e "$tmp/apt.log" ] || sed 's/^/boringssl: /' "$tmp/apt.log" >&2
	die "neither the source package $PACKAGE nor the packaged binary can be had; give BORINGSSL=<prefix>"
fi
version=$(sed -n 's/^Version: *//p' "$tmp"/*.dsc | head -1)
build || die "the build failed"
prove || die "the finished libraries fail their own test"
echo "$version" >"$tmp/out/VERSION"
echo >"$tmp/out/link"

final=$cache/boringssl-$version-$key
if mkdir -p "$cache" 2>/dev/null && cp -r "$tmp/out" "$final.$$" 2>/dev/null; then
	# A rename, so that a clone that looks at this moment sees all or nothing.
	mv -T "$final.$$" "$final" 2>/dev/null || rm -rf "$final.$$"
	adopt "$final"
else
	mkdir -p "$(dirname "$PREFIX")"
	rm -rf "$PREFIX"
	mv -T "$tmp/out" "$PREFIX" 2>/dev/null || cp -r "$tmp/out" "$PREFIX"
fi
say "$version is ready in $PREFIX; $(cat "$PREFIX/PROOF")"
