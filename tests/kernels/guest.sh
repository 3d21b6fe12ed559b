#!/bin/sh
# SPDX-License-Identifier: MIT
# The guest's init: tests doze on this kernel and writes "ok NAME", "not ok NAME" or "# NOTE" to
# the second serial port, and "end" at last.
#
#	client [veth0] ---- [veth0, lo] server: doze run -- peer serve
#	                     and between the two: a VLAN, tun and an IP tunnel
#
# From the kernel's command line: EXPECTED_HOOK=tcx|tc, CAN_REPLAY=yes|no, READS_TUNNELS=yes|no,
# RECLAIMS=yes|no.
set -u
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
port=8080
base=/sys/fs/cgroup
log=/tmp/doze.log
doze_pid=
doze_cgroup=

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
		modprobe "$module" || echo "# no module $module"
	done </modules
	[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
}

in_ns() { # NAMESPACE COMMAND...: `ip netns exec` would hide the cgroups under /sys
	ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}

give_address() { # INTERFACE NET HOST4-SERVER HOST4-CLIENT
	ip -n server address add "192.0.2.$3/26" dev "$1"
	ip -n client address add "192.0.2.$4/26" dev "$1"
	ip -n server address add "2001:db8:$2::1/64" dev "$1" nodad
	ip -n client address add "2001:db8:$2::2/64" dev "$1" nodad
	ip -n server link set "$1" up
	ip -n client link set "$1" up
}

set_up_network() {
	ip netns add server
	ip netns add client
	ip -n server link set lo up
	ip -n client link set lo up
	ip link add veth0 netns server type veth peer name veth0 netns client
	give_address veth0 0 1 2
	for ns in server client; do
		ip -n $ns link add link veth0 name vlan5 type vlan id 5
	done
	give_address vlan5 5 65 66
	peer tun tun0 /run/netns/server /run/netns/client &
	wait_for 5 in_ns client /bin/ip link show tun0 >/dev/null
	give_address tun0 6 129 130
	ip -n server link add ipip0 type ipip local 192.0.2.1 remote 192.0.2.2
	ip -n client link add ipip0 type ipip local 192.0.2.2 remote 192.0.2.1
	give_address ipip0 7 193 194
}

# --- waiting, and looking ---

wait_for() { # SECONDS COMMAND...
	tries=$(($1 * 20))
	shift
	while ! "$@" 2>/dev/null; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		usleep 50000
	done
}

count() { grep -c "$1" $log; }
has() { grep -q "$1" $log; }
sleeps_more_than_wakes() { [ "$(count 'msg="asleep"')" -gt "$(count 'msg="awake"')" ]; }
wakes_are() { [ "$(count 'msg="awake"')" = "$1" ]; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# What asleep and awake look like in the cgroup.
is_throttled() { grep -qx '1000 100000' "$doze_cgroup/cpu.max"; }

is_asleep() {
	if [ "$mode" = freeze ]; then
		grep -qx 1 "$doze_cgroup/cgroup.freeze" &&
			grep -qx 'frozen 1' "$doze_cgroup/cgroup.events"
	else
		is_throttled
	fi
}

is_full() { grep -qx 0 "$doze_cgroup/cgroup.freeze" && grep -qx 'max 100000' "$doze_cgroup/cpu.max"; }

cpu_used_us() { sed -n 's/^usage_usec //p' "$doze_cgroup/cpu.stat"; }

# --- results ---

# test_that NAME FUNCTION ARGUMENT...: the function says on stdout what is wrong.
test_that() {
	name=$1
	shift
	if wrong=$("$@" 2>&1); then
		echo "ok $mode: $name"
		[ -z "$wrong" ] || echo "# $wrong"
		return
	fi
	echo "not ok $mode: $name"
	echo "$wrong" | sed 's/^/#   /'
	tail -n 25 $log | sed 's/^/#   log: /'
}

die() {
	echo "$*"
	exit 1
}

give_up() {
	echo "not ok $*"
	sed 's/^/#   log: /' $log
	finish
}

finish() {
	echo end
	poweroff -f
}

# --- starting and ending doze ---

start() { # FLAG...
	: >$log
	nsenter --net=/run/netns/server doze run -p $port -p $port/udp --idle-after=1s \
		--min-awake=0s --idle-max=1s --log-level=debug "$@" \
		-- peer serve $port >>$log 2>&1 &
	doze_pid=$!
	doze_cgroup=$base/doze/run-$doze_pid
	wait_for 20 has 'msg="watching"' || give_up "doze does not start"
}

# The kernel patches its own code when the first cgroup gets a quota and when the last one has none
# any more, and an emulated machine with several CPUs now and then hangs in that (QEMU 7.2: a CPU
# that meets the breakpoint for ever). So one has a quota all the time, once doze has
# switched the controller on.
keep_a_quota() {
	mkdir -p $base/quota && echo '50000 100000' >$base/quota/cpu.max
}

server_pid() { sed -n 's/.*msg="watching".* pid=\([0-9]*\).*/\1/p' $log; }

stop() {
	kill -TERM "$doze_pid"
	wait "$doze_pid"
}

# --- the tests ---

gate_attached() { # HOOK
	for interface in lo veth0 vlan5 tun0; do
		has "msg=\"gate attached\" interface=$interface hook=$1 " ||
			die "no gate with hook=$1 on $interface"
	done
}

replay_announced() {
	expected=$([ "$CAN_REPLAY" = yes ] && echo 0 || echo 1)
	[ "$(count 'this kernel cannot replay')" = "$expected" ] ||
		die "$(count 'this kernel cannot replay') warnings, expected $expected"
}

falls_asleep() {
	wait_for 20 sleeps_more_than_wakes || die "not asleep after 20 s"
	is_asleep || die "the cgroup is not asleep: $(head "$doze_cgroup"/c*.[fem][rvax]*)"
}

is_fast() { [ "$1" -lt 900 ]; }

# Where nothing is replayed, TCP has sent its SYN again after a second; UDP passes and waits.
took_as_long_as_it_should() { # PROTOCOL MS
	if [ "$1" = udp ] || [ "$replays" = yes ]; then
		is_fast "$2" || die "$2 ms: its packet was not delivered at the wake"
	else
		{ [ "$2" -ge 900 ] && [ "$2" -lt 4000 ]; } || die "$2 ms: not one SYN retransmission"
	fi
	echo "$2 ms"
}

wakes() { # NAMESPACE PROTOCOL ADDRESS
	falls_asleep
	before=$(count 'msg="awake"')
	ms=$(in_ns "$1" peer "$2" "$3" $port) || die "no answer: $ms"
	wait_for 5 wakes_are $((before + 1)) || die "no wake logged"
	is_full || die "the cgroup is not full"
	took_as_long_as_it_should "$2" "$ms"
}

uses_no_cpu_asleep() {
	falls_asleep
	before=$(cpu_used_us)
	sleep 1
	[ "$(cpu_used_us)" = "$before" ] || die "used $before us, then $(cpu_used_us) us"
}

wakes_for_data_on_an_open_connection() {
	wait_for 20 sleeps_more_than_wakes || die "not asleep"
	rm -f /tmp/line
	mkfifo /tmp/line
	in_ns client peer keep 192.0.2.1 $port </tmp/line >/tmp/answer &
	client=$!
	exec 3>/tmp/line
	wait_for 10 [ "$(count 'msg="awake"')" -gt 0 ]
	usleep 500000
	wait_for 20 sleeps_more_than_wakes || die "not asleep after 20 s"
	is_throttled || die "with a client: cpu.max $(cat "$doze_cgroup/cpu.max")"
	grep -qx 'frozen 0' "$doze_cgroup/cgroup.events" || die "frozen, with a client"
	before=$(count 'msg="awake"')
	echo >&3
	exec 3>&-
	wait $client || die "no answer"
	wait_for 5 wakes_are $((before + 1)) || die "no wake logged"
	is_fast "$(cat /tmp/answer)" || die "$(cat /tmp/answer) ms"
	echo "$(cat /tmp/answer) ms"
}

wakes_once_for_many() {
	falls_asleep
	before=$(count 'msg="awake"')
	clients=
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		in_ns client peer tcp 192.0.2.1 $port >/tmp/answer &
		clients="$clients $!"
	done
	for client in $clients; do
		wait "$client" || die "a client had no answer"
	done
	wakes_are $((before + 1)) || die "more wakes than one"
}

# The test itself runs in a subshell, which could not wait for doze.
test_sigterm() {
	wait_for 20 sleeps_more_than_wakes
	stop
	test_that "after SIGTERM nothing is left" has_ended $?
}

has_ended() { # EXIT-STATUS-OF-DOZE
	[ "$1" = 143 ] || die "exit status $1, not the 143 of the command"
	is_gone "$(server_pid)" || die "the command still runs"
	[ ! -e "$base/doze" ] || die "left behind: $(find $base/doze)"
	left=$(in_ns server /bin/tc qdisc show; ip -n server link show)
	echo "$left" | grep -qE 'clsact|xdp' && die "left behind: $left"
	return 0
}

survives_sigkill() {
	falls_asleep
	kill -KILL "$doze_pid"
	wait_for 3 is_full || die "the watchdog has not restored the cgroup"
	ms=$(in_ns client peer tcp 192.0.2.1 $port) || die "no answer after SIGKILL: $ms"
	[ "$ms" -lt 8000 ] || die "$ms ms"
	echo "$ms ms"
}

# The server still runs, in the cgroup of the doze that was killed.
cleans_up_after_a_killed_doze() {
	has 'thawed what a killed doze has left' || die "the cgroup was not swept"
	[ "$EXPECTED_HOOK" = tcx ] || has 'removed the filter of a killed doze' ||
		die "the tc filter was not removed"
}

# --- the whole ---

test_traffic() {
	test_that "veth, TCP over IPv4" wakes client tcp 192.0.2.1
	test_that "veth, UDP over IPv4" wakes client udp 192.0.2.1
	test_that "lo, TCP over IPv4" wakes server tcp 127.0.0.1
}

test_more_traffic() {
	test_that "veth, TCP over IPv6" wakes client tcp 2001:db8::1
	test_that "veth, UDP over IPv6" wakes client udp 2001:db8::1
	test_that "lo, TCP over IPv6" wakes server tcp ::1
	test_that "lo, UDP over IPv4" wakes server udp 127.0.0.1
	test_that "VLAN, TCP over IPv4" wakes client tcp 192.0.2.65
	test_that "VLAN, TCP over IPv6" wakes client tcp 2001:db8:5::1
	test_that "tun, TCP over IPv4" wakes client tcp 192.0.2.129
	test_that "tun, TCP over IPv6" wakes client tcp 2001:db8:6::1
	test_that "tun, UDP over IPv4" wakes client udp 192.0.2.129
	if [ "$READS_TUNNELS" = yes ]; then
		test_that "IP tunnel, TCP over IPv4" wakes client tcp 192.0.2.193
	else
		test_that "IP tunnel: said that it cannot be" has \
			'hides an IP tunnel.* interface=ipip0'
	fi
	test_that "data on an open connection" wakes_for_data_on_an_open_connection
	test_that "16 clients at once" wakes_once_for_many
	test_that "no CPU is used while frozen" uses_no_cpu_asleep
}

test_kill() {
	test_that "after SIGKILL the command is awake and answers" survives_sigkill
	kill -KILL "$(server_pid)"
	start --asleep="$mode"
	test_that "the next doze cleans up after the killed one" cleans_up_after_a_killed_doze
}

test_mode() { # freeze|throttle
	mode=$1
	start --asleep="$mode"
	[ "$mode" = freeze ] || keep_a_quota || give_up "throttle: no cgroup can have a quota"
	test_that "the gate is attached with hook=$EXPECTED_HOOK" gate_attached "$EXPECTED_HOOK"
	test_that "replay=$CAN_REPLAY, said once if not" replay_announced
	test_traffic
	[ "$mode" = throttle ] || test_more_traffic
	test_kill
	test_sigterm
}

test_hook() { # HOOK
	mode=freeze
	start --hook="$1" -i veth0 -i lo
	test_that "--hook=$1, veth" wakes client tcp 192.0.2.1
	test_that "--hook=$1, veth, IPv6" wakes client tcp 2001:db8::1
	test_that "--hook=$1, lo" wakes server tcp 127.0.0.1
	test_that "--hook=$1, VLAN" wakes client tcp 192.0.2.65
	test_sigterm
}

test_without_replay() {
	mode=freeze
	replays=no
	start --replay=off
	test_that "--replay=off, veth" wakes client tcp 192.0.2.1
	stop
}

# A pod of doze node, its cgroups alone; its memory can go to compressed memory.
test_pod() {
	if echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null; then
		swapon /dev/zram0
	fi
	pod "$RECLAIMS" 2>/tmp/pod.log || echo "not ok pod: ends with status $?"
	sed 's/^/# /' /tmp/pod.log
}

set_up_machine
(set -e && set_up_network) # -e would not count on the left of ||
# shellcheck disable=SC2181
[ $? = 0 ] || give_up "the guest's network"
replays=$CAN_REPLAY
test_mode freeze
test_mode throttle
for hook in xdp tc; do
	test_hook $hook
done
test_without_replay
test_pod
finish
