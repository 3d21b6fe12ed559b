# SPDX-License-Identifier: MIT
"""Runs tests of `doze sidecar`. Pods share nothing, and most of a test is waiting, so that several
run at a time; the tests of one lane follow each other in one pod.

    @test([(BURSTABLE,), (GUARANTEED,)])          # one test for each row
    def an_idle_pod_is_throttled(kind):
        pod = sleeping_pod(kind)

    @test(lane=lambda *_: "a lane")               # current.lane.take() is its pod
"""
import collections
import json
import queue
import signal
import sys
import threading
import time
import traceback

from pod import Pod, Skip, close_all, pods, reason_to_skip, wait_until

WORKERS = 6
WAKE_TIMEOUT_MS = 3000  # what Pod.launch_doze() sets
MARGIN_MS = 1500
GUARANTEED, BURSTABLE = "guaranteed", "burstable"

tests = []  # (name, function, arguments, lane)


def shown_part(part):
    """How a row's part is shown in the test's name; None: not at all."""
    part = getattr(part, "name", part)
    return str(part) if isinstance(part, (str, int)) else None


def test(rows=((),), lane=None):
    """Registers a function as one test, or as one for each row. lane: a function of the row."""
    def register(function):
        for row in rows:
            shown = [f"[{text}]" for text in map(shown_part, row) if text]
            name = " ".join([function.__name__.replace("_", " "), *shown])
            tests.append((name, function, row, lane(*row) if lane else None))
        return function
    return register


def manifest(kind, probe="http"):
    return pods.with_probe(getattr(pods, kind)("web"), probe)


class Lane:
    """Keeps one pod of a kind for as many tests as it is good for."""

    def __init__(self, idle):
        self.idle = idle
        self.pod = None

    def take(self, kind):
        if self.pod and not (self.pod.doze.is_alive and self.pod.kind == kind):
            self.drop()
        if not self.pod:
            self.pod = Pod(manifest(kind))
            self.pod.kind = kind
            self.pod.start_doze(idle=self.idle)
        return self.pod

    def drop(self):
        if self.pod:
            self.pod.close()
        self.pod = None


current = threading.local()  # .lane, .pods: of the worker


def new_pod(kind=BURSTABLE, probe="http", **options):
    """A pod of this test alone, closed after it."""
    pod = Pod(options.pop("of", None) or manifest(kind, probe), **options)
    current.pods.append(pod)
    return pod


def sleeping_pod(kind=BURSTABLE, **options):
    pod = new_pod(kind)
    pod.start_doze(**options)
    pod.wait_asleep()
    return pod


# --- what a test begins with, and what it waits for ---


ASLEEP_SIZE = {BURSTABLE: ("1m", "10m"), GUARANTEED: ("10m", "10m")}

GET = {"method": "GET", "path": "/pods/web$"}
UP, DOWN = {"method": "PATCH", "size": "up"}, {"method": "PATCH", "size": "down"}
REQUEST = {"method": "PATCH", "body": '"cpu":"250m"'}


def wait_for_hit(fault):
    wait_until(lambda: fault.hits, f"the fault {fault.kind} strikes")


def check_recovery(pod, limit_s=20, **options):
    """With the fault gone: full size while there is traffic, and then sleep."""
    pod.until_full(limit_s)
    pod.wait_asleep(limit_s, **options)


def with_asleep_spec():
    return pods.asleep(manifest(BURSTABLE))


def truncate_state(pod):
    with open(pod.state_file, "w", encoding="ascii") as file:
        file.write('{"version":1,"podUID":"' + pod.server.pod("web")["metadata"]["uid"] + '","con')


def write_state_of_another(pod):
    with open(pod.state_file, "w", encoding="ascii") as file:
        json.dump({"version": 1, "podUID": "another", "containers": [
            {"name": "app", "requestMillicpu": 250, "limitMillicpu": 1000}]}, file)


def errors_of(doze):
    return [line for line in doze.lines.all() if "level=error" in line or line.startswith("doze ")]


# --- running ---


def chosen_tests():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    return [one for one in tests if part in one[0]]


def batches(chosen):
    """The tests of a lane are one batch, the others one each; the longest first."""
    lanes, alone = collections.OrderedDict(), []
    for one in chosen:
        if one[3]:
            lanes.setdefault(one[3], []).append(one)
        else:
            alone.append([one])
    return sorted(lanes.values(), key=len, reverse=True) + alone


class Tap:
    def __init__(self, count):
        self.lock = threading.Lock()
        self.number = self.failed = 0
        print(f"1..{count}", flush=True)

    def tell(self, name, notes="", is_failed=False, skipped=None):
        with self.lock:
            self.number += 1
            self.failed += is_failed
            for line in notes.splitlines():
                print("# " + line)
            end = f" # SKIP {skipped}" if skipped else ""
            print(f"{'not ' if is_failed else ''}ok {self.number} - {name}{end}", flush=True)


def run_one(tap, one):
    name, function, row, _ = one
    begun_s = time.monotonic()
    current.pods = []
    try:
        function(*row)
        for pod in current.pods + ([current.lane.pod] if current.lane.pod else []):
            pod.check_calls()
        tap.tell(name, f"{time.monotonic() - begun_s:.1f} s")
    except Skip as why:
        tap.tell(name, skipped=why)
    except Exception:  # whatever it is, the test has failed
        notes = traceback.format_exc()
        for pod in current.pods + ([current.lane.pod] if current.lane.pod else []):
            notes += pod.report()
        tap.tell(name, notes, is_failed=True)
        current.lane.drop()
    finally:
        for pod in current.pods:
            pod.close()


def work(tap, waiting):
    while True:
        try:
            batch = waiting.get_nowait()
        except queue.Empty:
            return
        # Long enough for a shrink not to begin before a test is ready for it.
        current.lane = Lane("500ms" if batch[0][3] and "grow" not in batch[0][3] else "300ms")
        for one in batch:
            run_one(tap, one)
        current.lane.drop()


def run_all():
    chosen = chosen_tests()
    tap = Tap(len(chosen))
    why = reason_to_skip()
    if why:
        for one in chosen:
            tap.tell(one[0], skipped=why)
        return 0
    waiting = queue.Queue()
    for batch in batches(chosen):
        waiting.put(batch)
    workers = [threading.Thread(target=work, args=(tap, waiting), daemon=True)
               for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 1 if tap.failed else 0


def interrupted(*_):
    raise SystemExit(1)


def main():
    signal.signal(signal.SIGTERM, interrupted)
    try:
        status = run_all()
    finally:
        close_all()
    sys.exit(status)
