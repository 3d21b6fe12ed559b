#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/fresh/elsewhere.sh PROGRAM...      as root; programs of tests, built already
# Runs them with tests/run.py on a machine that has other settings than this one: it forwards, filters
# by the way back, has IPv6 switched off, and a firewall (where nft is installed) that drops all. New
# network namespaces inherit what can be inherited. The machine's own settings stay what they are;
# only net.core.devconf_inherit_init_net, which says from whom namespaces inherit, is changed
# meanwhile.
set -eu
inherit=/proc/sys/net/core/devconf_inherit_init_net

if [ "${1:-}" != --inside ]; then
	old=$(cat $inherit)
	trap 'echo "$old" >$inherit' EXIT
	trap exit INT TERM
	echo 3 >$inherit # from the namespace of whoever makes one
	unshare --net "$0" --inside "$@"
	exit
fi
shift
cd "$(dirname "$0")/../.."
for name in all default lo; do
	echo 1 >/proc/sys/net/ipv4/conf/$name/forwarding
	echo 1 >/proc/sys/net/ipv4/conf/$name/rp_filter
	[ ! -e /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/$name/disable_ipv6
done
ip link set lo up
! command -v nft >/dev/null || nft 'add table inet foreign;
	add chain inet foreign input { type filter hook input priority 0; policy drop; };
	add rule inet foreign input iif lo accept'
tests/run.py "$@"
