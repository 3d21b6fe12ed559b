# SPDX-License-Identifier: MIT
"""The kubelet of the test API server: carries out resizes, late, and reports them later still.

    PATCH ─ allocate_ms ─→ allocated, PodResizeInProgress ─→ cgroup written ─ status_ms ─→ done
      └────────────────────── actuate_ms ──────────────────────┘
      └─→ PodResizePending: Deferred (tried again when room appears) or Infeasible

One pod's resizes are worked through one after the other, none is skipped: a grow that follows a
shrink within actuate_ms still sees the cgroup dip. The order of the status writes is the one of
recordings/watch-resize-and-delete.json. Every function here runs with the store locked.
"""
import dataclasses
import itertools
import secrets

import objects
import quantity
from kubelet_cgroups import Cgroup

NO_MEMORY_LIMIT = "9007199254740988Ki"  # what cgroups call unlimited, as the kubelet reports it
SMALLEST_CPU_LIMIT_SHOWN_M = 10  # a pod's own limit or request up to these is not reported
SMALLEST_CPU_REQUEST_SHOWN_M = 2


@dataclasses.dataclass
class Settings:
    allocate_ms: float = 20
    actuate_ms: float = 50
    status_ms: float = 60
    gap_ms: float = 30  # between one resize and the next of the same pod
    memory_error_ms: float = 10000
    memory_usage: int = 1064960  # bytes in use in each container


@dataclasses.dataclass
class Resize:
    """One change of a pod's resources; times are CLOCK_MONOTONIC seconds, None until they come."""
    namespace: str
    name: str
    generation: int
    resources: dict
    settings: Settings
    patched_s: float
    forced: str = None  # deferred, infeasible, never, stuck
    message: str = None
    outcome: str = "waiting"
    allocated_s: float = None
    actuated_s: float = None
    status_s: float = None

    def as_json(self):
        return dataclasses.asdict(self)


class Worker:
    """What the kubelet knows of one pod."""

    def __init__(self, pod):
        self.allocated = objects.resources_by_name(pod)
        self.actual = objects.resources_by_name(pod)
        self.observed = pod["status"].get("observedGeneration", 1)
        self.cgroups = {}
        self.pod_cgroup = None  # above those of the containers
        self.busy_until_s = float("-inf")
        self.pending = None  # the PodResizePending condition
        self.in_progress = None  # the PodResizeInProgress condition
        self.deferred = None
        self.settings = {}


    def apply_cgroups(self, resources):
        """Up, the pod's quota first; down, it comes last (kuberuntime_manager.go)."""
        whole = self._pod_resources(resources)
        grows = self.pod_cgroup and self.pod_cgroup.is_above(whole)
        if grows:
            self.pod_cgroup.apply(whole)
        for container, cgroup in self.cgroups.items():
            cgroup.apply(resources[container])
        if self.pod_cgroup and not grows:
            self.pod_cgroup.apply(whole)

    @staticmethod
    def _pod_resources(resources):
        """The pod has a quota of its own only if each container has a limit."""
        return {kind: {"cpu": objects.total(resources, kind, "cpu")}
                for kind in ("requests", "limits")}


class Kubelet:
    def __init__(self, store, clock, minor):
        self.store, self.clock, self.minor = store, clock, minor
        self.settings = Settings()
        self.workers = {}
        self.resizes = []
        self._event_names = itertools.count(0x18a0000000000000)

    def configure(self, namespace=None, name=None, **settings):
        """Delays in ms, for all pods or for one: see Settings."""
        with self.store.lock:
            if name is None:
                self.settings = dataclasses.replace(self.settings, **settings)
            else:
                self.workers[namespace, name].settings.update(settings)

    def adopt(self, pod, cgroups, version=None, pod_cgroup=None):
        """Starts to look after a pod, and completes its status; cgroups: container → directory,
        pod_cgroup: the directory above, which gets the sum of the limits."""
        worker = Worker(pod)
        if self.minor >= 36:
            _write_totals(pod["status"], worker)
        self.workers[objects.key_of(pod)] = worker
        worker.pod_cgroup = Cgroup(pod_cgroup, version) if pod_cgroup else None
        for container, path in (cgroups or {}).items():
            worker.cgroups[container] = Cgroup(path, version)
        worker.apply_cgroups(worker.actual)

    def resize(self, pod, overrides=None):
        """The spec has changed. overrides: settings of this one resize, and forced, message."""
        worker = self.workers[objects.key_of(pod)]
        overrides = dict(overrides or {})
        forced, message = overrides.pop("forced", None), overrides.pop("message", None)
        settings = dataclasses.replace(self.settings, **{**worker.settings, **overrides})
        resize = Resize(*objects.key_of(pod), pod["metadata"].get("generation", 0),
                        objects.resources_by_name(pod), settings, self.clock.now(), forced, message)
        self.resizes.append(resize)
        delay_ms = min(settings.allocate_ms, settings.actuate_ms)
        self._at(resize.patched_s + delay_ms / 1000, self._allocate, resize)
        return resize

    def grant(self, namespace, name):
        """There is room now for the pod's deferred resize, whatever the node's arithmetic says."""
        with self.store.lock:
            worker = self.workers[namespace, name]
            if worker.deferred:
                worker.deferred.forced = "granted"
                self._allocate(worker.deferred)

    def forget(self, key):
        self.workers.pop(key, None)
        self._retry_deferred()

    # The steps of a resize

    def _at(self, when_s, step, resize):
        def locked():
            with self.store.lock:
                step(resize)
                self.store.changed.notify_all()
        self.clock.call_at(when_s, locked)

    def _worker_of(self, resize):
        """None if nothing more is to be done: a terminating pod is not resized."""
        pod = self.store.get("pods", resize.namespace, resize.name)
        worker = self.workers.get((resize.namespace, resize.name))
        if pod is None or worker is None or "deletionTimestamp" in pod["metadata"]:
            resize.outcome = "terminating"
            return None
        return worker

    def _allocate(self, resize):
        worker = self._worker_of(resize)
        if worker is None:
            return
        if resize.forced == "never":
            resize.outcome = "never"
            return
        if self.clock.now() < worker.busy_until_s:
            self._at(worker.busy_until_s, self._allocate, resize)
            return
        worker.observed = max(worker.observed, resize.generation)
        refusal = self._refusal(worker, resize)
        if refusal:
            self._refuse(worker, resize, *refusal)
            return
        worker.pending = worker.deferred = None
        if resize.resources == worker.allocated == worker.actual:
            worker.in_progress = None
            resize.outcome = "nothing to do"
            resize.status_s = self.clock.now()
        else:
            self._admit(worker, resize)
        self._publish(resize)

    def _admit(self, worker, resize):
        now = self.clock.now()
        since_s = now if resize.outcome == "deferred" else resize.patched_s
        resize.outcome, resize.allocated_s = "allocated", now
        worker.allocated = objects.copy_of(resize.resources)
        moment = objects.now_text()
        worker.in_progress = {"lastProbeTime": moment, "lastTransitionTime": moment}
        self._event(resize, "Normal", "ResizeStarted", "Pod resize started")
        if resize.forced == "stuck":
            return
        worker.busy_until_s = max(since_s + resize.settings.actuate_ms / 1000,
                                  worker.busy_until_s + resize.settings.gap_ms / 1000, now)
        self._at(worker.busy_until_s, self._actuate, resize)

    def _actuate(self, resize):
        worker = self._worker_of(resize)
        if worker is None:
            return
        if self._memory_too_small(worker, resize):
            resize.outcome = "memory below usage"
            late_s = resize.settings.memory_error_ms / 1000
            self._at(self.clock.now() + late_s, self._report_memory, resize)
            return
        resize.outcome = "actuated"
        try:
            worker.apply_cgroups(resize.resources)
        except OSError as error:  # the container has gone, as real ones do
            resize.outcome = f"cgroup: {error}"
        worker.actual = objects.copy_of(resize.resources)
        resize.actuated_s = self.clock.now()
        self._at(resize.actuated_s + resize.settings.status_ms / 1000, self._complete, resize)

    def _complete(self, resize):
        worker = self._worker_of(resize)
        if worker is None:
            return
        if worker.actual == worker.allocated:
            worker.in_progress = None
        self._publish(resize)
        resize.status_s = self.clock.now()
        self._event(resize, "Normal", "ResizeCompleted", "Pod resize completed")
        self._retry_deferred()

    # Refusals

    def _refusal(self, worker, resize):
        """(reason, message) or None."""
        if resize.forced == "infeasible":
            return "Infeasible", resize.message or (
                "Resize is infeasible for Guaranteed Pods alongside CPU Manager policy \"static\"")
        if resize.forced == "deferred":
            return "Deferred", resize.message or self._no_room(resize, "cpu", quantity.milli)
        if resize.forced == "granted":
            return None
        for name, count in (("cpu", quantity.milli), ("memory", quantity.whole)):
            wanted = objects.total(resize.resources, "requests", name)
            had = objects.total(worker.allocated, "requests", name)
            if wanted is None or (had is not None and count(wanted) <= count(had)):
                continue
            room = self._allocatable(resize, name, count)
            if count(wanted) > room:
                return ("Infeasible", f"Node didn't have enough capacity: {name}, requested: "
                        f"{count(wanted)}, capacity: {room}")
            if count(wanted) + self._used_by_others(resize, name, count) > room:
                return "Deferred", self._no_room(resize, name, count)
        return None

    def _allocatable(self, resize, name, count):
        pod = self.store.get("pods", resize.namespace, resize.name)
        node = self.store.get("nodes", None, pod["spec"].get("nodeName"))
        return count(node["status"]["allocatable"][name]) if node else 1 << 62

    def _used_by_others(self, resize, name, count):
        used = 0
        for key, worker in self.workers.items():
            amount = objects.total(worker.allocated, "requests", name)
            if key != (resize.namespace, resize.name) and amount:
                used += count(amount)
        return used

    def _no_room(self, resize, name, count):
        wanted = objects.total(resize.resources, "requests", name)
        return (f"Node didn't have enough resource: {name}, requested: "
                f"{count(wanted) if wanted else 0}, used: "
                f"{self._used_by_others(resize, name, count)}, "
                f"capacity: {self._allocatable(resize, name, count)}")

    def _refuse(self, worker, resize, reason, message):
        moment = objects.now_text()
        since = (worker.pending or {}).get("lastTransitionTime", moment)
        worker.pending = {"lastProbeTime": moment, "lastTransitionTime": since, "reason": reason,
                          "message": message}
        worker.deferred = resize if reason == "Deferred" else None
        if worker.allocated == worker.actual:
            worker.in_progress = None
        resize.outcome = reason.lower()
        self._event(resize, "Warning", "Resize" + reason, message)
        self._publish(resize)

    def _retry_deferred(self):
        for worker in list(self.workers.values()):
            if worker.deferred and worker.deferred.forced != "deferred":
                self._allocate(worker.deferred)

    def _memory_too_small(self, worker, resize):
        return any(quantity.whole(limit) < resize.settings.memory_usage
                   and limit != worker.actual[name]["limits"].get("memory")
                   for name, limit in self._memory_limits(resize))

    def _memory_limits(self, resize):
        return [(name, r["limits"]["memory"]) for name, r in resize.resources.items()
                if "memory" in r["limits"]]

    def _report_memory(self, resize):
        worker = self._worker_of(resize)
        if worker is None or worker.in_progress is None or \
                worker.allocated != resize.resources:
            return
        usage, limits = resize.settings.memory_usage, self._memory_limits(resize)
        whole = sum(quantity.whole(limit) for _, limit in limits)
        texts = [f"attempting to set pod memory limit ({whole}) below current usage "
                 f"({usage * len(limits)})"]
        texts += [f'attempting to set container "{name}" memory limit ({quantity.whole(limit)}) '
                  f"below current usage ({usage})" for name, limit in limits]
        worker.in_progress.update(
            lastProbeTime=objects.now_text(), reason="Error",
            message=f"cannot decrease memory limits: [{', '.join(texts)}]")
        self._event(resize, "Warning", "ResizeError", worker.in_progress["message"])
        self._publish(resize)

    # Status

    def _publish(self, resize):
        self.publish((resize.namespace, resize.name))

    def publish(self, key):
        """Writes the pod's status as the kubelet sees it now; nothing if that changes nothing."""
        pod = self.store.get("pods", *key)
        worker = self.workers[key]
        status = objects.copy_of(pod["status"])
        self._write_conditions(status, worker)
        for container in long_running(status):
            self._write_container(container, worker)
        if self.minor >= 36:
            _write_totals(status, worker)
        if self.minor >= 34:
            status["observedGeneration"] = worker.observed
        if status != pod["status"]:
            self.store.put("pods", {**pod, "status": status})

    def _write_conditions(self, status, worker):
        if self.minor < 33:
            _write_resize_word(status, worker)
            return
        seen = {"observedGeneration": worker.observed} if self.minor >= 34 else {}
        conditions = []
        for kind, condition in (("PodResizePending", worker.pending),
                                ("PodResizeInProgress", worker.in_progress)):
            if condition:
                conditions.append({"type": kind, **seen, "status": "True", **condition})
        for condition in status.get("conditions") or []:
            if not condition["type"].startswith("PodResize"):
                conditions.append({**condition, **seen})
        status["conditions"] = conditions

    def _write_container(self, container, worker):
        allocated = worker.allocated.get(container["name"])
        if allocated is None or "resources" not in container:
            return
        if allocated["requests"]:
            container["allocatedResources"] = dict(allocated["requests"])
        container["resources"] = objects.without_empty(worker.actual[container["name"]])

    def _event(self, resize, kind, reason, message):
        pod = self.store.get("pods", resize.namespace, resize.name)
        moment = objects.now_text()
        self.store.put("events", {
            "kind": "Event", "apiVersion": "v1",
            "metadata": {"name": f"{resize.name}.{next(self._event_names):x}",
                         "namespace": resize.namespace, "uid": objects.new_uid(),
                         "creationTimestamp": moment},
            "involvedObject": {"kind": "Pod", "namespace": resize.namespace, "name": resize.name,
                               "uid": pod["metadata"]["uid"], "apiVersion": "v1"},
            "reason": reason, "message": message,
            "source": {"component": "kubelet", "host": pod["spec"].get("nodeName", "")},
            "firstTimestamp": moment, "lastTimestamp": moment, "count": 1, "type": kind,
            "eventTime": None, "reportingComponent": "kubelet",
            "reportingInstance": pod["spec"].get("nodeName", "")})

    # A container's life

    def restart(self, key, name, cgroup=None, ready_ms=100, container_id=None):
        """The container ends and starts again, with the allocated size. cgroup: its new one."""
        with self.store.lock:
            worker, pod = self.workers[key], self.store.get("pods", *key)
            worker.actual[name] = objects.copy_of(worker.allocated[name])
            if cgroup:
                worker.cgroups[name] = Cgroup(cgroup)
            if name in worker.cgroups:
                worker.cgroups[name].apply(worker.actual[name])
            status = objects.copy_of(pod["status"])
            _restart_status(objects.find(long_running(status), name), container_id)
            _set_ready(status, False)
            self.store.put("pods", {**pod, "status": status})
            self.publish(key)
        if ready_ms is not None:
            self.clock.call_at(self.clock.now() + ready_ms / 1000,
                               lambda: self.set_ready(key, name, True))

    def set_ready(self, key, name, is_ready):
        with self.store.lock:
            pod = self.store.get("pods", *key)
            if pod is None:
                return
            status = objects.copy_of(pod["status"])
            container = objects.find(long_running(status), name)
            container["ready"] = is_ready
            container["started"] = container["started"] or is_ready
            _set_ready(status, all(c["ready"] for c in long_running(status)))
            self.store.put("pods", {**pod, "status": status})


def long_running(status):
    return (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])


def _write_resize_word(status, worker):
    """Up to 1.32 there are no conditions, but one word."""
    status.pop("resize", None)
    if worker.pending:
        status["resize"] = worker.pending["reason"]
    elif worker.in_progress:
        status["resize"] = "InProgress"


def _write_totals(status, worker):
    """The pod's own sums. What is too small to be read back from its cgroup is left out."""
    if not any(r["requests"] or r["limits"] for r in worker.allocated.values()):
        return
    totals = {kind: {name: objects.total(worker.actual, kind, name) for name in ("cpu", "memory")}
              for kind in ("limits", "requests")}
    _drop_small(totals["limits"], SMALLEST_CPU_LIMIT_SHOWN_M)
    _drop_small(totals["requests"], SMALLEST_CPU_REQUEST_SHOWN_M)
    totals["limits"]["memory"] = totals["limits"]["memory"] or NO_MEMORY_LIMIT
    status["resources"] = {kind: {n: q for n, q in amounts.items() if q is not None}
                           for kind, amounts in totals.items()}
    status["allocatedResources"] = {
        name: amount for name in ("cpu", "memory")
        if (amount := objects.total(worker.allocated, "requests", name)) is not None}


def _drop_small(amounts, up_to_m):
    if amounts["cpu"] is not None and quantity.milli(amounts["cpu"]) <= up_to_m:
        amounts["cpu"] = None


def _restart_status(container, container_id):
    moment = objects.now_text()
    started = container["state"].get("running", {}).get("startedAt", moment)
    container["lastState"] = {"terminated": {
        "exitCode": 1, "reason": "Error", "startedAt": started, "finishedAt": moment,
        "containerID": container["containerID"]}}
    container["containerID"] = container_id or "containerd://" + secrets.token_hex(32)
    container["restartCount"] += 1
    container["state"] = {"running": {"startedAt": moment}}
    container["ready"] = container["started"] = False


def _set_ready(status, is_ready):
    for condition in status.get("conditions") or []:
        if condition["type"] not in ("Ready", "ContainersReady"):
            continue
        condition.update(status="True" if is_ready else "False",
                         lastTransitionTime=objects.now_text())
        for field in ("reason", "message"):
            condition.pop(field, None)
        if not is_ready:
            condition["reason"] = "ContainersNotReady"
            condition["message"] = "containers with unready status"
