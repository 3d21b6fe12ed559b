#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""pod_watch, as doze node uses it, against the test API server: lists, watches, and everything that
can befall them. What it tells is printed by build/tests/fake/pod_watch_print."""
import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time

import http2
import pods
import tap
from apiserver import FakeApiServer
from tap import check

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "tests",
                    "fake", "pod_watch_print")
LIMIT_S = 30


class Watcher:
    """The tool, and the lines it has printed. arguments: what follows the node's name."""

    def __init__(self, server, directory, node="node1", arguments=()):
        kubeconfig = server.write_kubeconfig(os.path.join(directory, "kubeconfig"))
        self.child = subprocess.Popen([TOOL, kubeconfig, node, *map(str, arguments)], text=True, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.errors = [], []
        self.changed = threading.Condition()
        for stream, lines in ((self.child.stdout, self.lines), (self.child.stderr, self.errors)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    def _read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait(self, pattern, count=1, among="lines"):
        """Until that many lines match."""
        until_s = time.monotonic() + LIMIT_S
        with self.changed:
            while len(found := [l for l in getattr(self, among) if re.search(pattern, l)]) < count:
                left_s = until_s - time.monotonic()
                check(left_s > 0, f"not within {LIMIT_S} s: {count} x '{pattern}' in {self.lines} "
                                  f"{self.errors}")
                self.changed.wait(left_s)
        return found

    def count(self, pattern):
        with self.changed:
            return len([line for line in self.lines if re.search(pattern, line)])

    def end(self):
        self.child.stdin.close()
        return self.child.wait(LIMIT_S)


@contextlib.contextmanager
def watched(*names, node="node1", arguments=(), **options):
    """(server, watcher), which has listed these pods."""
    with tempfile.TemporaryDirectory() as directory, FakeApiServer(**options) as server:
        for name in names:
            server.add_pod(pods.burstable(name))
        watcher = Watcher(server, directory, node, arguments)
        try:
            watcher.wait("^listed$")
            yield server, watcher
        finally:
            if watcher.child.poll() is None:
                tap.equal(watcher.end(), 0, "exit status")


def until_watching(server):
    until_s = time.monotonic() + LIMIT_S
    while not server.api.watches:
        check(time.monotonic() < until_s, "nobody watches")
        time.sleep(0.005)


def test_what_is_there_is_listed_then_watched():
    with watched("web", "shop") as (server, watcher):
        tap.equal(watcher.lines[:3], [*sorted(watcher.lines[:2]), "listed"], "the first lines")
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")


def test_a_change_and_an_end_are_told():
    with watched("web") as (server, watcher):
        uid = server.pod("web")["metadata"]["uid"]
        server.delete_pod("web", grace_s=30)
        watcher.wait("^put web .*terminating=1")
        server.delete_pod("web", remove=True)
        watcher.wait(f"^gone {uid}$")


def test_only_the_nodes_own_pods_are_told():
    with watched("web", node="node2") as (server, watcher):
        server.add_pod(pods.burstable("later"))
        until_watching(server)
        server.end_watches()
        time.sleep(0.5)  # to give it time to do the wrong thing
        tap.equal(watcher.count("^put"), 0, "pods of another node")


def over_both_protocols(function):
    """Two tests of one: over HTTP/1.1, and over HTTP/2 where the library for it is there."""
    def over_http2():
        if not http2.IS_THERE:
            raise tap.Skip("python3-h2 is missing")
        function(is_http2=True)
    globals()[function.__name__ + "_over_http2"] = over_http2
    return function


@over_both_protocols
def test_a_watch_that_ends_goes_on_where_it_ended(**options):
    with watched("web", **options) as (server, watcher):
        for number in range(3):
            until_watching(server)
            server.end_watches()
            server.add_pod(pods.burstable(f"later-{number}"))
            watcher.wait(f"^put later-{number} ")
        tap.equal(watcher.count("^listed$"), 1, "lists")


@over_both_protocols
def test_a_watch_whose_connection_is_reset_goes_on_where_it_ended(**options):
    with watched("web", **options) as (server, watcher):
        for number in range(3):
            until_watching(server)
            server.drop_connections()
            server.add_pod(pods.burstable(f"later-{number}"))
            watcher.wait(f"^put later-{number} ")
        tap.equal(watcher.count("^listed$"), 1, "lists")


def watches_after(server, count):
    wanted = server.requests.wait(lambda r: r.verb == "watch", LIMIT_S, count)
    check(wanted, f"fewer than {count} watches")
    return wanted


@over_both_protocols
def test_a_server_that_lost_its_power_is_noticed_though_nothing_is_sent(**options):
    with watched("web", arguments=(0, 1), **options) as (server, watcher):
        until_watching(server)
        server.isolate_connections()
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")


@over_both_protocols
def test_a_silent_watch_is_begun_anew_on_another_connection(**options):
    """By a server whose kernel still acknowledges: its processes hang."""
    with watched("web", arguments=(500,), **options) as (server, watcher):
        first, second = (watches_after(server, count) for count in (1, 2))
        check(first.client != second.client, f"the same connection: {first.client}")
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")


def test_a_version_that_is_too_old_is_listed_again_and_what_went_meanwhile_is_gone():
    with watched("web", "shop") as (server, watcher):
        uid = server.pod("shop")["metadata"]["uid"]
        until_watching(server)
        server.end_watches(with_410=True)
        server.delete_pod("shop", grace_s=0)
        watcher.wait("^listed$", count=2)
        watcher.wait(f"^gone {uid}$")
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")


def test_more_pods_than_a_page_holds_are_all_listed():
    names = [f"web-{number}" for number in range(250)]
    with watched(*names) as (_, watcher):
        tap.equal(len({line.split()[1] for line in watcher.wait("^put ", count=250)}), 250, "pods")
        tap.equal(watcher.count("^listed$"), 1, "lists")


def big(name, size):
    pod = pods.burstable(name)
    pod["metadata"]["annotations"] = {"example.com/big": "x" * size}
    return pod


def crowded(name, containers=257):
    pod = pods.burstable(name)
    first = pod["spec"]["containers"][0]
    pod["spec"]["containers"] += [{**first, "name": f"c{n}"} for n in range(1, containers)]
    return pod


def listed_beside(*big_ones):
    """The pods that are told of a node with these and a hundred small ones; and what is logged."""
    with tempfile.TemporaryDirectory() as directory, FakeApiServer() as server:
        for number in range(100):
            server.add_pod(pods.burstable(f"web-{number:03}"))
        for pod in big_ones:
            server.add_pod(pod)
        watcher = Watcher(server, directory)
        watcher.wait("^listed$")
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")
        tap.equal(watcher.end(), 0, "exit status")
        return {line.split()[1] for line in watcher.lines if line.startswith("put ")}, \
            watcher.errors, [line for line in watcher.lines if line.startswith("unreadable ")]


def test_a_list_may_be_longer_than_any_pod():
    """Each as large as etcd takes it, and six times that as JSON: 45 MB."""
    told, errors, unreadable = listed_beside(*(big(f"big-{n}", 9_000_000) for n in range(5)))
    tap.equal(len(told), 106, "pods")
    tap.equal(errors, [], "errors")
    tap.equal(unreadable, [], "unreadable")


def test_a_pod_that_is_too_long_hides_no_other():
    told, errors, unreadable = listed_beside(big("big", 17_000_000))
    tap.equal(len(told), 101, "pods")
    tap.equal(unreadable, ["unreadable big it is longer than 16 MiB as JSON"], "unreadable")
    check("big" not in told, "the pod that is too long")
    tap.equal(len([e for e in errors if "cannot be read" in e and 'pod="big"' in e]), 1, errors)


def test_a_pod_with_too_many_containers_is_told_with_the_bound():
    told, errors, unreadable = listed_beside(crowded("crowd"), crowded("room", 256))
    tap.equal(len(told), 102, "pods")
    check("crowd" not in told, "the pod with too many containers")
    tap.equal(unreadable, ["unreadable crowd it has more than 256 containers"], "unreadable")
    tap.equal(len([e for e in errors if 'why="it has more than 256 containers"' in e]), 1, errors)


def test_a_pod_that_becomes_crowded_is_told_again_after_it_was_read():
    with watched("web", "shop") as (server, watcher):
        uid = server.pod("web")["metadata"]["uid"]
        until_watching(server)
        for containers in (257, 258, 2, 257):
            found = crowded("web", containers)
            found["metadata"]["uid"] = uid
            server.store.put("pods", found)
            if containers == 2:
                watcher.wait("^put web ", count=2)
        watcher.wait("^unreadable web it has more than 256 containers", count=2)
        tap.equal(watcher.count("^gone"), 0, "pods that are gone")


def test_a_pod_that_becomes_too_long_stays_as_it_was_and_hides_no_other():
    with watched("web", "shop") as (server, watcher):
        uid = server.pod("web")["metadata"]["uid"]
        until_watching(server)
        for size in (17_000_000, 17_000_001):
            found = big("web", size)
            found["metadata"]["uid"] = uid
            server.store.put("pods", found)
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")
        server.end_watches(with_410=True)  # it is in the next list
        watcher.wait("^listed$", count=2)
        tap.equal(watcher.count("^gone"), 0, "pods that are gone")
        tap.equal(len(watcher.wait("cannot be read", among="errors")), 1, "times it was said")
        until_watching(server)
        server.delete_pod("web", grace_s=0)
        watcher.wait(f"^gone {uid}$")


def test_a_server_that_was_given_an_older_state_is_listed_again():
    """As etcd from a backup: the version that we know is one of the future."""
    with watched("web") as (server, watcher):
        until_watching(server)
        server.faults.add({"path": "watch=1"}, 504, times=1,
                          message="Timeout: Too large resource version: 9000, current: 1002")
        server.end_watches()
        watcher.wait("^listed$", count=2)
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")


def test_a_watch_that_hears_nothing_at_all_is_listed_again():
    """Not even a bookmark: a server may wait in silence for a version of the future."""
    with watched("web", arguments=(500,)) as (server, watcher):
        server.api.bookmark_s = 3600
        watcher.wait("^listed$", count=2)


def test_a_server_that_says_when_is_not_asked_before():
    for path in ("limit=", "watch=1"):
        with tempfile.TemporaryDirectory() as directory, FakeApiServer() as server:
            server.faults.add({"path": path}, 429, times=1, retry_after_s=3)
            watcher = Watcher(server, directory)
            asked = server.requests.wait(lambda r, what=path: what in r.path, LIMIT_S, 2)
            check(asked, "not asked again")
            first, second = [r for r in server.requests if path in r.path][:2]
            check(second.time_s - first.time_s >= 2.9, "asked too early")
            watcher.wait("^listed$")
            tap.equal(watcher.end(), 0, "exit status")


def test_a_server_that_is_gone_is_asked_again_and_said_once():
    with watched("web") as (server, watcher):
        until_watching(server)
        server.go_down()
        watcher.wait("cannot watch the pods of node 'node1': .*connect to 127.0.0.1", among="errors")
        time.sleep(1)  # some tries, of which each fails
        server.come_back()
        watcher.wait("the API server answers again", among="errors")
        tap.equal(len([e for e in watcher.errors if "cannot watch" in e]), 1, "times it was said")
        server.add_pod(pods.burstable("later"))
        watcher.wait("^put later ")
        tap.equal(watcher.count("^listed$"), 1, "lists")


def test_what_is_forbidden_is_said_with_the_servers_words():
    with tempfile.TemporaryDirectory() as directory, FakeApiServer() as server:
        kubeconfig = server.write_kubeconfig(os.path.join(directory, "kubeconfig"))
        with open(kubeconfig, encoding="ascii") as file:
            text = re.sub(r"token: \S+", "token: wrong", file.read())
        server.write_kubeconfig = lambda path: path
        with open(kubeconfig, "w", encoding="ascii") as file:
            file.write(text)
        watcher = Watcher(server, directory)
        watcher.wait("cannot watch the pods of node 'node1': Unauthorized", among="errors")
        tap.equal(watcher.end(), 0, "exit status")


if __name__ == "__main__":
    tap.main(globals())
