#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/check/check.sh CPPFLAGS...
# Layout, linters and the rules of the tree. Silent when content.
set -u
failed=0

fail() { failed=1; }

# Newer versions lay out some lines differently, and would complain of each other's work.
check_layout() {
	case $(clang-format --version) in
	*'version 14.'*) ;;
	*) return ;;
	esac
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror || fail
}

# A few files at a time, on each CPU.
# shellcheck disable=SC2016 # the inner shell expands it
check_tidy() {
	printf '%s\n' userspace/*.c userspace/*/*.c |
		xargs -P "$(nproc)" -n 8 sh -c '
			flags=$1
			shift
			clang-tidy --quiet "$@" -- -std=gnu11 $flags 2>/dev/null' sh "$*" || fail
}

# clang's analyzer. The leak checkers are off: they do not know the cleanup attribute. A build of its
# own, because only what is compiled is looked at.
check_scan_build() {
	log=build/scan.log
	mkdir -p build
	scan-build --use-cc=clang --status-bugs -o build/scan-reports \
		-disable-checker unix.Malloc -disable-checker valist.Uninitialized \
		make -j "$(nproc)" B=build/scan build/scan/libdoze.a >$log 2>&1 && return
	grep -A 3 -E 'warning:|error:|scan-build:' $log
	fail
}

check_cppcheck() {
	cppcheck -j "$(nproc)" --quiet --std=c11 --enable=warning,performance,portability \
		--error-exitcode=1 --suppressions-list=tests/check/cppcheck.suppress \
		--library=tests/check/cppcheck.cfg "$@" userspace 2>&1 || fail
}

check_shell() {
	git ls-files '*.sh' .ci/run | xargs shellcheck || fail
}

check_python() {
	git ls-files '*.py' | xargs python3 -W error -c 'import ast, pathlib, sys
for name in sys.argv[1:]: ast.parse(pathlib.Path(name).read_text(), name)' || fail
}

check_licences() {
	git ls-files '*.c' '*.h' '*.py' '*.sh' '*.mk' Makefile | while read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier:' || echo "$file: no SPDX line"
	done | grep . && fail
}

# The reference and the man page are what the table of settings says.
check_reference() {
	./doze help --markdown | cmp -s deploy/reference.md - ||
		{ echo "deploy/reference.md: is not as the settings are: make reference"; fail; }
	command -v groff >/dev/null || return
	./doze help --man | groff -man -ww -z 2>&1 | grep . && fail
}

check_layout
check_tidy "$@"
check_scan_build
check_cppcheck -D_GNU_SOURCE -Iinclude -Iuserspace
check_shell
check_python
check_licences
check_reference
python3 tests/check/includes.py || fail
python3 tests/check/prefixes.py || fail
python3 tests/check/words.py || fail
python3 tests/check/links.py || fail
exit $failed
