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

check_c() {
	clang-tidy --quiet userspace/*.c userspace/*/*.c -- -std=gnu11 "$@" 2>/dev/null || fail
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
check_c "$@"
check_shell
check_python
check_licences
check_reference
python3 tests/check/includes.py || fail
python3 tests/check/prefixes.py || fail
python3 tests/check/words.py || fail
python3 tests/check/links.py || fail
exit $failed
