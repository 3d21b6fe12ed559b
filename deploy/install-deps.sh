#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what building and testing doze needs, on Debian 12 and 13. Does nothing when all of it
# is there. Debian 12's libbpf (1.1) cannot attach to tcx: it is taken from bookworm-backports, of
# the mirror that the machine has bookworm from.
set -eu

# build: clang llvm make bpftool and the libraries; test: cmocka iproute2 nftables runc python3, its
# yaml and h2; bench: iperf3 wrk; check: the linters; model: spin.
packages='clang llvm make bpftool pkg-config
	libbpf-dev libcurl4-openssl-dev libcjson-dev libyaml-dev libssl-dev libevent-dev uthash-dev libcap-dev
	libmnl-dev libnghttp2-dev libseccomp-dev tzdata
	libcmocka-dev iproute2 nftables python3 python3-yaml python3-h2 openssl runc iperf3 wrk
	clang-format clang-tidy clang-tools cppcheck shellcheck spin'

say() { printf 'deps: %s\n' "$*" >&2; }

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# 0 if the installed version of package $1 is at least $2.
is_at_least() {
	dpkg --compare-versions "$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo 0)" ge "$2"
}

missing_packages() {
	for package in $packages; do
		is_installed "$package" || printf '%s ' "$package"
	done
}

# tests/ build with AddressSanitizer and libFuzzer, whose runtime has clang's version in its name.
add_clang_runtime() {
	major=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
	[ -z "$major" ] || packages="$packages libclang-rt-$major-dev"
}

# "SUITE ADDRESS KEYFILE" for each source of packages that the machine has, in either format.
list_sources() {
	cat "$1"/sources.list "$1"/sources.list.d/*.list 2>/dev/null | awk '
		$1 != "deb" { next }
		{
			key = match($0, /signed-by=[^] ]*/) ? substr($0, RSTART + 10, RLENGTH - 10) : ""
			sub(/^deb[ \t]+(\[[^]]*\])?[ \t]*/, "")
			print $2, $1, key
		}'
	for file in "$1"/sources.list.d/*.sources; do
		[ -e "$file" ] && sed '/^#/d' "$file" && echo
	done | awk -v RS= -F '\n' '
		{
			split("", field)
			for (i = 1; i <= NF; i++)
				if (match($i, /^[A-Za-z-]+:/))
					field[tolower(substr($i, 1, RLENGTH - 1))] = substr($i, RLENGTH + 1)
		}
		field["types"] ~ /deb( |$)/ && field["enabled"] !~ /no/ {
			suites = split(field["suites"], suite, " ")
			split(field["uris"], uri, " ")
			split(field["signed-by"], key, " ") # a key that stands there itself is left out
			for (i = 1; i <= suites; i++)
				print suite[i], uri[1], key[1] ~ "^/" ? key[1] : ""
		}'
}

add_backports() {
	etc=$(apt-config shell etc Dir::Etc/d | cut -d "'" -f 2)
	list=$etc/sources.list.d/doze-backports.list
	if ! list_sources "$etc" | grep -q '^bookworm-backports '; then
		list_sources "$etc" | grep -E '^(bookworm|oldstable) [a-z+]*:/' | while read -r _ mirror key; do
			echo "deb ${key:+[signed-by=$key] }$mirror bookworm-backports main" >"$list"
			break
		done
		apt-get update -q
	fi
	apt-get install -q -y --no-install-recommends -t bookworm-backports libbpf-dev
}

os_release=${OS_RELEASE:-/etc/os-release} # the tests have others
if [ ! -r "$os_release" ] || ! command -v apt-get >/dev/null; then
	say "this is no Debian: install by hand: $packages"
	exit 0
fi
# shellcheck source=/dev/null
. "$os_release"
export DEBIAN_FRONTEND=noninteractive

add_clang_runtime
missing=$(missing_packages)
wants_backports=no
if [ "${VERSION_CODENAME:-}" = bookworm ] && ! is_at_least libbpf-dev 1.3; then
	wants_backports=yes
fi
[ -n "$missing" ] || [ $wants_backports = yes ] || exit 0

if [ "$(id -u)" != 0 ]; then
	say "needs root to install: ${missing}libbpf-dev (>= 1.3)"
	exit 1
fi
say "installing: $missing"
# apt-cache knows nothing of clang on a machine that has never updated its lists.
apt-get update -q
add_clang_runtime
missing=$(missing_packages | sed 's/libbpf-dev //')
[ $wants_backports = no ] || add_backports
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing libbpf-dev
