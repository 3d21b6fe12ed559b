# SPDX-License-Identifier: MIT
"""Floods of packets that belong to nobody, and interfaces that come and go."""
import contextlib
import itertools
import json
import socket
import time

import answerer
import netns
import packets
from faults_process import pause
from ledger import LINK_DOWN, NOTE, STALL

BURST, BURSTS_PER_S = 20, 100
GRACE_S = 4  # neighbours that did not answer are told of as unreachable so long


def mac_of(namespace, name="eth0"):
    [link] = json.loads(netns.ip("-json", "-n", namespace, "link", "show", name))
    return bytes.fromhex(link["address"].replace(":", ""))


def sources(place, is_own):
    """Of the client itself, of neighbours that are not there, and of nowhere."""
    if is_own:
        return [place.client_address]
    net = place.address.rpartition(".")[0]
    return [f"{net}.{n}" for n in range(30, 50)] + [f"198.51.100.{n}" for n in range(1, 50)]


def make_packets(place, flags, payload, is_own):
    found = sources(place, is_own)
    return [packets.tcp(found[n % len(found)], place.address, flags, port=port, payload=payload,
                        client_port=1024 + n * 37 % 60000)
            for n in range(500) for port in (answerer.HTTP_PORT, answerer.PUSH_PORT)]


def flood(target, step, flags, payload=b"", is_own=False):
    place = target.places[int(step.chance * len(target.places))]
    frames = itertools.cycle(make_packets(place, flags, payload, is_own))
    to = (place.client_interface, 0x0800, 0, 0, mac_of(place.target_namespace, place.interface))
    until_s = time.monotonic() + step.ms / 1000
    with netns.inside(place.client_namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    with sock, contextlib.suppress(OSError):  # the interface is down at this moment
        while time.monotonic() < until_s:
            for frame in itertools.islice(frames, BURST):
                sock.sendto(frame, to)
            time.sleep(1 / BURSTS_PER_S)


def flood_syn(target, step):
    """Those of the client's own are reset by his kernel, when they are answered."""
    with target.ledger.window(STALL, step.kind, grace_s=GRACE_S):
        flood(target, step, packets.SYN)


def flood_payload(target, step):
    with target.ledger.window(NOTE, step.kind):
        flood(target, step, packets.ACK | packets.PSH, b"GET / HTTP/1.1\r\n\r\n", step.ms % 2)


def flood_rst(target, step):
    with target.ledger.window(NOTE, step.kind):
        flood(target, step, packets.RST, is_own=step.ms % 2)


def flood_fin(target, step):
    with target.ledger.window(NOTE, step.kind):
        flood(target, step, packets.FIN | packets.ACK, is_own=step.ms % 2)


def link_down(target, step):
    """The target's own side."""
    place = target.places[int(step.chance * len(target.places))]
    with target.ledger.window(LINK_DOWN, step.kind, place.name, GRACE_S):
        netns.ip("-n", place.target_namespace, "link", "set", place.interface, "down")
        pause(step)
        netns.ip("-n", place.target_namespace, "link", "set", place.interface, "up")
        target.restore_routes(place)


def link_cut(target, step):
    """The other side: the carrier is lost."""
    place = target.places[int(step.chance * len(target.places))]
    namespace, name = place.other_end
    with target.ledger.window(LINK_DOWN, step.kind, place.name, GRACE_S):
        netns.ip("-n", namespace, "link", "set", name, "down")
        pause(step)
        netns.ip("-n", namespace, "link", "set", name, "up")


def link_removed(target, step):
    """One of them, which is added again with the same addresses."""
    with target.ledger.window(LINK_DOWN, step.kind, target.places[-1].name, GRACE_S):
        target.remove_link()
        pause(step)
        target.add_link()


def link_added(target, step):
    """One that nobody uses."""
    namespace = target.places[-1].target_namespace
    netns.ip("-n", namespace, "link", "add", "chaos0", "type", "veth", "peer", "name", "chaos1")
    netns.ip("-n", namespace, "link", "set", "chaos0", "up")
    pause(step)
    netns.ip("-n", namespace, "link", "delete", "chaos0")


KINDS = {kind.__name__: kind for kind in (flood_syn, flood_payload, flood_rst, flood_fin, link_down,
                                          link_cut, link_removed, link_added)}
