#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/lane.sh COMMAND...
# Runs a command in cgroups and with a /run/doze of its own, so that tests of doze run may run side
# by side: each doze run removes what a killed one has left there, and would take a running test's
# for such. The command sees its own cgroups as the whole hierarchies, as in a container.
set -eu

if [ "$(id -u)" != 0 ]; then
	exec "$@"
fi

name=doze-lane-$$

# Where the hierarchies are that doze run uses: of v1, and v2 alone or beside it.
hierarchies() {
	awk '$3 == "cgroup2" || ($3 == "cgroup" && ("," $4 ",") ~ /,(cpu|cpuacct|freezer),/) { print $2 }' \
		/proc/mounts
}

# A process that has left its cgroup a moment ago may still be counted there.
# shellcheck disable=SC2317 # by the trap
remove() {
	for hierarchy in $(hierarchies); do
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			find "$hierarchy/$name" -depth -type d -exec rmdir {} + 2>/dev/null || :
			[ -d "$hierarchy/$name" ] || break
			sleep 0.1
		done
	done
}

# The command is in a cgroup below what it sees as the root: in v2 only a root may have both
# processes and controllers for those below.
# shellcheck disable=SC2016
inside='
name=$1
shift
mkdir -p /run/doze
mount -t tmpfs none /run/doze
while read -r hierarchy; do
	mount --bind "$hierarchy/$name" "$hierarchy"
done <<END
$1
END
shift
exec "$@"
'

for hierarchy in $(hierarchies); do
	[ ! -e "$hierarchy/cgroup.subtree_control" ] ||
		echo '+cpu +memory' >"$hierarchy/cgroup.subtree_control" 2>/dev/null || :
	mkdir -p "$hierarchy/$name/self"
done
trap remove EXIT
trap 'kill "$child" 2>/dev/null' TERM INT
(
	pid=$(sh -c 'echo $PPID')
	for hierarchy in $(hierarchies); do
		echo "$pid" >"$hierarchy/$name/self/cgroup.procs"
	done
	exec unshare --mount sh -c "$inside" sh "$name" "$(hierarchies)" "$@"
) &
child=$!
status=0
wait $child || status=$?
exit $status
