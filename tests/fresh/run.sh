#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/fresh/run.sh RELEASE [COMMAND]...     as root; RELEASE is bookworm or trixie
# Runs what README.md promises for a bare machine: each COMMAND (make demo, make test) in a fresh
# clone of HEAD on a Debian that has nothing but what debootstrap calls minbase, git and make.
# Needs debootstrap. MIRROR is where Debian comes from; without it: where this machine has it from.
# What is made stays in /var/tmp/doze-fresh/RELEASE for the next time; FRESH=yes makes it anew.
set -eu
cd "$(dirname "$0")/../.."

die() {
	echo "fresh: $*" >&2
	exit 1
}

# The first mirror of Debian itself in this machine's sources, of either format.
mirror_here() {
	sed -n -e 's/^deb \(\[[^]]*\] *\)\{0,1\}\([a-z]*:[^ ]*debian\/\{0,1\}\) .*/\2/p' \
		-e 's/^URIs: *\([a-z]*:[^ ]*debian\/\{0,1\}\)$/\1/p' /etc/apt/sources.list \
		/etc/apt/sources.list.d/* 2>/dev/null | head -n 1
}

[ "$(id -u)" = 0 ] || die "needs root"
command -v debootstrap >/dev/null || die "install debootstrap"
[ $# -ge 1 ] || die "usage: tests/fresh/run.sh RELEASE [COMMAND]..."
release=$1
shift
[ $# -gt 0 ] || set -- "make demo" "make test"
mirror=${MIRROR:-$(mirror_here)}
[ -n "$mirror" ] || die "where does Debian come from? MIRROR=..."

base=/var/tmp/doze-fresh/$release
root=$base/root
[ "${FRESH:-no}" = no ] || rm -rf "$base"
if [ ! -e "$base/made" ]; then
	rm -rf "$base"
	mkdir -p "$base"
	debootstrap --variant=minbase --include=git,make,ca-certificates "$release" "$root" "$mirror"
	touch "$base/made"
fi
rm -rf "$root/root/doze"
git clone -q --no-hardlinks . "$root/root/doze"
cp /etc/resolv.conf "$root/etc/resolv.conf"

# A mount namespace of its own, and nothing of this machine but its kernel, its devices and its
# cgroups: what is mounted ends with it.
inside() {
	# shellcheck disable=SC2016
	unshare --mount --propagation private sh -eu -c '
		root=$1
		mount --bind "$root" "$root"
		mount --rbind /proc "$root/proc"
		mount --rbind /sys "$root/sys"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/run"
		mkdir "$root/run/lock"
		cd "$root"
		mkdir -p old
		pivot_root . old
		umount -l /old
		exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c "cd /root/doze && $2"
	' inside "$root" "$1"
}

failed=0
for command in "$@"; do
	if inside "$command"; then
		echo "fresh: $release: $command: passed"
	else
		echo "fresh: $release: $command: FAILED"
		failed=1
	fi
done
exit $failed
