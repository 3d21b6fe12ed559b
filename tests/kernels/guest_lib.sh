# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2086,SC2154
# What the parts of guest.sh share: waiting, results, and a `doze run -- peer serve` in the
# namespace "server", whose clients are in the namespace "client".
port=8080
doze_pid=
doze_cgroup=

in_ns() { # NAMESPACE COMMAND...: `ip netns exec` would hide the cgroups under /sys
	ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
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

is_full() {
	grep -qx 0 "$doze_cgroup/cgroup.freeze" && grep -qx 'max 100000' "$doze_cgroup/cpu.max"
}

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
	cell=no
	echo "not ok $mode: $name"
	echo "$wrong" | sed 's/^/#   /'
	tail -n 25 $log | sed 's/^/#   log: /'
}

# A program that speaks TAP itself, as cmocka does: "not ok 7 # SKIP a_test" failed nothing.
test_program() { # NAME PROGRAM ARGUMENT...
	name=$1
	shift
	CMOCKA_MESSAGE_OUTPUT=TAP "$@" >/tmp/tap 2>&1
	status=$?
	sed -n -e "s/^not ok [0-9]* # SKIP \(.*\)/ok $name: \1 # SKIP on this kernel/p; t" \
		-e "s/^\(not ok\|ok\) [0-9]* - /\1 $name: /p" /tmp/tap
	[ $status = 0 ] && return
	cell=no
	echo "not ok $name: ends with status $status"
	tail -n 40 /tmp/tap | sed 's/^/#   /'
}

# A line of the table of what kernels support: $value, or "no" if one of its tests fails.
feature() { # NAME VALUE TESTS ARGUMENT...
	feature=$1
	cell=$2
	shift 2
	"$@"
	echo "cell $feature|$cell"
	echo "# $(cut -d ' ' -f 1 /proc/uptime) s since the start: $feature"
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
	nsenter --net=/run/netns/server doze run -p $port -p $port/udp \
		--idle-after=500ms --min-awake=0s --idle-max=500ms --log-level=debug "$@" \
		-- peer serve $port >>$log 2>&1 &
	doze_pid=$!
	doze_cgroup=$base/doze/run-$doze_pid
	wait_for 60 has 'msg="watching"' || give_up "doze does not start"
}

server_pid() { sed -n 's/.*msg="watching".* pid=\([0-9]*\).*/\1/p' $log; }

stop() {
	kill -TERM "$doze_pid"
	wait "$doze_pid"
}

# --- asleep, and awake ---

falls_asleep() {
	wait_for 20 sleeps_more_than_wakes || die "not asleep after 20 s"
	is_asleep || die "the cgroup is not asleep: $(head "$doze_cgroup"/c*.[fem][rvax]*)"
}

# Where nothing is replayed TCP has sent its SYN again after a second; UDP passes and waits.
came_as_it_should() { # "MS RETRANSMISSIONS"
	echo "${1% *} ms, ${1#* } SYNs sent again"
	last_wake_is_for "$wake_reason" || die "not woken by $wake_reason"
	if [ "$wake_reason" = drop_no_replay ]; then
		[ "${1#* }" -gt 0 ] || die "its first SYN was delivered, and nothing replays here"
	else
		[ "${1#* }" = 0 ] || die "its SYN was not delivered at the wake"
	fi
}

last_wake_is_for() { grep 'msg="awake"' $log | tail -n 1 | grep -q "reason=$1 "; }

# It may be asleep again where this machine is slow.
is_full_or_asleep_again() { is_full || sleeps_more_than_wakes; }

wakes() { # NAMESPACE PROTOCOL ADDRESS [PORT]
	falls_asleep
	before=$(count 'msg="awake"')
	answer=$(in_ns "$1" peer "$2" "$3" "${4-$port}") || die "no answer: $answer"
	wait_for 20 wakes_are $((before + 1)) || die "no wake logged"
	is_full_or_asleep_again || die "the cgroup is not full"
	[ "$2" = udp ] || came_as_it_should "$answer"
}
# The gate's verdict on a SYN, and what the client has of it.
if [ "$CAN_REPLAY" = yes ]; then
	syn_verdict=hold_syn link_value=yes
else
	syn_verdict=drop_no_replay link_value='after 1 s'
fi
wake_reason=$syn_verdict
