# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2086,SC2154
# A server that sleeps behind each kind of interface, and a client whose SYN comes over it.

is_missing() { grep -qx "$1" /missing; } # MODULE

# Says why, if it cannot be. -e would not count in a condition.
made() { # SET-UP...
	(set -e && "$@") >/tmp/set_up 2>&1
	# shellcheck disable=SC2181
	[ $? = 0 ] || { echo "not ok $*" && sed 's/^/#   /' /tmp/set_up; }
}

make_links() {
	is_missing ipip || made set_up_tunnel ipip0 3 ipip
	is_missing ip_gre || made set_up_tunnel gre1 4 gre
	is_missing wireguard || made set_up_wireguard wg0 5
	is_missing macvlan || made set_up_child macvlan0 6 macvlan mode bridge
	is_missing ipvlan || made set_up_child ipvlan2 7 ipvlan mode l2
	is_missing ipvlan || made set_up_ipvlan_l3 ipvlan3 8 l3
	is_missing ipvlan || made set_up_ipvlan_l3 ipvlan3s 9 l3s
	is_missing bonding || made set_up_bond bond0 10
	is_missing vrf || made set_up_vrf vrf1 11
	is_missing vrf || made set_up_vrf_port vrf2 12
	is_missing ip_vs && return
	made set_up_ipvs_node
	made set_up_ipvs_direct
	made set_up_ipvs_own
}

# Where the gate does not see the SYN, the connection to accept shows at the next heartbeat.
link() { # FEATURE VALUE MODULE TESTS ARGUMENT...
	[ "$2" = 'within 1 s' ] && wake_reason=unseen || wake_reason=$syn_verdict
	if is_missing "$3"; then
		echo "ok $1 # SKIP this kernel has no $3"
		echo "cell $1|-"
	else
		feature "$1" "$2" test_"$4" "$1" "$5"
	fi
}

test_ipv4() { # NAME NET
	test_that "$1, TCP over IPv4" wakes client tcp "$(address4 "$2" 1)"
}

test_both() { # NAME NET
	test_ipv4 "$@"
	test_that "$1, TCP over IPv6" wakes client tcp "$(address6 "$2" 1)"
}

test_service() { # NAME ADDRESS:PORT
	test_that "$1" wakes client tcp "${2%:*}" "${2#*:}"
}

test_tunnels() {
	tunnel_value=$link_value
	if [ "$READS_TUNNELS" = no ]; then
		tunnel_value='within 1 s'
		test_that "said that an IP tunnel is not seen" has \
			'hides an IP tunnel.* interface=ipip0'
	fi
	link 'IP tunnel (ipip)' "$tunnel_value" ipip ipv4 3
	link GRE "$tunnel_value" ip_gre both 4
}

make_links
start
link veth "$link_value" veth both 0
link VLAN "$link_value" 8021q both 1
link tun "$link_value" tun both 2
test_tunnels
link WireGuard "$link_value" wireguard both 5
link macvlan "$link_value" macvlan both 6
link 'ipvlan, L2' "$link_value" ipvlan both 7
link 'ipvlan, L3' "$link_value" ipvlan both 8
link 'ipvlan, L3S' 'within 1 s' ipvlan both 9
link bond "$link_value" bonding both 10
link VRF "$link_value" vrf both 11
link 'VRF, its port without an address' "$link_value" vrf ipv4 12
link "IPVS on the client's node" "$link_value" ip_vs service "$(address4 31 1):80"
link 'IPVS, direct routing' "$link_value" ip_vs service "$(address4 31 2):$port"
link "IPVS in the server's own namespace" 'within 1 s' ip_vs service "$(address4 31 3):80"
stop
