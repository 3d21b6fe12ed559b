# SPDX-License-Identifier: MIT
"""A test is a function of a Test, which gives it networks, dozes and processes, and takes all of
them back. A test that leaves anything behind has failed.

    @test()
    def syn_wakes_the_application(t): ...

    @test([("tcx",), ("xdp",)])                       # one test for each row
    def syn_wakes_through_the_hook(t, hook): ...

usage: test_x.py [PART-OF-A-NAME]       prints TAP; exit status 1 if a test failed

The environment variable E2E_DOZE names another binary than ./doze: make test DOZE=...
"""
import collections
import contextlib
import itertools
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import netns
import sanitized
from cgroups import Cgroup

HERE = os.path.dirname(os.path.abspath(__file__))
DOZE = os.environ.get("E2E_DOZE", os.path.join(HERE, "..", "..", "doze"))
TEST_LIMIT_S = 120
EVENT_LIMIT_S = 30
STOP_LIMIT_S = 15
TOOLS = ("ip", "tc", "nsenter", "unshare", "setpriv")

# What all our processes have in their environment, and nobody else's.
MARK_NAME, MARK = "E2E_TEST_OF", str(os.getpid())


class Skip(Exception):
    """Why a test cannot run here."""


class Failure(AssertionError):
    pass


def check(claim, text):
    if not claim:
        raise Failure(text)


def equal(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: got {got!r}, wanted {wanted!r}")


def wait_until(condition, what, limit_s=EVENT_LIMIT_S, pause_s=0.005):
    """The first true value of condition()."""
    until_s = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > until_s:
            raise Failure(f"not within {limit_s} s: {what}")
        time.sleep(pause_s)
    return value


def app(*services):
    return [sys.executable, "-S", os.path.join(HERE, "app.py"), *services]


# --- processes ---


class Lines:
    """The lines of a stream as they come, and how far the test has read them."""

    def __init__(self, stream):
        self.lines = []
        self.read_to = 0
        self.has_ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
        self.thread.start()

    def _collect(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.has_ended = True
            self.changed.notify_all()

    def wait_for(self, pattern, limit_s=EVENT_LIMIT_S):
        """The next line that matches; the lines up to it are read."""
        until_s = time.monotonic() + limit_s
        with self.changed:
            while True:
                while self.read_to < len(self.lines):
                    line = self.lines[self.read_to]
                    self.read_to += 1
                    if re.search(pattern, line):
                        return line
                if self.has_ended:
                    raise Failure(f"no line '{pattern}' up to the end")
                if not self.changed.wait(until_s - time.monotonic()):
                    raise Failure(f"no line '{pattern}' within {limit_s} s")

    def matching(self, pattern):
        with self.changed:
            return [line for line in self.lines if re.search(pattern, line)]


def fields(line):
    """key=value, as doze logs it."""
    return {key: quoted or bare
            for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S*))', line)}


class Process:
    """A process, with the lines it writes; its children may write to them as well."""

    def __init__(self, command, environment=None):
        self.command = command
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DOZE_")}
        self.popen = subprocess.Popen(
            command, env={**kept, MARK_NAME: MARK, **sanitized.settings_for(DOZE),
                          **(environment or {})}, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self.popen.pid
        self.stdout = Lines(self.popen.stdout)
        self.stderr = Lines(self.popen.stderr)

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, limit_s=EVENT_LIMIT_S):
        """The exit status, as a shell has it."""
        try:
            status = self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"pid {self.pid} does not end within {limit_s} s") from None
        return status if status >= 0 else 128 - status

    def wait_for_output(self):
        """Until nobody has its output open any longer."""
        self.stdout.thread.join(EVENT_LIMIT_S)
        self.stderr.thread.join(EVENT_LIMIT_S)

    def end(self):
        if self.popen.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may be frozen
                self.popen.wait(1)
            raise Failure(f"pid {self.pid} does not end on SIGTERM") from None


class Doze(Process):
    def __init__(self, command, environment=None, cgroup=None):
        super().__init__(command, environment)
        self.cgroup = cgroup or Cgroup(f"doze/run-{self.pid}")

    def wait_log(self, pattern, limit_s=EVENT_LIMIT_S):
        """The fields of the next log line that matches."""
        return fields(self.stderr.wait_for(pattern, limit_s))

    def wait_asleep(self):
        return self.wait_log('msg="asleep"')

    def wait_awake(self):
        return self.wait_log('msg="awake"')

    def count(self, message):
        return len(self.stderr.matching(f'msg="{message}"'))

    def stop(self):
        """Ends it as a user would; the exit status."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        self.wait_for_output()
        return status

    def counters(self):
        """What the gate has counted, once it has ended."""
        logged = [fields(line) for line in self.stderr.matching('msg="gate counter"')]
        return collections.Counter({line["verdict"]: int(line["packets"]) for line in logged})


def starve_of_descriptors(pid, left=0):
    """It keeps what is open, and gets no more than so many; its limits until now."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = (n for n in itertools.count() if n not in used)
    limit = next(itertools.islice(free, left, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(limit, limits[1]), limits[1]))
    return limits


def watchdog_of(doze):
    with open(f"/proc/{doze.pid}/task/{doze.pid}/children") as children:
        for child in children.read().split():
            with open(f"/proc/{child}/comm") as comm:
                if comm.read().strip() == "doze-watchdog":
                    return int(child)
    raise Failure(f"pid {doze.pid} has no watchdog")


def kill_with_watchdog(doze):
    """Both at once: neither sees the other's end."""
    watchdog = watchdog_of(doze)
    os.kill(watchdog, signal.SIGSTOP)
    doze.signal(signal.SIGSTOP)
    doze.signal(signal.SIGKILL)
    os.kill(watchdog, signal.SIGKILL)
    doze.wait()


# --- one test ---


def restless(idle):
    """Falls asleep after idle, however often it is woken: what happens is what a test does."""
    return [f"--idle-after={idle}", "--min-awake=0s", f"--idle-max={idle}"]


class Test:
    """What a test may ask for. Everything is taken back in the reverse order."""

    def __init__(self, number):
        self.number = number
        self.nets = 0
        self.processes = []
        self.leaks = []
        self.stack = contextlib.ExitStack()

    def needs_kernel(self, major, minor, why):
        release = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", platform.release()).groups())
        if release < (major, minor):
            raise Skip(f"{why} needs kernel {major}.{minor}")

    def needs_replay(self):
        self.needs_kernel(5, 18, "replay")

    def net(self):
        self.nets += 1
        net = netns.Net(f"{self.number}-{self.nets}")
        self.stack.callback(net.remove)
        net.make()
        self.stack.callback(self._look_for_gates, net)
        return net

    def _look_for_gates(self, net):
        # A qdisc is not a gate: one that a killed doze has left does nothing.
        gates = {(link, kind) for link, kind in net.gates() if kind != "clsact"}
        if gates:
            self.leaks.append(f"gates: {sorted(gates)}")

    def cgroup(self):
        """A cgroup that doze did not make."""
        cgroup = Cgroup(f"doze-test-{os.getpid()}-{self.number}")
        self.stack.callback(cgroup.remove)
        cgroup.make()
        return cgroup

    def process(self, *command):
        return self._keep(Process(list(command)))

    def _keep(self, process):
        self.processes.append(process)
        self.stack.callback(process.end)
        return process

    def in_server(self, net, *command):
        return ["nsenter", f"--net=/run/netns/{net.server}", *command]

    def doze(self, net, *flags, command=("http:8080",), ports=("8080",), idle="100ms",
             wrap=(), environment=None, cgroup=None, binary=DOZE):
        """`doze run` in the server's namespace; command: services of app.py, or a whole command.

        wrap: a command that runs doze, such as setpriv with its flags.
        """
        if isinstance(command, tuple):
            command = app(*command)
        ports = [f"--port={port}" for port in ports]
        return self._keep(Doze(self.in_server(net, *wrap, binary, "run", *ports,
                                              *restless(idle), *flags, "--", *command),
                               environment, cgroup))

    def doze_of(self, pid, *flags, cgroup, idle="100ms", wrap=()):
        """`doze run --pid`, from outside of the target's namespace."""
        return self._keep(Doze([*wrap, DOZE, "run", "--port=8080", *restless(idle),
                                f"--pid={pid}", *flags], cgroup=cgroup))

    def plain_doze(self, net, *arguments, wrap=(), environment=None, binary=DOZE):
        """doze with exactly these arguments, until it ends by itself."""
        doze = self._keep(Doze(self.in_server(net, *wrap, binary, *arguments), environment))
        doze.wait()
        doze.wait_for_output()
        return doze

    def readable_doze(self):
        """A copy that a user who is not root can reach."""
        directory = self.stack.enter_context(tempfile.TemporaryDirectory(prefix=netns.PREFIX))
        os.chmod(directory, 0o755)
        return shutil.copy(DOZE, directory)

    def sweep(self, net):
        """What a killed doze has left is removed by the next one, whatever that one runs."""
        equal(self.plain_doze(net, "run", "-p", "9", "--", "true").wait(), 0, "status of 'true'")

    def show_logs(self):
        for process in self.processes:
            note(f"--- {' '.join(process.command)}")
            for line in process.stdout.lines + process.stderr.lines:
                note("    " + line)


def refused_calls(lines):
    """Names of system calls that its seccomp filter has refused to doze: it needs more than it allows."""
    return [f"refused system call: {fields(line).get('call')}" for line in lines
            if "a system call is refused" in line]


def marked_pids():
    """Our processes, whoever their parent is by now; not this one, which has no mark itself."""
    pids = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as environ:
                if f"{MARK_NAME}={MARK}".encode() in environ.read().split(b"\0"):
                    pids.append(int(entry))
        except OSError:
            continue  # it has ended, or is a thread of the kernel
    return pids


def marked_pids_that_stay():
    """A process that was told to end, or whose doze was, may need a moment."""
    until_s = time.monotonic() + 3
    while (pids := marked_pids()) and time.monotonic() < until_s:
        time.sleep(0.01)
    return pids


def remove_processes(t):
    pids = marked_pids_that_stay()
    if not pids:
        return []
    for process in t.processes:
        if isinstance(process, Doze) and process.cgroup.left():
            process.cgroup.thaw()  # else SIGKILL waits
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not marked_pids(), "the processes that were left over end")
    return [f"processes: {pids}"]


def remove_cgroups(t):
    left = []
    for process in t.processes:
        if isinstance(process, Doze):
            left += process.cgroup.left()
            process.cgroup.remove()
    return [f"cgroups: {left}"] if left else []


def take_back(t):
    """What the test has left behind, removed and named."""
    leaks = t.leaks + remove_processes(t) + remove_cgroups(t)
    left = netns.leftover_namespaces()
    for namespace in left:
        subprocess.run(["ip", "netns", "delete", namespace], check=False)
    for process in t.processes:
        leaks += refused_calls(process.stderr.lines)
    return leaks + ([f"namespaces: {left}"] if left else [])


# --- all tests ---

tests = []


def test(rows=((),)):
    """Registers a function as one test, or as one for each row of arguments."""
    def register(function):
        for row in rows:
            name = " ".join([function.__name__.replace("_", " "), *(shown(a) for a in row)])
            tests.append((name, function, row))
        return function
    return register


def shown(argument):
    """An argument in the name of its test; # begins a remark in TAP."""
    if callable(argument):
        argument = argument.__name__.replace("_", " ")
    if isinstance(argument, tuple):
        argument = " ".join(argument)
    return f"[{argument}]".replace("#", "")


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def run_one(number, function, row):
    t = Test(number)
    try:
        signal.alarm(TEST_LIMIT_S)
        with t.stack:
            try:
                function(t, *row)
            except (Skip, netns.Unsupported):
                raise
            except BaseException:
                t.show_logs()
                raise
    finally:
        signal.alarm(0)
        leaks = take_back(t)
        reports = sanitized.take_reports()
        note("".join(reports))
    check(not leaks, f"left behind: {leaks}")
    check(not reports, "the sanitizers have reported something")


def run_all(chosen):
    failed = 0
    for number, (name, function, row) in enumerate(chosen, 1):
        start_s = time.monotonic()
        try:
            run_one(number, function, row)
            print(f"ok {number} - {name}", flush=True)
        except (Skip, netns.Unsupported) as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception:  # whatever it is, the test has failed
            failed += 1
            note(traceback.format_exc())
            print(f"not ok {number} - {name}", flush=True)
        note(f"{time.monotonic() - start_s:.1f} s")
    print(f"1..{len(chosen)}")
    return 1 if failed else 0


def why_none_can_run():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if missing:
        return f"not installed: {', '.join(missing)}"
    return None


def on_alarm(*_):
    raise Failure(f"the test does not end within {TEST_LIMIT_S} s")


def main():
    chosen = [t for t in tests if len(sys.argv) < 2 or sys.argv[1] in t[0]]
    why = why_none_can_run()
    if why:
        for number, (name, _, _) in enumerate(chosen, 1):
            print(f"ok {number} - {name} # SKIP {why}")
        print(f"1..{len(chosen)}")
        sys.exit(0)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is taken back
    sys.exit(run_all(chosen))
