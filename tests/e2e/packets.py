# SPDX-License-Identifier: MIT
"""Single TCP segments, as nobody's TCP would send them."""
import json
import socket
import struct

import netns

FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp(source, destination, flags, *, port=8080, client_port=4321, payload=b"", is_damaged=False):
    """An IPv4 packet."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    segment = struct.pack("!HHIIBBHHH", client_port, port, 1000, 1 if flags & ACK else 0, 5 << 4,
                          flags, 65535, 0, 0) + payload
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment))
    checksum = _checksum(pseudo + segment) ^ (0x5555 if is_damaged else 0)
    segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, socket.IPPROTO_TCP,
                         0) + addresses
    return header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + segment


def server_mac(net):
    [link] = json.loads(netns.ip("-json", "-n", net.server, "link", "show", "eth0"))
    return link["address"]


def send(net, packet):
    """From the client's eth0 to the server's, whatever the addresses are."""
    there = bytes.fromhex(server_mac(net).replace(":", ""))
    with netns.inside(net.client):
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
            sock.sendto(packet, ("eth0", 0x0800, 0, 0, there))
