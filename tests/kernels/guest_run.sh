# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2086,SC2154
# doze run on this kernel, with each hook and each kind of sleep.

# --- the tests ---

gate_attached() { # HOOK
	for interface in lo veth0 vlan0 tun0; do
		has "msg=\"gate attached\" interface=$interface hook=$1 " ||
			die "no gate with hook=$1 on $interface"
	done
}

replay_announced() {
	expected=$([ "$CAN_REPLAY" = yes ] && echo 0 || echo 1)
	[ "$(count 'this kernel cannot replay')" = "$expected" ] ||
		die "$(count 'this kernel cannot replay') warnings, expected $expected"
}

uses_no_cpu_asleep() {
	falls_asleep
	before=$(cpu_used_us)
	sleep 1
	[ "$(cpu_used_us)" = "$before" ] || die "used $before us, then $(cpu_used_us) us"
}

is_sent_once() { # "MS RETRANSMISSIONS"
	echo "${1% *} ms"
	[ "${1#* }" = 0 ] || die "its packet was dropped, and sent again"
}

wakes_for_data_on_an_open_connection() {
	wait_for 20 sleeps_more_than_wakes || die "not asleep"
	before=$(count 'msg="awake"')
	rm -f /tmp/line
	mkfifo /tmp/line
	in_ns client peer keep 192.0.2.1 $port </tmp/line >/tmp/answer &
	client=$!
	exec 3>/tmp/line
	wait_for 20 wakes_are $((before + 1)) || die "the client has not woken it"
	wait_for 20 sleeps_more_than_wakes || die "not asleep after 20 s"
	is_throttled || die "with a client: cpu.max $(cat "$doze_cgroup/cpu.max")"
	grep -qx 'frozen 0' "$doze_cgroup/cgroup.events" || die "frozen, with a client"
	echo >&3
	exec 3>&-
	wait $client || die "no answer"
	wait_for 20 wakes_are $((before + 2)) || die "no wake logged"
	is_sent_once "$(cat /tmp/answer)"
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
	wait_for 20 wakes_are $((before + 1)) || die "more wakes than one"
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
	wait_for 20 is_full || die "the watchdog has not restored the cgroup"
	ms=$(in_ns client peer tcp 192.0.2.1 $port) || die "no answer after SIGKILL: $ms"
	ms=${ms% *}
	[ "$ms" -lt 8000 ] || die "$ms ms"
	echo "$ms ms"
}

# The server still runs, in the cgroup of the doze that was killed.
cleans_up_after_a_killed_doze() {
	has 'thawed what a killed doze has left' || die "the cgroup was not swept"
	[ "$EXPECTED_HOOK" = tcx ] || has 'removed the filter of a killed doze' ||
		die "the tc filter was not removed"
}

# From a checker's address: doze answers it, and the server sleeps on.
answers_a_probe_asleep() {
	falls_asleep
	before=$(count 'msg="awake"')
	answer=$(in_ns client peer probe 192.0.2.1 $port) || die "no answer: $answer"
	[ "$answer" = 'HTTP/1.1 200 OK' ] || die "answered by '$answer'"
	wakes_are "$before" || die "it woke"
	is_asleep || die "the cgroup is not asleep any more"
}

# --- the whole ---

test_traffic() {
	test_that "veth, TCP over IPv4" wakes client tcp 192.0.2.1
	test_that "veth, UDP over IPv4" wakes client udp 192.0.2.1
	test_that "lo, TCP over IPv4" wakes server tcp 127.0.0.1
}

test_lo() {
	test_that "lo, TCP over IPv4" wakes server tcp 127.0.0.1
	test_that "lo, TCP over IPv6" wakes server tcp ::1
	test_that "lo, UDP over IPv4" wakes server udp 127.0.0.1
}

test_more_traffic() {
	test_that "veth, UDP over IPv6" wakes client udp "$(address6 0 1)"
	test_that "tun, UDP over IPv4" wakes client udp "$(address4 2 1)"
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
	test_traffic
	[ "$mode" = throttle ] || test_more_traffic
	test_kill
	test_sigterm
}

test_hook() { # HOOK
	start --hook="$1" -i veth0 -i lo
	test_that "--hook=$1, veth" wakes client tcp 192.0.2.1
	test_that "--hook=$1, veth, IPv6" wakes client tcp "$(address6 0 1)"
	test_that "--hook=$1, lo" wakes server tcp 127.0.0.1
	test_that "--hook=$1, VLAN" wakes client tcp "$(address4 1 1)"
	test_sigterm
}

test_probes() {
	start --ignore-source=192.0.2.2/32
	test_that "a probe is answered asleep" answers_a_probe_asleep
	wake_reason=handed_over
	test_that "a client from there wakes" wakes client tcp 192.0.2.1
	wake_reason=$syn_verdict
	stop
}

test_without_replay() {
	wake_reason=drop_no_replay
	start --replay=off
	test_that "--replay=off, veth" wakes client tcp 192.0.2.1
	stop
}

start --asleep=freeze --idle-after=1s --idle-max=1s
feature "hook that \`--hook=auto\` takes" "$EXPECTED_HOOK" \
	test_that "the gate is attached with hook=$EXPECTED_HOOK" gate_attached "$EXPECTED_HOOK"
feature 'the held SYN is delivered (replay)' "$CAN_REPLAY" \
	test_that "replay=$CAN_REPLAY, said once if not" replay_announced
feature lo "$link_value" test_lo
feature 'cgroup v2: freeze' yes test_mode freeze
start --asleep=throttle
feature 'cgroup v2: throttle (`cpu.max`)' yes test_mode throttle
mode=freeze
if [ "$EXPECTED_HOOK" = tc ]; then
	echo "cell \`--hook=tc\`|yes" # auto has taken it in all that was tested
else
	feature '`--hook=tc`' yes test_hook tc
fi
feature '`--hook=xdp`' yes test_hook xdp
feature 'probes are answered asleep' yes test_probes
[ "$CAN_REPLAY" = no ] || test_without_replay
