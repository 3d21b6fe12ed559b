#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reason for everything: doze status, /metrics and /status tell what a target does, and why."""
import contextlib
import http.client
import json
import os
import re
import socket
import stat
import tempfile

from client import Http
from harness import check, equal, main, test, wait_until

LISTEN = ("127.0.0.1", 9090)


def socket_path(t):
    directory = t.stack.enter_context(tempfile.TemporaryDirectory())
    return os.path.join(directory, "doze.sock")


def serve(t, net, *flags, **options):
    doze = t.doze(net, *flags, **options)
    doze.stdout.wait_for("serving")
    return doze


def status(t, net, *arguments):
    """The text of doze status."""
    told = t.plain_doze(net, "status", *arguments)
    equal(told.wait(), 0, f"exit status; stderr: {told.stderr.lines}")
    return "\n".join(told.stdout.lines)


def ask(net, method, path, body=None):
    """What the server says on TCP: (status, text)."""
    sock = net.path("lo").socket()
    sock.settimeout(10)
    sock.connect(LISTEN)
    connection = http.client.HTTPConnection(*LISTEN)
    connection.sock = sock
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def metrics(net):
    """{'name{labels}': value}"""
    code, text = ask(net, "GET", "/metrics")
    equal(code, 200, "status")
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    equal(len({name for name, _ in rows}), len(rows), "different series")
    return {name: float(value) for name, value in rows}


@test()
def doze_status_tells_why_it_is_awake_and_why_it_woke(t):
    net, path = t.net(), socket_path(t)
    doze = serve(t, net, f"--socket={path}", idle="500ms")
    doze.wait_asleep()
    told = status(t, net, path)
    check(re.search(r"^tcp/8080: asleep for [0-9.]+ s$", told, re.M), told)
    check("awake because" not in told, told)
    with Http(net.path()) as connection:
        connection.get()
        doze.wait_awake()
        told = status(t, net, path)
        check(re.search(r"^  awake because +client 192\.0\.2\.1:\d+, sleeps in 0\.\d s$", told,
                        re.M), told)
        check(re.search(r"^  woke last +hold_syn of 192\.0\.2\.1:\d+, 0\.\d s ago$", told, re.M),
              told)
        check(re.search(r"^  sleeps +1, asleep for ", told, re.M), told)
        connection.connection.request("GET", "/compute/4")
        doze.wait_log("idle, but busy.*unanswered")
        told = status(t, net, path)
        check(re.search(r"^  awake because +unanswered 192\.0\.2\.1:\d+", told, re.M), told)
        connection.connection.getresponse().read()


@test([("freeze", "frozen"), ("throttle", "throttled")])
def doze_status_tells_how_deep_the_sleep_is(t, asleep, depth):
    net, path = t.net(), socket_path(t)
    doze = serve(t, net, f"--socket={path}", f"--asleep={asleep}", idle="500ms")
    doze.wait_asleep()
    wait_until(lambda: f"  depth          {depth}\n" in status(t, net, path), "the text tells")
    target = json.loads(status(t, net, "--json", path))["targets"][0]
    equal(target["depth"], depth, "JSON")
    with Http(net.path()) as connection:
        connection.get()
        doze.wait_awake()
        check("depth" not in status(t, net, path), "a depth while awake")
        doze.wait_asleep()
        check("  depth          throttled\n" in status(t, net, path), "with a client connected")


@test()
def schedule_is_a_reason(t):
    net, path = t.net(), socket_path(t)
    doze = serve(t, net, f"--socket={path}", "--stay-awake=00:00-24:00")
    doze.wait_log("hours to stay awake have begun")
    wait_until(lambda: "awake because  schedule" in status(t, net, path), "schedule is named")


@test()
def client_that_was_first_taken_for_a_probe_is_told_as_one(t):
    net, path = t.net(), socket_path(t)
    serve(t, net, f"--socket={path}", "--probe-source=192.0.2.1", idle="30s")
    with Http(net.path()) as connection:
        connection.get()
        told = wait_until(lambda: (found := status(t, net, path)) and "client_among" in found
                          and found, "it is told")
    check("misjudged      1 times a client" in told, told)
    check(re.search(r"awake because  client_among_probes 192\.0\.2\.1:\d+", told), told)


@test()
def json_has_all_that_is_known(t):
    net, path = t.net(), socket_path(t)
    doze = serve(t, net, f"--socket={path}")
    doze.wait_asleep()
    told = json.loads(status(t, net, "--json", path))
    target = told["targets"][0]
    equal((target["name"], target["state"], target["gate_open"], target["sleeps"]),
          ("tcp/8080", "asleep", False, 1), "the target")
    check(told["gate_packets"]["hold_syn"] == 0 and told["uptime_ms"] > 0, str(told))


@test()
def metrics_tell_the_same(t):
    net = t.net()
    doze = serve(t, net, "--listen=127.0.0.1:9090", "--socket=none",
                 "--probe-source=192.0.2.1", idle="300ms")
    doze.wait_asleep()
    target = 'target="tcp/8080"'
    told = metrics(net)
    equal(told[f'doze_target_state{{{target},state="asleep"}}'], 1, "asleep")
    equal(told[f'doze_target_sleeps_total{{{target}}}'], 1, "sleeps")
    with Http(net.path()) as connection:
        connection.get()
    doze.wait_awake()
    told = metrics(net)
    equal(told[f'doze_target_wakes_total{{{target},reason="handed_over"}}'], 1, "wakes")
    equal(told["doze_handed_over_total"], 1, "clients handed over")
    equal(told[f'doze_target_misjudged_total{{{target}}}'] >= 1, True, "misjudged")
    equal(told[f'doze_wake_seconds_count{{{target}}}'], 1, "wakes in the histogram")
    equal(told[f'doze_wake_seconds_bucket{{{target},le="+Inf"}}'], 1, "all of its buckets")
    check(any(name.startswith(f'doze_target_awake_reason{{{target},') for name in told),
          "no reason to be awake")
    equal(ask(net, "GET", "/healthz"), (200, "ok\n"), "/healthz")
    equal(json.loads(ask(net, "GET", "/status")[1])["targets"][0]["sleeps"] >= 1, True, "/status")
    equal(ask(net, "GET", "/nix")[0], 404, "status of another path")
    check(ask(net, "POST", "/metrics")[0] in (405, 501), "POST is not refused")


@test()
def socket_is_roots_alone_and_goes_with_doze(t):
    net, path = t.net(), socket_path(t)
    doze = serve(t, net, f"--socket={path}")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
    doze.stop()
    check(not os.path.exists(path), "the socket is left")


@test()
def socket_of_a_killed_doze_is_taken_over_and_that_of_a_live_one_is_not(t):
    net, path = t.net(), socket_path(t)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    serve(t, net, f"--socket={path}")
    check("tcp/8080" in status(t, net, path), "no answer")
    other = t.plain_doze(net, "run", "-p", "8081", f"--socket={path}", "--", "sleep", "100")
    equal(other.wait(), 1, "exit status")
    check(f"'{path}'" in other.stderr.lines[-1], f"not said: {other.stderr.lines}")


@test()
def file_that_is_no_socket_is_left_alone(t):
    net, path = t.net(), socket_path(t)
    with open(path, "w") as precious:
        precious.write("precious")
    doze = t.plain_doze(net, "run", "-p", "8080", f"--socket={path}", "--", "sleep", "100")
    equal(doze.wait(), 1, "exit status")
    check(f"'{path}' is there and is no socket" in doze.stderr.lines[-1], str(doze.stderr.lines))
    with open(path) as precious:
        equal(precious.read(), "precious", "the file")


@test()
def socket_that_a_killed_doze_has_left_is_swept(t):
    dead, live = (f"/run/doze/test-{os.getpid()}-{name}.sock" for name in ("dead", "live"))
    os.makedirs("/run/doze", exist_ok=True)
    for path in dead, live:
        t.stack.callback(lambda path=path: os.path.exists(path) and os.unlink(path))
    listener = t.stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(live)
    listener.listen()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(dead)
    t.sweep(t.net())
    check(not os.path.exists(dead), "the socket of nobody is left")
    check(os.path.exists(live), "the socket of somebody is swept")


@test()
def crowd_at_the_address_leaves_descriptors_for_a_wake(t):
    net = t.net()
    doze = serve(t, net, "--listen=:9090", "--socket=none", wrap=("prlimit", "--nofile=200:200"))
    doze.wait_asleep()
    with contextlib.ExitStack() as crowd:
        for _ in range(300):
            sock = crowd.enter_context(net.path("lo").socket())
            sock.setblocking(False)
            sock.connect_ex(LISTEN)
        equal(ask(net, "GET", "/healthz"), (200, "ok\n"), "/healthz")
        with Http(net.path()) as connection:
            connection.get()
        check(len(doze.stderr.lines) < 100, f"{len(doze.stderr.lines)} lines are logged")


@test()
def command_has_the_limit_that_doze_was_started_with(t):
    net = t.net()
    doze = t.plain_doze(net, "run", "-p", "8080", "--", "sh", "-c", "ulimit -Sn",
                        wrap=("prlimit", "--nofile=200:300"))
    equal(doze.stdout.lines, ["200"], "the limit")


@test()
def address_that_is_taken_is_said(t):
    net = t.net()
    serve(t, net, "--listen=127.0.0.1:9090", "--socket=none")
    other = t.plain_doze(net, "run", "-p", "8081", "--listen=127.0.0.1:9090", "--", "sleep", "100")
    equal(other.wait(), 1, "exit status")
    check("'127.0.0.1:9090'" in other.stderr.lines[-1], f"not said: {other.stderr.lines}")


@test()
def default_socket_is_found(t):
    net = t.net()
    doze = serve(t, net)
    wait_until(lambda: os.path.exists(f"/run/doze/run-{doze.pid}.sock"), "the socket is there")
    check("tcp/8080: " in status(t, net), "doze status does not find it")


@test()
def socket_that_is_none_is_said(t):
    net, path = t.net(), socket_path(t)
    told = t.plain_doze(net, "status", path)
    equal(told.wait(), 1, "exit status")
    equal(told.stderr.lines, [f"doze status: '{path}': nobody listens on it"], "what it says")


if __name__ == "__main__":
    main()
