# SPDX-License-Identifier: MIT
"""A node for tests: a network namespace for the node itself, with a bridge as CNI plugins make it;
for each pod another one, an application in cgroups laid out as a kubelet does it; the API server;
and `doze node`.

    with Node() as node:
        web = node.add_pod("web", {"idle-after": "300ms"})
        node.start_doze()
        web.wait_asleep()
        answer = web.request()          # from another pod's address

Everything is named doze-test-PID-NUMBER, and removed at the end, also after a failure.
"""
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import netns
import pod as podlib
from harness import Skip, note
import sanitized
from pod import (DOZE, HERE, Doze, ask, check, check_calls, doze_binary, in_background, pods, stamp,
                 wait_until)
from apiserver import FakeApiServer

BRIDGE_ADDRESS, CLIENT_ADDRESS, PREFIX_LEN = "10.244.0.1", "10.244.15.254", 20
NODE = "node1"
PORT = 8080
PREFIX = "doze.dev/"
ASLEEP_QUOTA_US = 1000
LONG_MS = 10000  # where it is not the time that matters
QUIET = {"min-awake": "0s", "idle-max": "300ms"}

_numbers = itertools.count(1)
_alive = []


def hierarchies():
    """Where pods have their cgroups here: a directory for each hierarchy, the cpu's first."""
    if os.path.exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"):
        return [f"/sys/fs/cgroup/{name}" for name in ("cpu", "cpuacct", "freezer")
                if os.path.isdir(f"/sys/fs/cgroup/{name}")]
    base = podlib.cgroup_base()
    return [base] if base else []


def reason_to_skip():
    return podlib.reason_to_skip()


class Layout:
    """The names that a cgroup driver and a runtime give. https://kubernetes.io has none of them:
    pkg/kubelet/cm/cgroup_manager_linux.go."""

    def __init__(self, driver, runtime):
        self.driver, self.runtime = driver, runtime

    def pod(self, uid, qos):
        part = "" if qos == "Guaranteed" else qos.lower()
        if self.driver == "cgroupfs":
            return "/".join(["kubepods", *([part] if part else []), f"pod{uid}"])
        levels = ["kubepods.slice"]
        if part:
            levels.append(f"kubepods-{part}.slice")
        middle = f"-{part}" if part else ""
        levels.append(f"kubepods{middle}-pod{uid.replace('-', '_')}.slice")
        return "/".join(levels)

    def container(self, identifier):
        if self.driver == "cgroupfs":
            return identifier if self.runtime == "containerd" else f"crio-{identifier}"
        prefix = {"containerd": "cri-containerd", "cri-o": "crio"}[self.runtime]
        return f"{prefix}-{identifier}.scope"


class NodePod:
    def __init__(self, node, manifest, number, ports):
        self.node, self.number, self.ports = node, number, ports
        self.manifest = manifest
        self.name, self.uid = manifest["metadata"]["name"], manifest["metadata"]["uid"]
        self.namespace = manifest["metadata"].get("namespace", "default")
        self.address = f"10.244.{number // 250}.{number % 250 + 2}"
        self.netns = f"{node.tag}-{number}"
        self.pid = self.log_id = None
        self._answered = ""
        self.full = self.full_quota_us = self.full_weights = None

    # What the node has of it

    @property
    def container_id(self):
        status = self.manifest["status"]["containerStatuses"][0]
        return status["containerID"].partition("://")[2]

    @property
    def pod_path(self):
        return self.node.layout.pod(self.uid, self.manifest["status"]["qosClass"])

    @property
    def container_path(self):
        return f"{self.pod_path}/{self.node.layout.container(self.container_id)}"

    @property
    def log_path(self):
        """Of the other container, with add_pod(log=...)."""
        return f"{self.pod_path}/{self.node.layout.container(self.log_id)}"

    def directory(self, path, hierarchy=0):
        return os.path.join(self.node.roots[hierarchy], path)

    def make_cgroups(self):
        for hierarchy in range(len(self.node.roots)):
            for path in [self.container_path] + ([self.log_path] if self.log_id else []):
                directory = self.directory(path, hierarchy)
                os.makedirs(directory, exist_ok=True)
                if os.path.exists(os.path.join(directory, "cpu.pressure")):
                    self._hand_down(directory)

    def add_log(self, where):
        """A container without a process, to the manifest; where: containers or initContainers."""
        self.log_id = os.urandom(32).hex()
        spec, status = self.manifest["spec"], self.manifest["status"]
        container, of = (json.loads(json.dumps(one)) for one in
                         (spec["containers"][0], status["containerStatuses"][0]))
        del container["ports"], container["readinessProbe"]
        container["name"] = of["name"] = "log"
        if where == "initContainers":
            container["restartPolicy"] = "Always"
        of["containerID"] = f"{self.node.layout.runtime}://{self.log_id}"
        spec.setdefault(where, []).append(container)
        status.setdefault(where[:-1] + "Statuses", []).append(of)

    def remove_log_cgroup(self):
        """As when it has crashed; its id is still in the status."""
        del self.node.server.kubelet.workers["default", self.name].cgroups["log"]
        for hierarchy in range(len(self.node.roots)):
            directory = self.directory(self.log_path, hierarchy)
            thaw(directory)
            wait_until(lambda where=directory: remove_tree(where), f"{directory} can be removed")

    def _hand_down(self, directory):
        """cgroup v2 gives a controller from one level to the next."""
        at = self.node.roots[0]
        for part in os.path.relpath(directory, at).split("/"):
            with open(os.path.join(at, "cgroup.subtree_control"), "w", encoding="ascii") as file:
                file.write("+cpu +memory")
            at = os.path.join(at, part)

    def restart(self, start=None, **options):
        """The container starts anew, in another cgroup, as the kubelet makes it now. start(): a new
        process in procs(), and its pid. Without, the process stays what it is: nobody looks at
        that."""
        old = [self.directory(self.container_path, h) for h in range(len(self.node.roots))]
        status = self.manifest["status"]["containerStatuses"][0]
        status["containerID"] = f"{self.node.layout.runtime}://{os.urandom(32).hex()}"
        self.make_cgroups()
        if start:
            self.pid = start()
        else:
            self._move(self.pid)
        for directory in old:
            thaw(directory)
            wait_until(lambda where=directory: remove_tree(where), f"{directory} can be removed")
        self.node.server.restart_container(
            self.name, "app", cgroup=self.directory(self.container_path),
            container_id=status["containerID"], **options)

    def _move(self, pid):
        for procs in self.procs():
            with open(procs, "w", encoding="ascii") as file:
                file.write(str(pid))

    def procs(self):
        return [os.path.join(self.directory(self.container_path, h), "cgroup.procs")
                for h in range(len(self.node.roots))]

    def _read(self, path, name, hierarchy=0):
        with open(os.path.join(self.directory(path, hierarchy), name), encoding="ascii") as file:
            return file.read().strip()

    def _quota(self, path):
        if self.node.version == 1:
            return int(self._read(path, "cpu.cfs_quota_us"))
        text = self._read(path, "cpu.max").split()[0]
        return -1 if text == "max" else int(text)

    def write_quota_us(self, path, quota_us):
        """As anybody may who has the right to."""
        name, text = ("cpu.cfs_quota_us", quota_us) if self.node.version == 1 \
            else ("cpu.max", f"{quota_us} 100000")
        with open(os.path.join(self.directory(path), name), "w", encoding="ascii") as file:
            file.write(str(text))

    def quota_us(self):
        return self._quota(self.container_path)

    def log_quota_us(self):
        return self._quota(self.log_path)

    def pod_quota_us(self):
        return self._quota(self.pod_path)

    def weights(self):
        """Of the pod and of the container."""
        name = "cpu.shares" if self.node.version == 1 else "cpu.weight"
        return [int(self._read(path, name)) for path in (self.pod_path, self.container_path)]

    @property
    def is_frozen(self):
        if self.node.version == 1:
            return self._read(self.container_path, "freezer.state", -1) == "FROZEN"
        return "frozen 1" in self._read(self.container_path, "cgroup.events")

    # What the API server has of it

    def object(self):
        return self.node.server.pod(self.name, self.namespace)

    def size(self):
        resources = self.object()["spec"]["containers"][0]["resources"]
        return (resources.get("requests", {}).get("cpu"), resources.get("limits", {}).get("cpu"))

    @property
    def is_full(self):
        return self.size() == self.full and self.quota_us() == self.full_quota_us and \
            not self.is_frozen

    def annotate(self, **annotations):
        """None takes one away; idle_after is doze.dev/idle-after."""
        with self.node.server.store.lock:
            found = json.loads(json.dumps(self.object()))
            has = found["metadata"].setdefault("annotations", {})
            for name, value in annotations.items():
                key = PREFIX + name.replace("_", "-")
                if value is None:
                    has.pop(key, None)
                else:
                    has[key] = value
            self.node.server.store.put("pods", found)

    def delete(self, **options):
        self.node.server.delete_pod(self.name, **options)

    def end(self):
        """The kubelet ends its processes, and removes its cgroups."""
        thaw(self.directory(self.container_path, -1))
        os.kill(self.pid, signal.SIGKILL)
        self.pid = None
        wait_until(lambda: all(remove_tree(self.directory(self.pod_path, h))
                               for h in range(len(self.node.roots))), "its cgroups are gone")

    def events(self, reason=None):
        return [e for e in self.node.server.store.list("events")
                if e["involvedObject"]["uid"] == self.uid
                and e["source"]["component"] == "doze" and reason in (None, e["reason"])]

    # What a client sees of it

    def socket(self, namespace=None):
        with netns.inside(namespace or self.node.client):
            client = socket.socket()
        client.settimeout(30)
        return client

    def request(self, path="/", namespace=None, address=None):
        answer = ask(self.socket(namespace), (address or self.address, self.ports[0]), path)
        self._answered = stamp()
        return answer

    def begin_request(self, *arguments, **options):
        return in_background(self.request, *arguments, **options)

    def expect_answer(self, within_ms=1000, **options):
        answer = self.request(**options)
        check(answer.is_ok, f"the connection was lost: {answer}")
        check(answer.elapsed_ms <= within_ms, f"took longer than {within_ms} ms: {answer}")
        return answer

    # What doze does with it

    def wait_log(self, message, *texts, **options):
        return self.node.doze.lines.wait(f'msg="{message}"', f"={self.object_name}", *texts,
                                         **options)

    @property
    def object_name(self):
        return f"default/{self.name}"

    def wait_asleep(self, limit_s=podlib.LIMIT_S):
        """Until it sleeps (again, since the last answer)."""
        return self.node.doze.lines.wait('msg="asleep"', f"target={self.object_name} ",
                                         after=self._answered, limit_s=limit_s)

    def until_full(self, limit_s=podlib.LIMIT_S):
        wait_until(lambda: self.is_full, f"{self.name} has its full size", limit_s)


class PodPath:
    """What probers.py calls a path: from the node to a pod. port: of the source; 0 for any."""

    def __init__(self, node, pod, source=None, server=None, port=0):
        self.namespace, self.server = node.namespace, server or pod.address
        self.source, self.port = source, port

    def socket(self):
        with netns.inside(self.namespace):
            sock = socket.socket()
        if self.source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.source, self.port))
        return sock


class Node:
    """server: options of FakeApiServer."""

    def __init__(self, driver="systemd", runtime="containerd", **server):
        self.number = next(_numbers)
        self.tag = f"doze-test-{os.getpid()}-{self.number}"
        self.layout = Layout(driver, runtime)
        self.namespace, self.client = f"{self.tag}-node", f"{self.tag}-client"
        self.directory = tempfile.mkdtemp(prefix=self.tag + "-")
        self.state_directory = os.path.join(self.directory, "state")
        self._socket = os.path.join(self.directory, "doze.sock")
        self.roots = [os.path.join(h, self.tag) for h in hierarchies()]
        self.version = 2 if len(self.roots) == 1 else 1
        self.pods, self._next_pod = [], 0
        self.server = self.doze = self._apps = None
        self.old_doze = []
        self._apps_lock = threading.Lock()
        _alive.append(self)
        try:
            self._build(server)
        except BaseException:
            self.close()
            raise

    def _build(self, server_options):
        for root in self.roots:
            os.mkdir(root)
        for namespace in (self.namespace, self.client):
            netns.add(namespace)
        netns.ip("-n", self.namespace, "link", "add", "cni0", "type", "bridge")
        netns.ip("-n", self.namespace, "link", "set", "cni0", "addrgenmode", "none", "up")
        netns.ip("-n", self.namespace, "address", "add", f"{BRIDGE_ADDRESS}/{PREFIX_LEN}",
                 "dev", "cni0")
        self._plug_in(self.client, "veth-client", CLIENT_ADDRESS)
        self.server = FakeApiServer(addresses=(BRIDGE_ADDRESS,), netns=self.namespace,
                                    **server_options).start()
        self._apps = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-S", os.path.join(HERE, "node_apps.py")], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _plug_in(self, namespace, name, address):
        netns.ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", name,
                 "netns", self.namespace)
        netns.ip("-n", self.namespace, "link", "set", name, "master", "cni0", "addrgenmode",
                 "none", "up")
        netns.ip("-n", namespace, "link", "set", "eth0", "addrgenmode", "none", "up")
        netns.ip("-n", namespace, "address", "add", f"{address}/{PREFIX_LEN}", "dev", "eth0")
        netns.ip("-n", namespace, "route", "add", "default", "via", BRIDGE_ADDRESS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        check_calls(self.old_doze + [self.doze])

    def close(self):
        if self.doze:
            self.doze.end()
        if self._apps:
            self._thaw_all()
            for pod in self.pods:  # one of another user is not told that its parent has died
                if pod.pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pod.pid, signal.SIGKILL)
            self._apps.kill()
            self._apps.wait()
            self._apps.stdin.close()
            self._apps.stdout.close()
        if self.server:
            self.server.stop()
        for root in self.roots:
            if os.path.isdir(root):
                wait_until(lambda where=root: remove_tree(where), f"{root} can be removed")
        for namespace in (self.namespace, self.client, *(p.netns for p in self.pods)):
            subprocess.run(["ip", "netns", "delete", namespace], check=False,
                           stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self in _alive:
            _alive.remove(self)

    def _thaw_all(self):
        """A frozen process of cgroup v1 is not even killed."""
        for pod in self.pods:
            for hierarchy in range(len(self.roots)):
                thaw(pod.directory(pod.container_path, hierarchy))

    # Pods

    def add_pod(self, name="web", annotations=None, manifest=None, ports=(PORT,), starts=True,
                host_network=False, uid=0, log=None):
        """annotations: without their prefix; None: it is not ours. log: see NodePod.add_log()."""
        manifest = manifest or pods.burstable(name)
        pod = NodePod(self, manifest, self._next_pod, ports)
        self._next_pod += 1
        self.pods.append(pod)
        manifest["metadata"]["annotations"] = {} if annotations is None else {
            PREFIX + k: v for k, v in {"enabled": "true", **QUIET, **annotations}.items()}
        prefix = f"{self.layout.runtime}://"
        status = manifest["status"]["containerStatuses"][0]
        status["containerID"] = prefix + os.urandom(32).hex()
        if log:
            pod.add_log(log)
        if host_network:
            pod.address, pod.netns = BRIDGE_ADDRESS, self.namespace
            manifest["spec"]["hostNetwork"] = True
        manifest["status"].update(podIP=pod.address, podIPs=[{"ip": pod.address}],
                                  hostIP=BRIDGE_ADDRESS, hostIPs=[{"ip": BRIDGE_ADDRESS}])
        if not host_network:
            netns.add(pod.netns)
            self._plug_in(pod.netns, f"veth{pod.number}", pod.address)
        pod.make_cgroups()
        if starts:
            self.start_app(pod, uid)
        paths = {"app": pod.container_path, **({"log": pod.log_path} if log else {})}
        self.server.add_pod(manifest, cgroups={n: pod.directory(p) for n, p in paths.items()},
                            pod_cgroup=pod.directory(pod.pod_path))
        pod.full, pod.full_quota_us = pod.size(), pod.quota_us()
        pod.full_weights = pod.weights()
        return pod

    def start_app(self, pod, uid=0):
        with self._apps_lock:
            app = {"netns": pod.netns, "ports": list(pod.ports), "procs": pod.procs(), "uid": uid}
            self._apps.stdin.write(json.dumps(app) + "\n")
            self._apps.stdin.flush()
            pod.pid = json.loads(self._apps.stdout.readline())["pid"]
        check(pod.pid, f"the application of {pod.name} has not started")

    # doze

    def environment(self, **changes):
        variables = {**{k: v for k, v in os.environ.items()
                        if not k.startswith(("DOZE_", "KUBERNETES_", "POD_", "NODE_"))},
                     **self.server.environment(), "NODE_NAME": NODE,
                     **sanitized.settings_for(DOZE),
                     "DOZE_SERVICE_ACCOUNT_DIR": self.server.account_directory,
                     "DOZE_STATE_DIR": self.state_directory,
                     "DOZE_SOCKET": self._socket, **changes}
        return {name: value for name, value in variables.items() if value is not None}

    def _make_doze(self, *flags, level="debug", wrap=(), **changes):
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", *wrap,
                   doze_binary(), "node",
                   "--idle-after=300ms", "--wake-timeout=3s", "--log-level", level, *flags]
        return Doze(command, "stderr", env=self.environment(**changes))

    def launch_doze(self, *flags, **options):
        if self.doze:
            self.old_doze.append(self.doze)
        self.doze = self._make_doze(*flags, **options)
        for pod in self.pods:
            pod._answered = ""  # pylint: disable=protected-access
        return self.doze

    def spare_doze(self, *flags, **options):
        """One more, beside the one that is there."""
        self.old_doze.append(self._make_doze(*flags, **options))
        return self.old_doze[-1]

    def start_doze(self, *flags, **options):
        """Starts it, and waits until it knows the pods."""
        self.launch_doze(*flags, **options)
        self.doze.lines.wait("the pods of the node are known")
        return self.doze

    def stop_doze(self, limit_s=podlib.LIMIT_S):
        self.doze.signal(signal.SIGTERM)
        return self.doze.wait(limit_s)

    def state(self):
        """The names of the files that doze keeps."""
        return sorted(os.listdir(self.state_directory)) if os.path.isdir(self.state_directory) \
            else []

    def status(self, *flags):
        """What doze status tells."""
        return subprocess.run([doze_binary(), "status", *flags, self._socket], check=True,
                              text=True, stdout=subprocess.PIPE).stdout

    def metrics(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self._socket)
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    def report(self):
        lines = []
        for pod in self.pods:
            lines.append(f"{pod.name} {pod.size() if pod.object() else None}")
        for process in [*self.old_doze, self.doze]:
            lines += ["doze:"] + [line for line in process.lines.all()
                                  if "asked for readiness" not in line][-60:] if process else []
        return "\n".join(lines)


def thaw(directory):
    for name, text in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)


def remove_tree(root):
    """cgroups have files that cannot be removed; True when all directories are gone."""
    for directory, _, _ in os.walk(root, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:  # a process has not left it yet
            return False
    return True


def close_all():
    for node in list(_alive):
        node.close()


def seconds_of(function):
    start_s = time.monotonic()
    function()
    return time.monotonic() - start_s


# --- what a test begins with, and what it waits for ---


def make_node(t, **options):
    why = reason_to_skip()
    if why:
        raise Skip(why)
    node = t.stack.enter_context(Node(**options))

    def show(kind, *_):
        if kind:
            note(node.report())
    t.stack.push(show)
    return node


def asleep_pod(t, annotations=None, manifest=None, flags=(), **options):
    """A node with one pod, which sleeps."""
    node = make_node(t, **options)
    pod = node.add_pod("web", annotations or {}, manifest)
    node.start_doze(*flags)
    pod.wait_asleep()
    return node, pod


def expect_full_cgroups(pod):
    wait_until(lambda: (pod.quota_us(), pod.pod_quota_us(), pod.weights())
               == (pod.full_quota_us, pod.full_quota_us, pod.full_weights),
               "the full size of its cgroups")
