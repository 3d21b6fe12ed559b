#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/fuzz/run.sh fuzz SECONDS FUZZER...
#        tests/fuzz/run.sh keep FUZZER...
# fuzz: runs each fuzzer for so long, as many at a time as there are CPUs. It begins with its corpus
# in tests/fuzz/corpus/ and adds what it finds to the one under build/. A crash is kept under build/
# and named, and is the exit status.
# keep: writes the corpus in the tree anew, as few files as reach all that both corpora reach. Files
# named regression-... are what once was a crash, and stay.
set -u
self=$(realpath "$0")
cd "${self%/*}/../.." || exit 1

fuzz_one() {
	seconds=$1 fuzzer=$2
	name=${fuzzer##*/}
	found=build/corpus/$name
	mkdir -p "$found" "tests/fuzz/corpus/$name"
	if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
		-close_fd_mask=2 -print_final_stats=1 -artifact_prefix="build/crash-$name-" \
		"$found" "tests/fuzz/corpus/$name" >"build/$name.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)/\1/p' "build/$name.log")
		echo "$name: $seconds s, $runs runs, no crash"
	else
		echo "$name: CRASHED, see build/$name.log"
		tail -n 20 "build/$name.log"
		return 1
	fi
}

keep_one() {
	fuzzer=$1
	name=${fuzzer##*/}
	kept=tests/fuzz/corpus/$name
	few=$(mktemp -d)
	mkdir -p "build/corpus/$name" "$kept"
	# How often an edge is taken (-use_counters) would keep ten times as many files.
	if "$fuzzer" -merge=1 -use_counters=0 -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
		-verbosity=0 "$few" "$kept" "build/corpus/$name" >"build/$name.log" 2>&1; then
		find "$kept" -type f ! -name 'regression-*' -delete
		cp "$few"/* "$kept"
		echo "$name: $(find "$kept" -type f | wc -l) files"
	fi
	rm -rf "$few"
}

each() {
	# shellcheck disable=SC2086
	printf '%s\n' "$@" | xargs -P "$(nproc)" -I {} "$self" $one {}
}

mode=$1
shift
case $mode in
fuzz)
	one="fuzz_one $1"
	shift
	each "$@"
	;;
keep)
	one=keep_one
	each "$@"
	;;
*)
	"$mode" "$@"
	;;
esac
