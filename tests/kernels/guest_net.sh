# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2086,SC2154
# The networks of the guest: two namespaces, and an interface in each for every kind of link.
#
#	client [veth0] ---- [veth0, lo] server		net 0; through it: VLAN, tun, tunnels
#	client [macvlan0] ---- [u-macvlan0] host	net 5, and so on: what the child of an
#	                 server [macvlan0] --'		interface of another namespace gets
#
# Net N is 192.0.2.(8N)/29 and 2001:db8:N::/64: the server is 1 there, the client 2, the host 3.

address4() { echo "192.0.2.$((8 * $1 + $2))"; } # NET HOST
address6() { echo "2001:db8:$1::$2"; }

give_address() { # NAMESPACE INTERFACE NET HOST
	ip -n "$1" address add "$(address4 "$3" "$4")/29" dev "$2"
	ip -n "$1" address add "$(address6 "$3" "$4")/64" dev "$2" nodad
	ip -n "$1" link set "$2" up
}

give_addresses() { # INTERFACE NET
	give_address server "$1" "$2" 1
	give_address client "$1" "$2" 2
}

set_up_network() {
	for ns in server client host; do
		ip netns add $ns
		ip -n $ns link set lo up
	done
	ip link add veth0 netns server type veth peer name veth0 netns client
	give_addresses veth0 0
	set_up_vlan
	set_up_tun
}

set_up_vlan() {
	for ns in server client; do
		ip -n $ns link add link veth0 name vlan0 type vlan id 5
	done
	give_addresses vlan0 1
}

set_up_tun() {
	peer tun tun0 /run/netns/server /run/netns/client &
	wait_for 20 in_ns client /bin/ip link show tun0 >/dev/null
	give_addresses tun0 2
}

# --- an IP tunnel: what it carries has no Ethernet header ---

set_up_tunnel() { # INTERFACE NET TYPE
	ip -n server link add "$1" type "$3" local 192.0.2.1 remote 192.0.2.2
	ip -n client link add "$1" type "$3" local 192.0.2.2 remote 192.0.2.1
	give_addresses "$1" "$2"
}

set_up_wireguard() { # INTERFACE NET
	for ns in server client; do
		ip -n $ns link add "$1" type wireguard
		wg genkey >/tmp/$ns.key
	done
	in_ns server wg set "$1" private-key /tmp/server.key listen-port 51820 \
		peer "$(wg pubkey </tmp/client.key)" allowed-ips 0.0.0.0/0,::/0
	in_ns client wg set "$1" private-key /tmp/client.key \
		peer "$(wg pubkey </tmp/server.key)" allowed-ips 0.0.0.0/0,::/0 \
		endpoint 192.0.2.1:51820
	give_addresses "$1" "$2"
}

# --- interfaces with a wire of their own ---

# The child of an interface that is another namespace's, as network plugins make it.
set_up_child() { # INTERFACE NET TYPE...
	child=$1
	net=$2
	shift 2
	ip link add "u-$child" netns host type veth peer name "$child" netns client
	ip -n host link set "u-$child" address "02:00:00:00:00:$((10 + net))"
	give_address host "u-$child" "$net" 3
	ip -n host link add "$child" link "u-$child" netns server type "$@"
	give_addresses "$child" "$net"
}

# Its child answers no ARP.
set_up_ipvlan_l3() { # INTERFACE NET MODE
	set_up_child "$1" "$2" ipvlan mode "$3"
	for address in $(address4 "$2" 1) $(address6 "$2" 1); do
		ip -n client neighbour add "$address" lladdr "02:00:00:00:00:$((10 + $2))" dev "$1"
	done
}

set_up_bond() { # INTERFACE NET
	ip link add "u-$1" netns server type veth peer name "$1" netns client
	ip -n server link add "$1" type bond mode active-backup
	ip -n server link set "u-$1" master "$1"
	ip -n server link set "u-$1" up
	give_addresses "$1" "$2"
}

# The server serves all VRFs.
set_up_vrf() { # INTERFACE NET
	for protocol in tcp udp; do
		in_ns server sysctl -qw net.ipv4.${protocol}_l3mdev_accept=1
	done
	ip -n server link add vrf0 type vrf table 10
	ip -n server link set vrf0 up
	ip link add "$1" netns server type veth peer name "$1" netns client
	ip -n server link set "$1" master vrf0
	give_addresses "$1" "$2"
}

# Its address is the VRF's own.
set_up_vrf_port() { # INTERFACE NET
	ip link add "$1" netns server type veth peer name "$1" netns client
	ip -n server link set "$1" addrgenmode none
	ip -n server link set "$1" master vrf0
	ip -n server link set "$1" up
	ip -n server address add "$(address4 "$2" 1)/32" dev vrf0
	ip -n server route add "$(address4 "$2" 2)" dev "$1" vrf vrf0
	give_address client "$1" "$2" 2
}

# --- IPVS ---

virtual_server() { # NAMESPACE VIRTUAL-ADDRESS:PORT FORWARDING
	in_ns "$1" ipvsadm -A -t "$2" -s rr
	in_ns "$1" ipvsadm -a -t "$2" -r 192.0.2.1:$port "$3"
}

# As kube-proxy has it on the node that the client runs on: the service's address is the node's own.
set_up_ipvs_node() {
	ip -n client address add "$(address4 31 1)/32" dev lo
	ip -n server route add "$(address4 31 1)" via 192.0.2.2
	virtual_server client "$(address4 31 1):80" --masquerading
}

# The server has the service's address, and answers by itself.
set_up_ipvs_direct() {
	ip -n client route add "$(address4 31 2)" via 192.0.2.1
	ip -n server address add "$(address4 31 2)/32" dev lo
	virtual_server client "$(address4 31 2):$port" --gatewaying
}

# Where the server itself translates the address: behind the gate.
set_up_ipvs_own() {
	ip -n client route add "$(address4 31 3)" via 192.0.2.1
	ip -n server address add "$(address4 31 3)/32" dev lo
	virtual_server server "$(address4 31 3):80" --masquerading
}
