# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2086,SC2154
# What doze node does with a pod's cgroups, who the kubelet's connections belong to, and the gate's
# tables of frames.

# A file's pages can be given back without swap, if the file is on a disk.
set_up_disk() {
	echo 256M >/sys/block/zram0/disksize && mke2fs -F -b 4096 /dev/zram0 >/dev/null &&
		mkdir -p /disk && mount -t ext4 /dev/zram0 /disk
}

set_up_swap() {
	cat /sys/class/zram-control/hot_add >/dev/null
	echo 256M >/sys/block/zram1/disksize && mkswap /dev/zram1 >/dev/null && swapon /dev/zram1
}

test_pod() { # DRIVER TEST...
	driver=$1
	shift
	echo 3 >/proc/sys/vm/drop_caches # so that the file's pages are of whoever reads it
	pod "$driver" /disk/file "$@" >/tmp/pod.out 2>/tmp/pod.log
	status=$?
	cat /tmp/pod.out
	[ $status = 0 ] || echo "not ok pod, $driver: $*: ends with status $status"
	[ $status != 0 ] || grep -q '^not ok' /tmp/pod.out || return 0
	cell=no
	sed 's/^/#   log: /' /tmp/pod.log
}

choose() { [ "$1" = yes ] && echo "$2" || echo "$3"; }

set_up_disk || give_up "the guest's disk"
dd if=/dev/urandom of=/disk/file bs=1M count=32 2>/dev/null && sync
for driver in systemd cgroupfs; do
	feature "pods, $driver driver" yes test_pod $driver place kubelet cycle depth limit
done
feature 'cgroup v2: burst (`cpu.max.burst`)' "$HAS_BURST" \
	test_pod systemd "$(choose "$HAS_BURST" burst no-burst)"
feature 'cgroup v2: reclaim without swap' "$RECLAIMS" \
	test_pod systemd "$(choose "$RECLAIMS" reclaim no-reclaim)"
set_up_swap || give_up "the guest's swap"
feature 'cgroup v2: reclaim with swap (zram)' "$RECLAIMS" \
	test_pod cgroupfs "$(choose "$RECLAIMS" reclaim-swap no-reclaim)"
feature "the kubelet is known by its cgroup" yes test_program kubelet test_kubelet
feature "the gate's table of frames" yes test_program gate test_gate
test_program datapath test_datapath
