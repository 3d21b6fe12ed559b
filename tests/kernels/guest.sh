#!/bin/busybox sh
# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# The guest's init: tests doze on this kernel. To the second serial port it writes "ok NAME",
# "not ok NAME", "# NOTE", "cell FEATURE|VALUE" for the table of what kernels support, and "end" at
# last.
#
# From the kernel's command line: PART=run|places, EXPECTED_HOOK=tcx|tc, and yes or no for
# CAN_REPLAY, READS_TUNNELS, HAS_BURST, RECLAIMS.
set -u
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
base=/sys/fs/cgroup
log=/tmp/doze.log
mode=freeze

# busybox's shell prefers its own.
ip() { /bin/ip "$@"; }

set_up_machine() {
	mount -t devtmpfs devtmpfs /dev
	mount -t proc proc /proc
	exec </dev/null >/dev/ttyS1 2>/dev/console
	mount -t sysfs sysfs /sys
	mount -t cgroup2 cgroup2 $base
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /tmp
	while read -r module; do
		modprobe "$module" || echo "# cannot load $module"
	done </modules
	[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
}

set_up_machine
: >$log
# shellcheck source=tests/kernels/guest_lib.sh
. /guest_lib.sh
# shellcheck source=tests/kernels/guest_net.sh
. /guest_net.sh
(set -e && set_up_network) # -e would not count on the left of ||
# shellcheck disable=SC2181
[ $? = 0 ] || give_up "the guest's network"
case $PART in
run)
	# shellcheck source=tests/kernels/guest_run.sh
	. /guest_run.sh
	;;
places)
	# shellcheck source=tests/kernels/guest_links.sh
	. /guest_links.sh
	# shellcheck source=tests/kernels/guest_pods.sh
	. /guest_pods.sh
	;;
esac
finish
