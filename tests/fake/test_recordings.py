#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Replays every recording of a real 1.36 API server against the fake, and compares the answers.

The recordings tell one story, in the order of their resourceVersions; here it is told again, with
a clock that the test moves. Each request meets the pods as they were when it was recorded.
Compared are the status, the recorded headers (and none that tells of another framing), and the
body, except for what must differ: versions, uids, times, random names.
"""
import json
import re
import sys
import threading

import pods
import recordings
import tap
from apiserver import FakeApiServer
from client import Client
from clock import ManualClock

NEVER_MIND = {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "startTime",
              "startedAt", "lastProbeTime", "lastTransitionTime", "containerID"}
ALL_MS = 1000  # longer than any delay of the kubelet but that of a memory error

# name → why the fake differs; a difference that is not here fails, and so does one that is here
# and is none.
DIFFERS = {}

# Where the fake differs on purpose and no comparison of answers can show it.
BEYOND = (
    "HTTP/2: a real server offers it, the fake does so if it is told to",
    "watch-410: the oldest version in the message is the fake's own",
    "patch-pod-resources-422: the line number in the quoted diff is the recorded one for every pod",
    "application/apply-patch+yaml: 415, where a real server applies it",
    "requests of another shape than JSON objects have: 400 in words of the fake's own",
)


class Story:
    """The fake, the pods of the recordings, and a client."""

    def __init__(self):
        self.clock = ManualClock()
        self.server = FakeApiServer(clock=self.clock, service_account="rec-sa").start()
        for name in ("pod-get-awake-guaranteed", "pod-get-awake-burstable", "pod-get-no-resources"):
            self.server.add_pod(recordings.body(name))
        self.server.add_pod(awake_without_limit())
        self.server.add_pod(pods.recorded_in_list("web"))
        self.client = Client(self.server)
        self.results = []
        self.told = set()

    def tell(self, *names):
        """Sends the recorded requests, one after the other, and compares."""
        for name in names:
            recording = recordings.load(name)
            self.told.add(name)
            answer = ask(self.client, recording["request"])
            self.note(name, differences(recording["response"], answer))

    def note(self, name, found):
        self.results.append((name, lambda: judge(name, found)))

    def settle(self):
        self.clock.advance(ALL_MS)

    def until_allocated(self):
        self.clock.advance(self.server.kubelet.settings.allocate_ms)

    def before_it_is_seen(self):
        self.clock.advance(self.server.kubelet.settings.allocate_ms / 2)


def awake_without_limit():
    """rec-n before it was given a limit: the recordings hold only the answer to that."""
    pod = recordings.body("resize-add-limit-to-no-limit")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    pod["metadata"]["generation"] = 1
    return pod


def ask(client, request, path=None):
    body = request["body"]
    return client.ask(request["method"], path or request["path"],
                      body if body is None or isinstance(body, str) else json.dumps(body),
                      request["contentType"])


# Comparing

def differences(recorded, answer):
    """What differs, as lines of text."""
    found = []
    if answer.status != recorded["status"]:
        found.append(f"status: {answer.status}, recorded {recorded['status']}")
    wanted = recorded["headers"]
    for name in ("Content-Type", "Transfer-Encoding", "Retry-After"):
        if answer.headers.get(name) != wanted.get(name):
            found.append(f"{name}: {answer.headers.get(name)}, recorded {wanted.get(name)}")
    if "Audit-Id" not in answer.headers:
        found.append("no Audit-Id")
    documents = [json.loads(line) for line in answer.raw.decode().splitlines()]
    wanted = recorded.get("lines", [recorded.get("body")])
    if len(documents) != len(wanted):
        found.append(f"{len(documents)} documents, recorded {len(wanted)}")
    for ours, theirs in zip(documents, wanted):
        found += list(compare(ours, theirs, ""))
    return found


def compare(ours, theirs, path):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(set(ours) | set(theirs)):
            here = f"{path}.{name}"
            if name not in ours or name not in theirs:
                yield f"{here}: {'missing' if name not in ours else 'not recorded'}"
            elif name not in NEVER_MIND:
                yield from compare(ours[name], theirs[name], here)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, pair in enumerate(zip(ours, theirs)):
            yield from compare(*pair, f"{path}[{index}]")
    elif without_chance(ours) != without_chance(theirs):
        yield f"{path}: {ours!r}, recorded {theirs!r}"


def without_chance(value):
    """Text without a random suffix of generateName, and without the oldest version known."""
    if not isinstance(value, str):
        return value
    value = re.sub(r"^(rec-g\.)[0-9a-z]{5}$", r"\1xxxxx", value)
    return re.sub(r"^(too old resource version: 1) \(\d+\)$", r"\1 (N)", value)


def judge(name, found):
    why = DIFFERS.get(name)
    if why and found:
        tap.note(f"differs: {name}: {why}")
        return
    tap.check(not found, "\n".join(found))
    tap.check(not why, "said to differ, but does not")


# The story

def guaranteed_down_and_up(story):
    story.tell("pod-get-awake-guaranteed", "pod-get-awake-burstable", "pod-get-no-resources",
               "resize-down-200", "pod-get-after-resize-0")
    story.settle()
    story.tell("pod-get-after-resize-1", "pod-get-after-resize-2", "pod-get-after-resize-3",
               "pod-get-after-resize-4", "pod-get-after-resize-5", "pod-get-at-zero",
               "resize-up-200")
    story.settle()
    story.tell("resize-same-200")


def burstable_to_nothing(story):
    story.tell("resize-zero-cpu")
    story.until_allocated()
    story.tell("resize-1m")
    story.settle()
    story.tell("pod-get-after-1m", "resize-burstable-limit-only-200",
               "resize-add-limit-to-no-limit")
    story.settle()


def what_is_refused(story):
    story.tell("resize-infeasible", "pod-get-infeasible", "resize-qos-change-422",
               "resize-best-effort-422", "resize-req-over-limit-422", "resize-remove-limit-422",
               "resize-unknown-container-422", "resize-bad-quantity", "resize-bad-json-400",
               "resize-wrong-type-415", "resize-conflict-409", "resize-404", "pod-get-404",
               "patch-pod-resources-422")


def json_patch_and_annotations(story):
    story.tell("resize-json-patch-200")
    story.until_allocated()
    story.tell("resize-annotations-ignored")
    story.settle()


def deferred_and_memory(story):
    story.tell("resize-back-burstable")
    story.before_it_is_seen()
    story.tell("resize-deferred")
    story.settle()
    story.tell("pod-get-deferred", "resize-back-burstable-2")
    story.settle()
    story.tell("resize-memory-below-usage")
    story.settle()
    story.tell("pod-get-memory-below-usage", "list-node")


def who_may_not(story):
    story.server.allow_only([("get", "pods")])
    story.tell("forbidden-403")
    story.server.allow_only(None)
    story.client.token = "not.a.token"
    story.tell("unauthorized-401")
    story.client.token = story.server.token


def the_rest(story):
    story.tell("version", "discovery-core", "event-create", "watch-bad-rv-400", "watch-410")


def watched(story):
    """The recorded watch saw a resize down and up, a forced delete, and a stuck memory resize."""
    name = "watch-resize-and-delete"
    recording = recordings.load(name)
    path = recording["request"]["path"].replace("=1199", f"={story.server.store.version}")
    story.told.add(name)
    watcher = Client(story.server)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        ask(watcher, recording["request"], path)))
    thread.start()
    story.server.requests.wait(lambda r: r.verb == "watch" and r.status and r.path == path)
    for size in ("10m", "500m"):
        story.client.resize("rec-g", size, size)
        story.settle()
    story.server.delete_pod("rec-n", grace_s=0)
    story.clock.advance(story.server.kubelet.settings.memory_error_ms)
    story.server.end_watches()
    thread.join()
    watcher.close()
    story.note(name, differences(recording["response"], answers[0]))


def tell_all(story):
    for part in (guaranteed_down_and_up, burstable_to_nothing, what_is_refused,
                 json_patch_and_annotations, deferred_and_memory, who_may_not, watched, the_rest):
        part(story)


def all_are_told(story):
    tap.equal(sorted(set(recordings.names()) - story.told), [], "recordings that no part of the story replays")


def main():
    story = Story()
    try:
        tell_all(story)
    finally:
        story.client.close()
        story.server.stop()
    results = story.results + [("every_recording_is_replayed", lambda: all_are_told(story))]
    for text in BEYOND:
        tap.note("differs: " + text)
    return tap.run(results)


if __name__ == "__main__":
    sys.exit(main())
