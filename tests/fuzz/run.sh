#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/fuzz/run.sh SECONDS FUZZER...
# Runs each fuzzer for so long. A crash is kept under build/ and named, and is the exit status.
set -u
seconds=$1
shift
failed=0
for fuzzer; do
	name=${fuzzer##*/}
	corpus=build/corpus/$name
	mkdir -p "$corpus"
	printf 'fuzz: %s, %s s ... ' "$name" "$seconds"
	if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix="build/crash-$name-" "$corpus" \
		>"build/$name.log" 2>&1; then
		sed -n 's/^stat::number_of_executed_units: *\([0-9]*\)/\1 runs, no crash/p' \
			"build/$name.log"
	else
		echo "CRASHED, see build/$name.log"
		tail -n 20 "build/$name.log"
		failed=1
	fi
done
exit $failed
