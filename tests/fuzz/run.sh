#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh BUILD SECONDS FUZZER ... - each fuzzer for so long, starting from its corpus in the tree.
# New inputs stay in BUILD/corpus, for the next time. An input that breaks something is named in
# what is printed then; it belongs into tests/fuzz/fuzz_NAME.in/ together with its fix.
set -eu
build=$1
seconds=$2
shift 2
[ $# -gt 0 ] || { echo "fuzz: no fuzzer of that name; there are:" tests/fuzz/fuzz_*.c >&2; exit 1; }

status=0
for fuzzer in "$@"; do
	name=${fuzzer##*/}
	found=$build/corpus/$name
	log=$build/$name.log
	mkdir -p "$found" "tests/fuzz/$name.in"
	dict=
	[ ! -e "tests/fuzz/$name.dict" ] || dict=-dict=tests/fuzz/$name.dict
	echo "$name: for $seconds s, log in $log"
	# shellcheck disable=SC2086 # no dictionary, no argument
	if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$build/$name-" $dict "$found" "tests/fuzz/$name.in" >"$log" 2>&1; then
		sed -n 's/^stat::\(number_of_executed_units\|new_units_added\): */  \1 /p' "$log"
		grep -E 'cov: [0-9]+' "$log" | tail -n 1 | sed 's/.*\(cov: [0-9]*\).*/  \1/'
	else
		tail -n 60 "$log"
		echo "$name: FOUND SOMETHING; its input is the file $build/$name-* named above"
		status=1
	fi
done
exit $status
