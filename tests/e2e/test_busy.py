#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Idle means idle: who is at work stays awake, however quiet the wire is."""
import contextlib
import socket
import threading
import time

from client import Http, Udp
from harness import check, equal, main, test, wait_until

IDLE = "400ms"
IDLE_S = 0.4
MIB = 1 << 20


def stays_awake(doze, reason=None):
    """Nothing fell asleep so far, and doze said why."""
    equal(doze.count("asleep"), 0, "times it fell asleep in the middle")
    if reason:
        check(doze.stderr.matching(f'msg="idle, but busy".*reason={reason}'),
              f"the log does not say that it is {reason}")


def serve(t, net, *flags, **options):
    """doze around an application that listens already."""
    doze = t.doze(net, *flags, **options)
    doze.stdout.wait_for("serving")
    return doze


def connect(net, port=8080):
    sock = net.path().socket()
    sock.settimeout(30)
    sock.connect((net.path().server, port))
    return sock


def read_exactly(sock, length):
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        check(more, f"the connection ended after {len(data)} of {length} bytes")
        data += more
    return data


# --- requests ---


@test()
def computation_of_twenty_seconds_is_not_put_to_sleep(t):
    net = t.net()
    doze = serve(t, net, idle="2s")
    with Http(net.path()) as connection:
        start_s = time.monotonic()
        equal(connection.get("/compute/20"), {"steps": 2000}, "answer")
        check(time.monotonic() - start_s < 40, "the computation was slowed down")
        stays_awake(doze, "unanswered")
        asleep = doze.wait_asleep()
    check(int(asleep["idle_ms"]) >= 20000, "idle since the request's packet")


@test()
def computation_after_an_earlier_answer_on_the_same_connection_is_seen(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with Http(net.path()) as connection:
        for _ in range(20):
            connection.get()
        equal(connection.get("/compute/3"), {"steps": 300}, "answer")
        stays_awake(doze, "unanswered")


@test()
def computation_after_the_answer_has_begun_is_seen_by_its_cpu(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with Http(net.path()) as connection:
        connection.connection.request("GET", "/burn/3")
        equal(connection.connection.getresponse().read(), b"..", "answer")
        stays_awake(doze, "computing")
        doze.wait_asleep()


@test()
def stuck_connection_keeps_it_awake_no_longer_than_busy_max(t):
    net = t.net()
    doze = serve(t, net, "--busy-max=2s", idle=IDLE)
    with Http(net.path()) as connection:
        start_s = time.monotonic()
        connection.connection.request("GET", "/compute/25")
        doze.wait_log("idle, but busy")
        doze.wait_log("without progress for --busy-max")
        doze.wait_asleep()
        check(time.monotonic() - start_s >= 2, "asleep before --busy-max")


@test()
def without_limit_a_stuck_connection_keeps_it_awake(t):
    net = t.net()
    doze = serve(t, net, "--busy-max=0s", idle=IDLE)
    with Http(net.path()) as connection:
        equal(connection.get("/compute/4"), {"steps": 400}, "answer")
        stays_awake(doze, "unanswered")


# --- downloads and uploads ---


@test()
def slow_download_of_thirty_seconds_is_not_put_to_sleep(t):
    net = t.net()
    doze = serve(t, net, idle="1s")
    sock = net.path().socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    sock.settimeout(30)
    sock.connect((net.path().server, 8080))
    sock.sendall(b"GET /big/12 HTTP/1.1\r\nHost: x\r\n\r\n")
    start_s, got = time.monotonic(), 0
    while got < 12 * MIB:
        data = sock.recv(MIB // 4)
        check(data, f"the download ended after {got} bytes")
        got += len(data)
        behind_s = start_s + 30 * got / (12 * MIB) - time.monotonic()
        time.sleep(max(0, behind_s))  # the client's pace
    stays_awake(doze)
    sock.close()
    doze.wait_asleep()


@test()
def client_that_reads_nothing_for_longer_than_the_idle_time_loses_nothing(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with connect(net) as sock:
        sock.sendall(b"GET /big/16 HTTP/1.1\r\nHost: x\r\n\r\n")
        doze.wait_log("idle, but busy.*reason=(unacked|unanswered)")
        time.sleep(4 * IDLE_S)  # to give it time to do the wrong thing
        read_exactly(sock, 16 * MIB)
        stays_awake(doze, "(unacked|unanswered)")


@test()
def answer_in_drops_is_not_put_to_sleep_between_them(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with Http(net.path()) as connection:
        connection.connection.request("GET", "/drip/12")
        equal(len(connection.connection.getresponse().read()), 12, "bytes")
    stays_awake(doze, "sent_lately")
    doze.wait_asleep()


@test()
def upload_that_stalls_loses_nothing(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with connect(net) as sock:
        sock.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n")
        sock.sendall(bytes(1000000))
        doze.wait_log("idle, but busy.*reason=unanswered")
        time.sleep(3 * IDLE_S)  # the client's pause
        sock.sendall(bytes(1000000))
        check(b'"length": 2000000' in sock.recv(65536), "the upload did not arrive")
        stays_awake(doze)


# --- connections that wait ---


@test()
def connection_that_nobody_accepts_keeps_it_awake(t):
    net = t.net()
    doze = t.doze(net, "--busy-max=3s", command=["python3", "-c", """if True:
        import socket, time
        listener = socket.create_server(("", 8080))
        time.sleep(1000)"""], idle=IDLE)
    doze.wait_log('msg="asleep"')
    with connect(net):
        doze.wait_log("idle, but busy.*reason=not_accepted")


@test()
def request_that_nobody_reads_keeps_it_awake(t):
    net = t.net()
    doze = serve(t, net, command=("lazy:8080",), idle=IDLE)
    with connect(net) as sock:
        sock.sendall(b"anybody?")
        doze.wait_log("idle, but busy.*reason=unread")
        stays_awake(doze)


# --- connections that are quiet ---


@test()
def quiet_websocket_lets_it_sleep_and_its_next_message_wakes(t):
    net = t.net()
    doze = serve(t, net, command=("echo:8080",), idle=IDLE)
    with connect(net) as sock:
        for _ in range(3):
            sock.sendall(b"message")
            equal(read_exactly(sock, 7), b"message", "echo")
            doze.wait_asleep()
    equal(len(doze.stderr.matching('msg="awake".*reason=wake_payload')), 2, "wakes by a message")


@test()
def busy_websocket_keeps_it_awake(t):
    net = t.net()
    doze = serve(t, net, command=("echo:8080",), idle=IDLE)
    with connect(net) as sock:
        until_s = time.monotonic() + 6 * IDLE_S
        while time.monotonic() < until_s:
            sock.sendall(b"message")
            equal(read_exactly(sock, 7), b"message", "echo")
            time.sleep(IDLE_S / 4)  # the client's pace
        stays_awake(doze)


@test()
def connected_client_keeps_it_awake_if_it_must_not_sleep_with_connections(t):
    net = t.net()
    doze = serve(t, net, "--sleep-with-connections=no", command=("echo:8080",), idle=IDLE)
    with connect(net) as sock:
        sock.sendall(b"message")
        equal(read_exactly(sock, 7), b"message", "echo")
        doze.wait_log("idle, but busy.*reason=connected")
        time.sleep(4 * IDLE_S)  # to give it time to do the wrong thing
        stays_awake(doze)
    doze.wait_asleep()


@test()
def hundred_keepalive_connections_that_all_speak_at_once_are_all_answered(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Http(net.path())) for _ in range(100)]
        for connection in clients:
            connection.get()
        doze.wait_asleep()
        barrier, answers = threading.Barrier(100), []

        def speak(connection):
            barrier.wait()
            answers.append(connection.get()["client"])

        threads = [threading.Thread(target=speak, args=(c,)) for c in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        equal(answers, [net.path().client] * 100, "answers")
    equal(doze.wait_awake()["reason"], "wake_payload", "why it woke")


@test()
def megabyte_for_a_frozen_application_arrives_whole(t):
    net = t.net()
    doze = serve(t, net, idle=IDLE)
    with Http(net.path()) as connection:
        connection.get()
        doze.wait_asleep()
        check(connection.upload(MIB), "what arrived is not what was sent")
        equal(doze.wait_awake()["reason"], "wake_payload", "why it woke")


# --- UDP ---


@test()
def datagrams_from_the_application_keep_it_awake(t):
    net = t.net()
    doze = t.doze(net, command=["python3", "-c", """if True:
        import socket, time
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", 5353))
        while True:
            _, peer = sock.recvfrom(100)
            for number in range(20):
                sock.sendto(b"%d" % number, peer)
                time.sleep(0.1)"""], ports=("5353/udp",), idle=IDLE)
    doze.wait_asleep()
    with Udp(net.path(), 5353) as client:
        client.sock.send(b"subscribe")
        start_s = time.monotonic()
        for number in range(20):
            equal(client.sock.recv(100), b"%d" % number, "datagram")
        check(time.monotonic() - start_s < 4, "the stream was interrupted")
        equal(doze.count("asleep"), 1, "times it fell asleep")
        doze.wait_asleep()


# --- flapping and schedules ---


@test()
def target_that_flaps_gets_a_longer_idle_time_up_to_its_bound(t):
    net = t.net()
    doze = serve(t, net, "--idle-max=500ms", idle="200ms")
    for _ in range(5):
        doze.wait_asleep()
        with Http(net.path()) as connection:
            connection.get()
    told = [line.split("idle_after_ms=")[1] for line in
            doze.stderr.matching("woken soon after falling asleep")]
    equal(told, ["400", "500"], "idle times")


@test()
def woken_target_stays_awake_for_its_least_time(t):
    net = t.net()
    doze = serve(t, net, "--min-awake=2s", idle="100ms")
    doze.wait_asleep()
    start_s = time.monotonic()
    with Http(net.path()) as connection:
        connection.get()
    doze.wait_asleep()
    check(time.monotonic() - start_s >= 2, "asleep before --min-awake")


@test()
def schedule_keeps_it_awake_now(t):
    net = t.net()
    doze = serve(t, net, "--stay-awake=00:00-24:00", idle="100ms")
    doze.wait_log("hours to stay awake have begun")
    time.sleep(1)  # to give it time to do the wrong thing
    stays_awake(doze)


@test()
def schedule_of_another_hour_lets_it_sleep(t):
    net = t.net()
    hour = (time.gmtime().tm_hour + 12) % 24
    doze = serve(t, net, f"--stay-awake={hour:02}:00-{hour:02}:30", idle="100ms")
    doze.wait_asleep()


@test()
def schedule_wakes_it_at_its_start(t):
    """It begins at a full minute that is far enough away to be asleep before."""
    net = t.net()
    doze = serve(t, net, f"--stay-awake={next_minutes()}", idle="100ms")
    doze.wait_asleep()
    woken = doze.wait_log('msg="awake"', limit_s=120)
    equal(woken["reason"], "schedule", "why it woke")
    wait_until(lambda: doze.stderr.matching("hours to stay awake have begun"), "the log says so")


def next_minutes():
    soon = time.time() + 20
    start, end = (time.gmtime(soon + 60 * minutes) for minutes in (1, 3))
    return f"{start.tm_hour:02}:{start.tm_min:02}-{end.tm_hour:02}:{end.tm_min:02}"


if __name__ == "__main__":
    main()
