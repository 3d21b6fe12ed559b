#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Probes neither wake the application nor keep it awake, and never fail; clients from the
same address do wake it, and lose nothing."""
import contextlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time

import netns
from client import Http
from harness import Failure, HERE, Skip, check, equal, main, test, wait_until
from probers import (AGENT, GrpcProbe, Hpack, HttpProbe, HttpsProbe, Kubelet, PREFACE,
                     ProbeFailure, TcpProbe, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, ACK,
                     frame, read_all, read_frame, silent_connection)

sys.path.insert(0, os.path.join(HERE, "..", "fake"))
# pylint: disable=wrong-import-position
import tls  # noqa: E402

IDLE_S = 1.0
NODE = "--probe-source=192.0.2.1"
NODE6 = "--probe-source=2001:db8::1"


def serve(t, net, *flags, idle="1s", **options):
    doze = t.doze(net, *flags, idle=idle, **options)
    doze.stdout.wait_for("serving|listening")
    return doze


def healthd(t, kind, port=8080):
    """healthd.py, healthy, as a command."""
    directory = t.stack.enter_context(tempfile.TemporaryDirectory())
    ready = os.path.join(directory, "ready")
    with open(ready, "w"):
        pass
    files = tls.Authority(directory).server(["192.0.2.2"]) if kind == "https" else []
    return [sys.executable, os.path.join(HERE, "healthd.py"), kind, str(port), ready, *files]


KINDS = {
    "tcp": (lambda path: TcpProbe(path, 8080), None),
    "http": (lambda path: HttpProbe(path, 8080, "/"), None),
    "grpc": (lambda path: GrpcProbe(path, 8080), "grpc"),
    "https": (lambda path: HttpsProbe(path, 8080), "https"),
}


def serve_kind(t, net, kind, *flags):
    server = KINDS[kind][1]
    more = ["--probe-https=8080"] if kind == "https" else []
    if server:
        return serve(t, net, *flags, *more, command=healthd(t, server))
    return serve(t, net, *flags, *more)


def woken(doze):
    return doze.count("awake")


# --- all four kinds ---


@test([(kind, family) for kind in KINDS for family in (4, 6) if (kind, family) not in
       (("grpc", 6), ("https", 6))])
def probe_every_second_for_a_minute_neither_wakes_nor_fails(t, kind, family):
    """At three times the pace, for a third of the time; after the first idle time it sleeps."""
    net = t.net()
    doze = serve_kind(t, net, kind, NODE if family == 4 else NODE6)
    probe = KINDS[kind][0](net.path(family=family))
    with Kubelet(probe, period_s=0.3) as kubelet:
        doze.wait_asleep()
        time.sleep(12)  # the time that is claimed
        equal(woken(doze), 0, "wakes")
        check(doze.cgroup.is_frozen(), "asleep, but not frozen")
    equal(kubelet.failures, [], "probes that failed")
    check(kubelet.passed > 35, f"only {kubelet.passed} probes")


@test()
def all_probes_together_for_a_minute(t):
    net = t.net()
    doze = serve(t, net, NODE, "--probe-port=8081", "--probe-port=8082", "--probe-https=8083",
                 command=("http:8081", "http:8082", "http:8083", "http:8080"))
    path = net.path()
    doze.wait_asleep()
    probes = [HttpProbe(path, 8080, "/"), HttpProbe(path, 8081, "/"), TcpProbe(path, 8080),
              GrpcProbe(path, 8082), HttpsProbe(path, 8083)]
    with Kubelet(*probes) as kubelet:
        time.sleep(60)  # the time that is claimed
    equal(kubelet.failures, [], "probes that failed")
    check(kubelet.passed >= 5 * 58, f"only {kubelet.passed} probes")
    equal(woken(doze), 0, "wakes")
    answer = probes[0].answer
    check(b"\r\nX-Doze: asleep\r\n" in answer, f"the answer does not say so: {answer!r}")


@test([(kind,) for kind in KINDS])
def probe_while_awake_is_answered_by_the_application_and_no_activity(t, kind):
    net = t.net()
    doze = serve_kind(t, net, kind, NODE)
    probe = KINDS[kind][0](net.path())
    start_s = time.monotonic()
    with Kubelet(probe, period_s=0.1) as kubelet:
        doze.wait_asleep()
        took_s = time.monotonic() - start_s
    check(took_s < 3 * IDLE_S, f"asleep after {took_s:.1f} s only")
    equal(kubelet.failures, [], "probes that failed")


# --- clients from the address that probes come from ---


@test()
def client_from_the_same_address_wakes_and_its_bytes_arrive(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    with Http(net.path()) as connection:
        check(connection.upload(3 << 20), "what arrived is not what was sent")
        awake = doze.wait_awake()
        equal(awake["reason"], "handed_over", "why it woke")
        equal(awake["client"].split(":")[0], "192.0.2.1", "the client")
        for _ in range(3):
            connection.get()
    with Http(net.path()) as later:
        equal(later.get()["client"], "192.0.2.1", "the next client, as the application sees it")


@test()
def probes_and_clients_mixed_from_one_address_all_are_answered(t):
    """gRPC and HTTPS by applications beside it, which doze does not put to sleep."""
    net = t.net()
    doze = serve(t, net, NODE, "--probe-port=8082", "--probe-https=8083")
    for kind, port in ("grpc", 8082), ("https", 8083):
        t.process(*t.in_server(net, *healthd(t, kind, port))).stdout.wait_for("listening")
    path, failed, asked = net.path(), [], 0
    probes = (HttpProbe(path, 8080, "/"), TcpProbe(path, 8080), GrpcProbe(path, 8082),
              HttpsProbe(path, 8083))
    with Kubelet(*probes, period_s=0.1) as kubelet:
        for _ in range(6):
            doze.wait_asleep()
            for _ in range(5):
                try:
                    with Http(path) as connection:
                        connection.get("/compute/1" if asked % 5 == 4 else "/")
                except (OSError, AssertionError) as why:
                    failed.append(repr(why))
                asked += 1
    equal(failed, [], "requests that failed")
    equal(kubelet.failures, [], "probes that failed")
    equal(woken(doze), 6, "wakes")


@test()
def client_from_the_same_address_keeps_it_awake(t):
    net = t.net()
    doze = serve(t, net, NODE)
    until_s = time.monotonic() + 4 * IDLE_S
    with Http(net.path()) as connection:
        while time.monotonic() < until_s:
            connection.get()
            time.sleep(IDLE_S / 5)  # the client's pace
        equal(doze.count("asleep"), 0, "times it fell asleep in the middle")
    doze.wait_asleep()


@test()
def long_request_from_the_same_address_is_not_put_to_sleep(t):
    net = t.net()
    doze = serve(t, net, NODE)
    with Http(net.path()) as connection:
        equal(connection.get("/compute/5"), {"steps": 500}, "answer")
    equal(doze.count("asleep"), 0, "times it fell asleep in the middle")


def read_for(sock, seconds):
    """Whatever comes in that time."""
    until_s, got = time.monotonic() + seconds, 0
    while time.monotonic() < until_s:
        got += len(sock.recv(65536))
    return got


@test()
def stream_by_https_from_the_same_address_is_not_put_to_sleep(t):
    """Its request may be a probe's, for all that can be seen; what it gets is not."""
    net = t.net()
    doze = serve_kind(t, net, "https", NODE)
    with HttpsProbe(net.path(), 8080).connect() as sock:
        sock.settimeout(30)
        sock.sendall(b"GET /drip HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n\r\n")
        read_for(sock, 2.5 * IDLE_S)
        equal(doze.count("asleep"), 0, "times it fell asleep in the middle")
    doze.wait_asleep()


@test()
def stream_that_nobody_has_asked_for_is_not_put_to_sleep(t):
    net = t.net()
    doze = serve(t, net, NODE, command=("ticker:8080",))
    with silent_connection(net.path(), 8080) as sock:
        read_for(sock, 2.5 * IDLE_S)
        equal(doze.count("asleep"), 0, "times it fell asleep in the middle")
    doze.wait_asleep()


@test()
def client_that_says_nothing_until_the_server_has_spoken_is_served(t):
    net = t.net()
    doze = serve(t, net, NODE, command=("banner:8080",))
    doze.wait_asleep()
    with silent_connection(net.path(), 8080) as sock:
        equal(sock.recv(100), b"hello\n", "greeting")
        sock.sendall(b"and so on")
        equal(sock.recv(100), b"and so on", "echo")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


@test()
def half_closed_and_reset_connections_are_carried_on_as_such(t):
    net = t.net()
    doze = serve(t, net, NODE, command=("echo:8080",))
    doze.wait_asleep()
    with silent_connection(net.path(), 8080) as sock:
        sock.sendall(b"all I have to say")
        sock.shutdown(1)
        equal(read_all(sock), b"all I have to say", "echo")
    doze.wait_awake()


@test()
def slow_download_over_a_carried_connection_arrives_whole(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    sock = net.path().socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    sock.settimeout(30)
    sock.connect((net.path().server, 8080))
    with sock:
        sock.sendall(b"GET /big/12 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = len(sock.recv(1000))
        time.sleep(3 * IDLE_S)  # the client's pause: all buffers in between are full
        # What is left near the end may be in the client's kernel, and the application idle.
        while got < 11 << 20:
            equal(doze.count("asleep"), 1, "times it fell asleep before the end")
            got += len(sock.recv(1 << 20))
        got += len(read_all(sock))
    check(got > 12 << 20, f"only {got} bytes of 12 MiB")


@test()
def client_that_resets_a_carried_connection_harms_no_other(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    sock = silent_connection(net.path(), 8080)
    sock.sendall(b"GET /big/64 HTTP/1.1\r\nHost: x\r\n\r\n")
    check(sock.recv(100), "no answer")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    doze.wait_awake()
    with Http(net.path()) as connection:
        connection.get()
    doze.wait_asleep()  # nothing of the other is left to keep it busy


@test()
def client_of_grpc_from_the_same_address_gets_its_answer_from_the_application(t):
    """The application sees one SETTINGS ACK, of its own SETTINGS."""
    net = t.net()
    doze = serve(t, net, NODE, command=healthd(t, "grpc"))
    doze.wait_asleep()
    call_grpc(net.path(), "/grpc.health.v1.Health/Check", "my-client/1.0")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


def call_grpc(path, method, agent):
    with silent_connection(path, 8080) as sock:
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
        reader = sock.makefile("rb")
        read_frame(reader)
        sock.sendall(frame(SETTINGS, ACK, 0))
        sock.sendall(frame(HEADERS, END_HEADERS, 1, Hpack().encode([
            (":method", "POST"), (":scheme", "http"), (":path", method),
            (":authority", "x"), ("content-type", "application/grpc"), ("user-agent", agent),
            ("te", "trailers")])) + frame(DATA, END_STREAM, 1, b"\0\0\0\0\0"))
        message = b""
        while True:
            kind, flags, payload = read_frame(reader)
            if kind == SETTINGS and not flags & ACK:
                sock.sendall(frame(SETTINGS, ACK, 0))
            if kind == DATA:
                message += payload
            if flags & END_STREAM and kind in (DATA, HEADERS):
                break
        equal(message, b"\0\0\0\0\2\x08\x01", "the answer")


@test()
def client_of_https_from_the_same_address_is_carried_on(t):
    net = t.net()
    doze = serve_kind(t, net, "https", NODE)
    doze.wait_asleep()
    probe = HttpsProbe(net.path(), 8080)
    with probe.connect() as sock:
        sock.settimeout(30)
        sock.sendall(b"GET /mine HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n\r\n")
        check(read_all(sock).startswith(b"HTTP/1.1 200 "), "no answer of the application")
    doze.stdout.wait_for("https GET /mine")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


# --- what only looks like a probe ---

PROBE = (f"GET /healthz HTTP/1.1\r\nHost: x\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n"
         "Connection: close\r\n\r\n")
NOT_PROBES = {
    "another user agent": PROBE.replace(AGENT, "curl/8.0"),
    "the agent in the middle": PROBE.replace(AGENT, f"curl/8.0 {AGENT}"),
    "the agent in another header": PROBE.replace("User-Agent", "X-Forwarded-Agent"),
    "the agent in the path": PROBE.replace(AGENT, "me").replace("/healthz", "/kube-probe/1.36"),
    "a POST": PROBE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"),
    "HTTP/1.0": PROBE.replace("HTTP/1.1", "HTTP/1.0"),
    "a second request behind it": PROBE + "GET /mine HTTP/1.1\r\nHost: x\r\n\r\n",
    "8 kB of headers before the agent": PROBE.replace(
        "User-Agent", "X-Long: " + 8192 * "a" + "\r\nUser-Agent"),
}


@test([(name,) for name in NOT_PROBES])
def client_that_resembles_a_probe_wakes(t, name):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    with silent_connection(net.path(), 8080) as sock:
        sock.sendall(NOT_PROBES[name].encode())
        check(sock.recv(65536).startswith(b"HTTP/1.1 "), "no answer")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


def ask_with(path, sent):
    """The client's port."""
    with silent_connection(path, 8080) as sock:
        sock.sendall(sent.encode())
        check(sock.recv(65536).startswith(b"HTTP/1.1 "), "no answer")
        return sock.getsockname()[1]


@test()
def client_that_resembles_a_probe_is_one_while_awake_as_well(t):
    """Again, if a client was recognized a moment before: then nobody is judged, and all count."""
    net = t.net()
    doze = serve(t, net, NODE, "--stay-awake=Mon-Sun 00:00-24:00", "--log-level=debug")
    path = net.path()

    def is_recognized(sent):
        line = rf'"a client where probes come from".*client=192.0.2.1:{ask_with(path, sent)}$'
        with contextlib.suppress(Failure):
            return doze.stderr.wait_for(line, limit_s=IDLE_S / 8)
        return False

    probe = ask_with(path, PROBE)
    for name, sent in NOT_PROBES.items():
        if len(sent) > 3000:
            continue  # it counts without a judgement (GATE_FRAME_MAX)
        wait_until(lambda sent=sent: is_recognized(sent), f"{name} is no probe", limit_s=5)
    check(not doze.stderr.matching(rf"client=192.0.2.1:{probe}$"), "nor is a probe")


@test()
def probe_by_ipv6_is_answered_although_lo_has_none(t):
    net = t.net()
    netns.set_here(net.server, "ipv6/conf/lo/disable_ipv6", "1")
    doze = serve(t, net, NODE6)
    doze.wait_asleep()
    probe = HttpProbe(net.path(family=6), 8080, "/")
    probe()
    check(b"X-Doze: asleep" in probe.answer, f"answered by the application: {probe.answer!r}")


@test()
def probe_in_pieces_with_other_capitals_is_a_probe_still(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    text = PROBE.replace("User-Agent", "uSER-aGENT").replace("Connection", "CONNECTION").encode()
    with silent_connection(net.path(), 8080) as sock:
        for at in range(0, len(text), 7):
            sock.sendall(text[at:at + 7])
        check(b"X-Doze: asleep" in read_all(sock), "no answer of doze")
    equal(woken(doze), 0, "wakes")


# --- the other ways ---


@test()
def probes_that_are_passed_reach_the_sleeping_application_and_wait(t):
    net = t.net()
    doze = serve(t, net, NODE, "--probes=pass")
    doze.wait_asleep()
    sock = silent_connection(net.path(), 8080)
    sock.sendall(PROBE.encode())
    sock.settimeout(1)
    with contextlib.suppress(TimeoutError):
        raise Failure(f"answered while asleep: {sock.recv(100)!r}")
    equal(woken(doze), 0, "wakes")
    with Http(net.path()) as connection:
        connection.get()
    equal(doze.wait_awake()["reason"], "pass_judged", "why it woke")
    sock.settimeout(30)
    check(sock.recv(100).startswith(b"HTTP/1.1 "), "no answer after it woke")
    sock.close()


def ask_silently(path):
    with silent_connection(path, 8080) as sock:
        equal(sock.recv(100), b"hello\n", "greeting")


def ask_in_halves(path):
    with silent_connection(path, 8080) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHos")
        check(sock.recv(100), "no answer")


def ask_by_https(path):
    with HttpsProbe(path, 8080).connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\n\r\n")
        check(read_all(sock).startswith(b"HTTP/1.1 200 "), "no answer")


@test([(ask_silently,), (ask_in_halves,), (ask_by_https,)])
def who_waits_among_probes_that_are_passed_wakes(t, ask):
    net = t.net()
    if ask is ask_by_https:
        doze = serve_kind(t, net, "https", NODE, "--probes=pass")
    else:
        doze = serve(t, net, NODE, "--probes=pass", command=("banner:8080",))
    doze.wait_asleep()
    ask(net.path())
    equal(doze.wait_awake()["reason"], "waiting", "why it woke")


@test()
def where_there_is_no_sk_lookup_it_says_so_and_passes_probes(t):
    net = t.net()
    wrap = (sys.executable, os.path.join(HERE, "no_links.py"))
    doze = serve(t, net, NODE, "--hook=tc", wrap=wrap)
    doze.wait_log("no sk_lookup.*they are passed on to it")
    doze.wait_asleep()
    TcpProbe(net.path(), 8080)()
    with silent_connection(net.path(), 8080) as probe:
        probe.sendall(PROBE.encode())
        time.sleep(0.7)  # who has waited for so long would have woken it
        equal(woken(doze), 0, "wakes")
        with Http(net.path()) as connection:
            connection.get()
        equal(doze.wait_awake()["reason"], "pass_judged", "why it woke")
        check(probe.recv(100).startswith(b"HTTP/1.1 "), "no answer after it woke")


@test()
def probes_that_shall_wake_do(t):
    net = t.net()
    doze = serve(t, net, "--probes=wake")
    doze.wait_asleep()
    HttpProbe(net.path(), 8080, "/")()
    equal(doze.wait_awake()["reason"], "hold_syn", "why it woke")


@test()
def where_no_source_is_known_a_probe_is_traffic(t):
    net = t.net()
    doze = serve(t, net)
    doze.wait_asleep()
    HttpProbe(net.path(), 8080, "/")()
    equal(doze.wait_awake()["reason"], "hold_syn", "why it woke")


# --- other checkers: a load balancer's, a scraper ---

BALANCER = "--ignore-source=192.0.2.1"
CHECK = b"GET /lb HTTP/1.1\r\nHost: x\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"


def answer_to(path, sent):
    with silent_connection(path, 8080) as sock:
        sock.sendall(sent)
        return sock.recv(65536)


def answer_is_ours(path, sent):
    return b"\r\nX-Doze: asleep\r\n" in answer_to(path, sent)


@test()
def load_balancer_checks_and_serves_from_one_address(t):
    """The checker gets doze's answer, and the request that it forwards the application's."""
    net = t.net()
    doze = serve(t, net, BALANCER)
    path = net.path()
    doze.wait_asleep()
    check(answer_is_ours(path, CHECK), "the check is not answered by doze")
    check(answer_is_ours(path, CHECK.replace(b"GET", b"HEAD")), "nor by HEAD")
    check(answer_is_ours(path, CHECK.replace(b"ELB-HealthChecker/2.0", b"GoogleHC/1.0")), "Google")
    TcpProbe(path, 8080)()
    equal(woken(doze), 0, "wakes")
    with Http(path) as client:
        check(client.get()["pid"], "the application's answer")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


@test()
def load_balancer_keeps_it_awake_by_its_clients_and_not_by_its_checks(t):
    net = t.net()
    doze = serve(t, net, BALANCER)
    path = net.path()
    with Http(path) as client:
        until_s = time.monotonic() + 4 * IDLE_S
        while time.monotonic() < until_s:
            client.get()
            time.sleep(IDLE_S / 5)  # the client's pace
    equal(doze.count("asleep"), 0, "times it fell asleep in the middle")
    wait_until(lambda: answer_is_ours(path, CHECK), "it sleeps, whatever is checked")
    equal(woken(doze), 0, "wakes")


@test([(sent,) for sent in (
    b"OPTIONS / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nUser-Agent: GoogleHC/1.0\r\nContent-Length: 2\r\n\r\n{}",
    b"*1\r\n$4\r\nPING\r\n",
    b"\0\0\0\x08\x04\xd2\x16\x2f",
    b"GET / HTTP/1.1\r\nHo",
    b"\x16\3\1\2\0\1")])
def what_is_no_check_reaches_the_application(t, sent):
    """haproxy's checks by HTTP and redis, PostgreSQL asked for TLS, half of a request, TLS."""
    net = t.net()
    doze = serve(t, net, BALANCER, command=("echo:8080",))
    doze.wait_asleep()
    with silent_connection(net.path(), 8080) as sock:
        sock.sendall(sent)
        got = b""
        while len(got) < len(sent):
            got += sock.recv(100)
        equal(got, sent, "echo")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


@test()
def who_waits_for_a_greeting_at_a_load_balancer_gets_it(t):
    """A client of MySQL, or haproxy's check of it."""
    net = t.net()
    doze = serve(t, net, BALANCER, command=("banner:8080",))
    doze.wait_asleep()
    TcpProbe(net.path(), 8080)()
    with silent_connection(net.path(), 8080) as sock:
        equal(sock.recv(100), b"hello\n", "greeting")
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


@test()
def check_by_https_is_known_by_what_is_inside(t):
    net = t.net()
    doze = serve_kind(t, net, "https", BALANCER)
    doze.wait_asleep()
    with HttpsProbe(net.path(), 8080).connect() as sock:
        sock.sendall(CHECK)
        check(b"\r\nX-Doze: asleep\r\n" in sock.recv(65536), "the check is not answered by doze")
    equal(woken(doze), 0, "wakes")
    ask_by_https(net.path())
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


@test()
def user_agent_of_another_checker_can_be_named(t):
    net = t.net()
    doze = serve(t, net, BALANCER, "--probe-agent=Prometheus/")
    doze.wait_asleep()
    answer = answer_to(net.path(), CHECK.replace(b"ELB-HealthChecker", b"Prometheus"))
    equal(answer.partition(b"\r\n\r\n")[2], b"# asleep\n", "what a scraper takes for a comment")
    equal(woken(doze), 0, "wakes")
    answer_to(net.path(), CHECK.replace(b"ELB-HealthChecker", b"Elsewhere"))
    doze.wait_awake()


@test()
def ignored_request_does_not_keep_it_awake_but_wakes(t):
    net = t.net()
    doze = serve(t, net, "--ignore-http=GET /healthz")
    probe = HttpProbe(net.path(), 8080, "/healthz")
    wait_until(lambda: passes(probe), "the application is healthy")
    with Kubelet(probe, period_s=0.2):
        doze.wait_asleep()
    with Http(net.path()) as connection:
        connection.connection.request("GET", "/healthz")
        connection.connection.getresponse()
    doze.wait_awake()


SCRAPES = "--ignore-http=GET /healthz", "/healthz", {}
CHECKS = BALANCER, "/", {"User-Agent": "GoogleHC/1.0"}


def ask_on(connection, url, headers):
    connection.connection.request("GET", url, headers=headers)
    check(connection.connection.getresponse().read(), "no answer")


def ask_until_asleep(doze, connection, url, headers):
    """At five times the pace of the idle time."""
    until_s = time.monotonic() + 20 * IDLE_S
    while not doze.count("asleep"):
        ask_on(connection, url, headers)
        check(time.monotonic() < until_s, "awake, although nothing but probes has come")
        time.sleep(IDLE_S / 5)  # the scraper's pace


@test([SCRAPES, CHECKS])
def checker_that_keeps_its_connection_does_not_keep_it_awake(t, flag, url, headers):
    """Frozen, it can answer nobody: the next one wakes it."""
    net = t.net()
    doze = serve(t, net, flag)
    with Http(net.path()) as connection:
        connection.get()
        ask_until_asleep(doze, connection, url, headers)
        ask_on(connection, url, headers)


@test([SCRAPES, CHECKS])
def checker_that_keeps_its_connection_gets_its_answer_without_a_wake(t, flag, url, headers):
    net = t.net()
    doze = serve(t, net, flag, "--asleep=throttle", "--asleep-cpu=200m")
    with Http(net.path()) as connection:
        connection.get()
        ask_until_asleep(doze, connection, url, headers)
        for _ in range(5):
            ask_on(connection, url, headers)
            time.sleep(IDLE_S / 5)  # the scraper's pace
        equal(woken(doze), 0, "wakes")
        connection.get()
    equal(doze.wait_awake()["reason"], "pass_judged", "why it woke")


@test()
def other_requests_among_ignored_ones_on_a_connection_count(t):
    net = t.net()
    doze = serve(t, net, "--ignore-http=GET /healthz")
    probe = HttpProbe(net.path(), 8080, "/healthz")
    wait_until(lambda: passes(probe), "the application is healthy")
    until_s = time.monotonic() + 4 * IDLE_S
    with Http(net.path()) as connection:
        while time.monotonic() < until_s:
            connection.get()
            connection.get("/healthz")
            time.sleep(IDLE_S / 5)  # the client's pace
    equal(doze.count("asleep"), 0, "times it fell asleep")


@test()
def other_requests_beside_ignored_ones_count(t):
    net = t.net()
    doze = serve(t, net, "--ignore-http=GET /healthz")
    until_s = time.monotonic() + 4 * IDLE_S
    while time.monotonic() < until_s:
        with Http(net.path()) as connection:
            connection.get()
        time.sleep(IDLE_S / 5)  # the client's pace
    equal(doze.count("asleep"), 0, "times it fell asleep")


# --- when things end ---


def passes(probe):
    with contextlib.suppress(ProbeFailure):
        probe()
        return True
    return False


@test()
def probes_reach_the_application_again_when_doze_is_killed(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    probe = HttpProbe(net.path(), 8080, "/")
    probe()
    check(b"X-Doze" in probe.answer, "not answered by doze")
    doze.signal(signal.SIGKILL)
    doze.wait()
    wait_until(lambda: passes(probe) and b"X-Doze" not in probe.answer,
               "the application answers its probes")
    os.kill(json.loads(probe.answer.split(b"\r\n\r\n")[1])["pid"], signal.SIGKILL)
    wait_until(lambda: not net.listens(8080), "the application has ended")
    t.sweep(net)


@test()
def many_probes_at_the_same_moment_are_all_answered(t):
    net = t.net()
    doze = serve(t, net, NODE)
    doze.wait_asleep()
    barrier, failures = threading.Barrier(100), []

    def ask():
        probe = HttpProbe(net.path(), 8080)
        barrier.wait()
        try:
            probe()
        except ProbeFailure as why:
            failures.append(str(why))

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "probes that failed")
    equal(woken(doze), 0, "wakes")


@test([(300, 256), (1500, None)])
def more_clients_at_once_than_doze_can_carry_are_all_answered(t, clients, files):
    """files: as many as doze may have open, of which each client needs two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < clients + 100:
        raise Skip(f"only {most} files may be open here, and {clients} clients need one each")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wrap = ("prlimit", f"--nofile={files}") if files else ()
    net = t.net()
    doze = serve(t, net, NODE, wrap=wrap)
    doze.wait_asleep()
    request = "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: me\r\nConnection: close\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(net.path().socket()) for _ in range(clients)]
        for sock in socks:
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((net.path().server, 8080))
        for sock in socks:
            sock.settimeout(30)
            sock.sendall(request)
        for sock in socks:
            check(read_all(sock).startswith(b"HTTP/1.1 200 "), "no answer")
            sock.close()
    equal(doze.wait_awake()["reason"], "handed_over", "why it woke")


if __name__ == "__main__":
    main()
