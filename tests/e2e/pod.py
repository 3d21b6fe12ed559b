# SPDX-License-Identifier: MIT
"""A pod for tests: two network namespaces with a veth pair, an application in a cgroup of its own,
the API server in the client's namespace, and `doze sidecar` beside the application.

    with Pod() as pod:
        pod.start_doze()
        pod.wait_asleep()
        answer = pod.request()          # a TCP connection from the client's namespace

Everything is named doze-test-PID-NUMBER, and removed at the end, also after a failure.
"""
import atexit
import contextlib
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "fake"))
# pylint: disable=wrong-import-position
import http2  # noqa: E402
import netns  # noqa: E402
import pods  # noqa: E402
import sanitized  # noqa: E402
from apiserver import FakeApiServer  # noqa: E402
from harness import Skip, refused_calls, restless  # noqa: E402
from kubelet_cgroups import Cgroup  # noqa: E402

DOZE = os.environ.get("E2E_DOZE", os.path.join(ROOT, "doze"))
POD_ADDRESS, CLIENT_ADDRESS = "192.0.2.2", "192.0.2.1"
PORT = 8080
ASLEEP_QUOTA_US = 1000
EXEC_QUOTA_US = 10000  # of a pod with an exec probe
LIMIT_S = 20
END_LIMIT_S = 5
PROMPT_MS = 1000  # sooner than a client's kernel sends a SYN again
QUIET_S = 0.4
TCP_TOTAL_RETRANS = 100  # offset in struct tcp_info

_numbers = itertools.count(1)
_alive = []  # pods that need cleaning up

# Answers each request with the client's address; one thread, as cheap as can be, since it must
# answer at a hundredth of a CPU as well. Each request is a line of JSON on stdout.
APP = """
import json, selectors, socket, sys
options = json.loads(sys.argv[1])
poll = selectors.DefaultSelector()
listeners = [socket.create_server(("0.0.0.0", port), backlog=512) for port in options["ports"]]
for listener in listeners:
    poll.register(listener, selectors.EVENT_READ)
asked = 0
print(json.dumps({"listening": options["ports"]}), flush=True)
def answer(conn):
    global asked
    try:
        text = conn.recv(65536).decode("latin-1")
        host, port = conn.getpeername()[:2]
    except OSError:
        return
    if not text:
        return
    path = text.split(" ", 2)[1]
    wanted = options.get("wants")
    if "doze-ready" in text or path != "/":
        print(json.dumps({"port": conn.getsockname()[1], "request": text}), flush=True)
    asked += host != options["client"]
    is_ready = (not wanted or wanted in text) and asked <= options.get("unready_after", 1 << 30)
    code = 200 if is_ready or host == options["client"] else 503
    body = f"{host}:{port}"
    try:
        conn.send(f"HTTP/1.0 {code} -\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
    except OSError:
        pass
while True:
    for key, _ in poll.select():
        if key.fileobj in listeners:
            conn, _ = key.fileobj.accept()
            poll.register(conn, selectors.EVENT_READ)
            continue
        answer(key.fileobj)
        poll.unregister(key.fileobj)
        key.fileobj.close()
"""


class Failed(AssertionError):
    pass


def check(claim, text):
    if not claim:
        raise Failed(text)


def wait_until(condition, text, limit_s=LIMIT_S):
    """Polls until condition() is true, and returns its value."""
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, f"not within {limit_s} s: {text}")
        time.sleep(0.005)


def cgroup_base():
    """Where cgroups with a CPU quota can be made; None where there is no CPU controller."""
    if os.path.exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"):
        return "/sys/fs/cgroup/cpu"
    root = "/sys/fs/cgroup"
    try:
        with open(root + "/cgroup.controllers", encoding="ascii") as file:
            if "cpu" not in file.read().split():
                return None
        with open(root + "/cgroup.subtree_control", "w", encoding="ascii") as file:
            file.write("+cpu")
    except OSError:
        return None
    return root


def stamp():
    """Now, as doze's log lines begin."""
    now_s = time.time()
    seconds = time.strftime("time=%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))
    return f"{seconds}.{int(now_s % 1 * 1000):03d}"


class Lines:
    """What a process writes, line by line, to be waited for."""

    def __init__(self, stream):
        self._lines = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        for line in stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        stream.close()

    def all(self):
        with self._changed:
            return list(self._lines)

    def matching(self, *texts):
        return [line for line in self.all() if all(text in line for text in texts)]

    def wait(self, *texts, count=1, after="", limit_s=LIMIT_S):
        """Until count lines hold all of the texts; the count-th. after: a stamp() of the log."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while True:
                found = [line for line in self._lines if all(text in line for text in texts)
                         and (not after or line > after)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                check(left > 0, f"not logged within {limit_s} s: {' '.join(texts)}")
                self._changed.wait(left)

    def join(self):
        self._thread.join(5)


class Process:
    """A child whose stdout or stderr is read; ended by its pid."""

    def __init__(self, command, stream, **options):
        silent = "stderr" if stream == "stdout" else "stdout"
        # pylint: disable=consider-using-with
        self.child = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL,
                                      **{stream: subprocess.PIPE, silent: subprocess.DEVNULL},
                                      **options)
        self.lines = Lines(getattr(self.child, stream))

    @property
    def pid(self):
        return self.child.pid

    @property
    def is_alive(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.is_alive:
            self.child.send_signal(number)

    def wait(self, limit_s=LIMIT_S):
        """Its exit status."""
        try:
            status = self.child.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"process {self.pid} has not ended within {limit_s} s") from None
        self.lines.join()
        return status

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def end(self):
        if self.is_alive:
            self.kill()


class Doze(Process):
    """`doze node` or `doze sidecar`: a supervisor, whose child is the daemon."""

    @property
    def daemon_pid(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def signal_daemon(self, number):
        os.kill(self.daemon_pid, number)

    def kill(self):
        """Both at once, as the end of a container does: neither sees the other's."""
        if self.is_alive:
            self.signal(signal.SIGSTOP)
            with contextlib.suppress(IndexError, OSError):  # it has no daemon at this moment
                self.signal_daemon(signal.SIGKILL)
        return super().kill()

    def end(self):
        """Whatever state it is in. With the sanitizers in order, if it can: then they look for leaks."""
        if sanitized.is_sanitized(DOZE) and self.is_alive:
            with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError):
                self.signal_daemon(signal.SIGCONT)
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(END_LIMIT_S)
        if self.is_alive:
            self.kill()


def check_calls(dozes):
    """doze may make all of the system calls that it has tried."""
    refused = [text for doze in dozes if doze for text in refused_calls(doze.lines.all())]
    check(not refused, refused)


class Answer:
    """How one connection went."""

    def __init__(self):
        self.begun_s = time.monotonic()
        self.connected_ms = self.elapsed_ms = self.retransmitted = self.error = None
        self.text, self.own_address = "", None

    @property
    def is_ok(self):
        return self.error is None and " 200 " in self.text.split("\r\n")[0]

    @property
    def seen_address(self):
        """The client's, as the application saw it."""
        return self.text.rpartition("\r\n\r\n")[2]

    def __str__(self):
        return (f"error={self.error} connected_ms={self.connected_ms} "
                f"elapsed_ms={self.elapsed_ms} retransmitted={self.retransmitted} "
                f"text={self.text!r}")


def ask(client, address, path="/"):
    """Over this socket, which is closed: connects, asks, reads the answer to its end."""
    answer = Answer()
    try:
        client.connect(address)
        answer.connected_ms = (time.monotonic() - answer.begun_s) * 1000
        answer.own_address = "%s:%d" % client.getsockname()[:2]
        client.sendall(f"GET {path} HTTP/1.0\r\nHost: web\r\n\r\n".encode())
        answer.text = client.recv(4096).decode("latin-1")
        info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        answer.retransmitted = struct.unpack_from("=I", info, TCP_TOTAL_RETRANS)[0]
    except OSError as error:
        answer.error = error
    answer.elapsed_ms = (time.monotonic() - answer.begun_s) * 1000
    client.close()
    return answer


def in_background(function, *arguments, **options):
    """Calls it in a thread; a function that waits for its result."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function(*arguments, **options)),
                              daemon=True)
    thread.start()

    def result():
        thread.join(60)
        check(found, "a request has not ended within 60 s")
        return found[0]
    return result


class Pod:
    """manifest: a pod of tests/fake/pods.py. server: options of FakeApiServer. app: ports, and for
    requests that are not the client's: wants (a text they must hold), unready_after (a number of
    them)."""

    def __init__(self, manifest=None, name="web", app=None, **server):
        self.number = next(_numbers)
        self.tag = f"doze-test-{os.getpid()}-{self.number}"
        self.name = name
        self.net = netns.Net(f"pod{self.number}")
        self.directory = tempfile.mkdtemp(prefix=self.tag + "-")
        self.state_file = os.path.join(self.directory, "state.json")
        self.cgroup_path = os.path.join(cgroup_base(), self.tag)
        self.app_options = {"ports": [PORT], "client": CLIENT_ADDRESS, **(app or {})}
        self.server = self.app = self.doze = None
        self.old_doze = []
        self._answered = ""  # when, as a stamp()
        _alive.append(self)
        try:
            self._build(manifest or pods.burstable(name), server)
        except BaseException:
            self.close()
            raise

    def _build(self, manifest, server_options):
        self.net.make()
        os.mkdir(self.cgroup_path)
        self.server = FakeApiServer(addresses=(CLIENT_ADDRESS,), netns=self.net.client,
                                    **server_options).start()
        self.server.add_pod(manifest, cgroups={"app": self.cgroup_path})
        self.full, self.full_quota_us = self.size(), self.quota_us()
        self.start_app()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        self.check_calls()

    def check_calls(self):
        check_calls(self.old_doze + [self.doze])

    def close(self):
        if self.doze:
            self.doze.end()
        if self.app and self.app.is_alive:
            self.app.kill()
        if self.server:
            self.server.stop()
        if os.path.isdir(self.cgroup_path):
            wait_until(self._remove_cgroup, "the cgroup can be removed")
        self.net.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self in _alive:
            _alive.remove(self)

    def _remove_cgroup(self):
        try:
            os.rmdir(self.cgroup_path)
        except OSError:  # a process has not left it yet
            return False
        return True

    # The application

    def start_app(self):
        command = ["nsenter", f"--net=/run/netns/{self.net.server}", sys.executable, "-S", "-c",
                   APP, json.dumps(self.app_options)]
        self.app = Process(command, "stdout")
        self.app.lines.wait("listening")
        with open(os.path.join(self.cgroup_path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(self.app.pid))

    def quota_us(self):
        return Cgroup(self.cgroup_path).quota()

    # doze

    def environment(self, **changes):
        """What the container finds; a change to None takes a variable away."""
        variables = {**{k: v for k, v in os.environ.items()
                        if not k.startswith(("DOZE_", "KUBERNETES_", "POD_"))},
                     **self.server.environment(self.name),
                     **sanitized.settings_for(DOZE),
                     "DOZE_SERVICE_ACCOUNT_DIR": self.server.account_directory,
                     "DOZE_STATE_FILE": self.state_file,
                     "DOZE_SOCKET": os.path.join(self.directory, "doze.sock"), **changes}
        return {name: value for name, value in variables.items() if value is not None}

    def launch_doze(self, *flags, idle="300ms", wake_timeout="3s", level="debug", **changes):
        """Starts it, whatever comes of it."""
        if self.doze:
            self.old_doze.append(self.doze)
        command = ["nsenter", f"--net=/run/netns/{self.net.server}", doze_binary(), "sidecar",
                   *restless(idle), "--wake-timeout", wake_timeout, "--log-level", level,
                   *flags]
        self._answered = ""
        self.doze = Doze(command, "stderr", env=self.environment(**changes))
        return self.doze

    def start_doze(self, *flags, **options):
        """Starts it, and waits until it watches the pod."""
        self.launch_doze(*flags, **options)
        self.doze.lines.wait('msg="watching"')
        return self.doze

    def wait_asleep(self, limit_s=LIMIT_S, quota_us=ASLEEP_QUOTA_US):
        """Until it sleeps (again, since the last answer), with the cgroup throttled."""
        self.doze.lines.wait('msg="asleep"', after=self._answered, limit_s=limit_s)
        check(self.quota_us() == quota_us, f"asleep with a quota of {self.quota_us()}")

    def stop_doze(self, limit_s=LIMIT_S):
        self.doze.signal(signal.SIGTERM)
        return self.doze.wait(limit_s)

    # The client

    def connect(self, limit_s=30):
        """A connection of the client's."""
        client = self._socket(limit_s)
        client.connect((POD_ADDRESS, PORT))
        self._answered = stamp()
        return client

    def _socket(self, limit_s):
        with netns.inside(self.net.client):
            client = socket.socket()
        client.settimeout(limit_s)
        return client

    def request(self, path="/", limit_s=30):
        """Connects, asks, reads the answer to its end."""
        answer = ask(self._socket(limit_s), (POD_ADDRESS, PORT), path)
        self._answered = stamp()
        return answer

    def begin_request(self, **options):
        """The same, in a thread; a function that waits for the answer."""
        return in_background(self.request, **options)

    def expect_answer(self, within_ms=1000, answer=None):
        """One request that must be answered in that time."""
        answer = answer or self.request()
        check(answer.is_ok, f"the connection was lost: {answer}")
        check(answer.elapsed_ms <= within_ms, f"took longer than {within_ms} ms: {answer}")
        return answer

    # The size

    def resources(self, container="app"):
        spec = self.server.pod(self.name)["spec"]
        return next(c for c in spec["containers"] if c["name"] == container)["resources"]

    def size(self, container="app"):
        """(request, limit) of CPU in the pod's spec."""
        resources = self.resources(container)
        return (resources.get("requests", {}).get("cpu"), resources.get("limits", {}).get("cpu"))

    @property
    def is_full(self):
        return self.size() == self.full and self.quota_us() == self.full_quota_us

    def until_full(self, limit_s=LIMIT_S, within_ms=5000):
        """Calls all the time, so that it stays awake, until the pod has its full size."""
        def called():
            self.expect_answer(within_ms)
            return self.is_full
        wait_until(called, "the full size", limit_s)

    def until_settled(self, limit_s=LIMIT_S):
        """Full, and doze has seen it: it asks the API server nothing more until it is idle."""
        def called():
            self.expect_answer(5000)
            return self.is_full and self._is_quiet()
        wait_until(called, "doze has read the pod at its full size", limit_s)

    def _is_quiet(self):
        """No request for longer than doze pauses between the few that a restore takes."""
        return time.monotonic() - self.server.requests[-1].time_s > QUIET_S

    def report(self):
        """What happened, for a failed test."""
        lines = [f"size {self.size() if self.server.pod(self.name) else None} "
                 f"quota {self.quota_us()}"]
        for process in [*self.old_doze, self.doze]:
            lines += ["doze:"] + [line for line in process.lines.all()
                                  if "asked for readiness" not in line][-40:] if process else []
        first_s = self.server.requests[0].time_s if len(self.server.requests) else 0
        lines.append("the API server:")
        for r in list(self.server.requests)[-30:]:
            end = f"+{(r.answered_s - r.time_s) * 1000:.0f}" if r.answered_s else "never"
            lines.append(f"{(r.time_s - first_s) * 1000:.0f} {r.method} {r.path} {r.status} {end} "
                         f"{','.join(r.faults)} {json.dumps(r.body) if r.body else ''}")
        return "\n".join(lines)


_binary = []
_binary_lock = threading.Lock()


def doze_binary():
    """A copy, so that a build beside the tests does not change what they test."""
    with _binary_lock:
        if not _binary:
            directory = tempfile.mkdtemp(prefix=f"doze-test-{os.getpid()}-bin-")
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            _binary.append(shutil.copy2(DOZE, directory))
    return _binary[0]


def reason_to_skip():
    """Why no pod can be made here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists(DOZE):
        return "doze is not built"
    if cgroup_base() is None:
        return "no CPU controller among the cgroups"
    for tool in ("ip", "nsenter", "openssl"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    return None


def over_http2():
    """What makes an API server, in its options, one that speaks HTTP/2."""
    if not http2.IS_THERE:
        raise Skip("python3-h2 is missing")
    return {"is_http2": True}


def close_all():
    for pod in list(_alive):
        try:
            pod.close()
        except (Failed, OSError) as error:
            print(f"# cleaning up {pod.tag}: {error}", flush=True)
    for path in _binary:
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
