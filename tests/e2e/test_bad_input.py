#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What doze says when it cannot do what it was told: one line, the value in it, nothing left."""
import os
import signal
import sys
import threading

import client
from client import Http
from harness import Skip, app, check, equal, main, test, wait_until

USAGE, FAILURE = 2, 1
RUN = ("run", "-p", "8080")
TRUE = ("--", "true")


def complains(doze, status, *words):
    """One line, and nothing else."""
    equal(doze.wait(), status, "exit status")
    lines = doze.stderr.lines
    equal(len(lines), 1, f"lines on stderr: {lines}")
    for word in words:
        check(word in lines[0], f"{word} is not in: {lines[0]}")


def leaves_nothing(t, net):
    """Processes, cgroups and namespaces are looked for after every test."""
    equal(net.gates(), set(), "gates")


# --- the command line and the environment ---


@test([
    # arguments                                           what the line must have
    (("run", "--bogus", *TRUE),                           "'--bogus'"),
    (("run", "-z", *TRUE),                                "'-z'"),
    (("run", "-p"),                                       "'-p'"),
    (("run", *TRUE),                                      "-p PORT"),
    (RUN,                                                 "-- COMMAND"),
    ((*RUN, "--"),                                        "-- COMMAND"),
    ((*RUN, "--pid=1", *TRUE),                            "--pid"),
    (("run", "-p", "0", *TRUE),                           "'0'"),
    (("run", "-p", "65536", *TRUE),                       "'65536'"),
    (("run", "-p", "-1", *TRUE),                          "'-1'"),
    (("run", "-p", "http", *TRUE),                        "'http'"),
    (("run", "-p", "", *TRUE),                            "''"),
    (("run", "-p", "8080/icmp", *TRUE),                   "'8080/icmp'"),
    ((*RUN, "-p", "8080", *TRUE),                         "'8080' is given twice"),
    ((*RUN, "-p", "8080/tcp", *TRUE),                     "'8080/tcp' is given twice"),
    ((*RUN, "--idle-after=5 parsecs", *TRUE),             "'5 parsecs'"),
    ((*RUN, "--idle-after=", *TRUE),                      "''"),
    ((*RUN, "--idle-after=-5s", *TRUE),                   "'-5s'"),
    ((*RUN, "--idle-after=99ms", *TRUE),                  "'99ms' is too short"),
    ((*RUN, "--idle-after=99999999999999999999s", *TRUE), "'99999999999999999999s'"),
    ((*RUN, "--wake-timeout=0s", *TRUE),                  "'0s'"),
    ((*RUN, "--asleep=away", *TRUE),                      "'away'"),
    ((*RUN, "--asleep-cpu=0", *TRUE),                     "'0'"),
    ((*RUN, "--asleep-cpu=5m", *TRUE),                    "'5m'"),
    ((*RUN, "--ready=gopher:/", *TRUE),                   "'gopher:/'"),
    ((*RUN, "--ready=http:healthz", *TRUE),               "'http:healthz'"),
    ((*RUN, "--ready=http:/a b", *TRUE),                  "'http:/a b'"),
    ((*RUN, "--replay=maybe", *TRUE),                     "'maybe'"),
    ((*RUN, "--hook=line", *TRUE),                        "'line'"),
    ((*RUN, "--interface=", *TRUE),                       "''"),
    ((*RUN, "--interface=longer-than-15-letters", *TRUE), "'longer-than-15-letters'"),
    ((*RUN, "--log-level=loud", *TRUE),                   "'loud'"),
    ((*RUN, "--probe-source=10.0.0.0/33", *TRUE),         "'10.0.0.0/33'"),
    ((*RUN, "--ignore-source=node", *TRUE),               "'node'"),
    ((*RUN, "--ignore-http=healthz", *TRUE),              "'healthz'"),
    ((*RUN, "--stay-awake=Mon-Fry 08:00-18:00", *TRUE),   "'Mon-Fry 08:00-18:00'"),
    ((*RUN, "--stay-awake=08:00-25:00", *TRUE),           "'08:00-25:00'"),
    ((*RUN, "--stay-awake=08:00-18:00 Europe/Atlantis", *TRUE), "'08:00-18:00 Europe/Atlantis'"),
    ((*RUN, "--stay-awake=08:00-18:00 ../passwd", *TRUE), "'08:00-18:00 ../passwd'"),
    ((*RUN, "--probes=ignore", *TRUE),                    "'ignore'"),
    ((*RUN, "--probes=wake", "--ignore-source=10.0.0.1", *TRUE), "'10.0.0.1/32'"),
    ((*RUN, "--probe-source=::1", "--ignore-source=::1", *TRUE), "'::1'"),
    ((*RUN, "--idle-max=1s", *TRUE),                      "'1000ms'"),
    ((*RUN, "--busy-max=1s", *TRUE),                      "'1000ms'"),
    ((*RUN, "--listen=everywhere", *TRUE),                "'everywhere'"),
    ((*RUN, "--socket=here", *TRUE),                      "'here'"),
    (("status", "--bogus"),                               "'--bogus'"),
    ((*RUN, "--pid=self"),                                "'self'"),
    ((*RUN, "--pid=0"),                                   "'0'"),
    (("walk",),                                           "'walk'"),
    ((),                                                  "no command"),
])
def usage_is_wrong(t, arguments, word):
    net = t.net()
    complains(t.plain_doze(net, *arguments), USAGE, word)
    leaves_nothing(t, net)


@test([("DOZE_IDLE_AFTER", "5 parsecs", "'5 parsecs'"), ("DOZE_PORT", "80,65536", "'65536'"),
       ("DOZE_HOOK", "line", "'line'")])
def environment_is_wrong(t, name, value, word):
    doze = t.plain_doze(t.net(), *RUN, *TRUE, environment={name: value})
    complains(doze, USAGE, word, name)


# --- what is not there ---


@test([("/no/such/command",), ("no-such-command",), ("/etc/passwd",), ("/",)])
def command_cannot_be_run(t, command):
    net = t.net()
    complains(t.plain_doze(net, *RUN, "--", command), FAILURE, f"'{command}'")
    leaves_nothing(t, net)


@test([((),), (("--interface=lo",),)])
def interface_is_not_there(t, more):
    net = t.net()
    doze = t.plain_doze(net, *RUN, *more, "--interface=eth7", *TRUE)
    complains(doze, FAILURE, "'eth7'")
    leaves_nothing(t, net)


def pid_that_is_gone(t):
    process = t.process("true")
    process.wait()
    return process.pid


def pid_of_a_thread(t):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return max(int(task) for task in os.listdir("/proc/self/task"))


def pid_that_nobody_can_have(_):
    return 2**31 - 1


@test([(pid_that_is_gone,), (pid_of_a_thread,), (pid_that_nobody_can_have,)])
def pid_is_no_process(t, find):
    net = t.net()
    pid = find(t)
    complains(t.plain_doze(net, *RUN, f"--pid={pid}"), FAILURE, f"'{pid}'")
    leaves_nothing(t, net)


@test([("freeze", "freezer"), ("throttle", "cpu")])
def cgroup_controller_is_not_mounted(t, asleep, controller):
    net = t.net()
    unmount = ("unshare", "--mount", "sh", "-c", 'umount -a -t cgroup,cgroup2; exec "$@"', "sh")
    doze = t.plain_doze(net, *RUN, f"--asleep={asleep}", *TRUE, wrap=unmount)
    complains(doze, FAILURE, f"'{controller}'")
    leaves_nothing(t, net)


@test([("tcp", "8080"), ("udp", "8080/udp")])
def port_has_a_doze_already(t, protocol, port):
    net = t.net()
    first = t.doze(net, ports=(port,), command=(f"{'http' if protocol == 'tcp' else 'udp'}:8080",))
    first.wait_asleep()
    before = net.gates()
    complains(t.plain_doze(net, "run", "-p", port, *TRUE), FAILURE, f"'8080/{protocol}'")
    equal(net.gates(), before, "the gates of the first")
    check(first.cgroup.is_frozen(), "the first was woken")
    if protocol == "tcp":
        with Http(net.path()) as connection:
            connection.get()
            equal(connection.info().retransmits, 0, "retransmissions")


@test()
def nobody_without_rights_takes_the_lock_of_a_port(t):
    """Anybody may bind the names that doze locks a port with."""
    net = t.net()
    squat = ("import socket, time; names = ['doze/port/8080/tcp', 'doze/port/8080/tcp/1']; "
             "kept = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in names]; "
             "[s.bind(chr(0) + n) for s, n in zip(kept, names)]; "
             "print('bound', flush=True); time.sleep(100)")
    squatter = t.process(*t.in_server(net, "setpriv", "--reuid=65534", "--regid=65534",
                                      "--clear-groups", sys.executable, "-S", "-c", squat))
    squatter.stdout.wait_for("bound")
    t.doze(net).wait_asleep()
    complains(t.plain_doze(net, *RUN, *TRUE), FAILURE, "'8080/tcp'")


@test([("tcx",), ("tc",)])
def same_port_in_another_namespace_or_protocol_is_not_taken(t, hook):
    if hook == "tcx":
        t.needs_kernel(6, 6, "tcx")
    t.needs_replay()
    nets = t.net(), t.net()
    dozes = [t.doze(net, f"--hook={hook}") for net in nets]
    dozes.append(t.doze(nets[0], f"--hook={hook}", ports=("8080/udp",), command=("udp:8080",)))
    for doze in dozes:
        doze.wait_asleep()
    for net in nets:
        with Http(net.path()) as connection:
            connection.get()
            equal(connection.info().retransmits, 0, "retransmissions")


@test()
def dozes_that_start_and_end_at_once_do_not_disturb_each_other(t):
    """Each makes and removes cgroups, and sweeps those of dozes that were killed."""
    nets = [t.net() for _ in range(6)]
    for _ in range(3):
        dozes = [t.doze(net, "--hook=xdp", command=["true"]) for net in nets]
        for doze in dozes:
            equal(doze.wait(), 0, "exit status")


# --- what this process may not do ---


def without(*capabilities):
    taken = ",".join("-" + name for name in capabilities)
    return ("setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}")


@test([
    ("CAP_BPF",       ("bpf", "sys_admin"),     TRUE),  # CAP_SYS_ADMIN includes these two
    ("CAP_PERFMON",   ("perfmon", "sys_admin"), TRUE),
    ("CAP_NET_ADMIN", ("net_admin",),           TRUE),
    ("CAP_NET_RAW",   ("net_raw",),             TRUE),
    ("CAP_SYS_ADMIN", ("sys_admin",),           ("--pid=1",)),
])
def capability_is_missing(t, name, taken, arguments):
    net = t.net()
    complains(t.plain_doze(net, *RUN, *arguments, wrap=without(*taken)), FAILURE, f"'{name}'")
    leaves_nothing(t, net)


@test()
def root_is_missing(t):
    net = t.net()
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    readable = t.readable_doze()
    complains(t.plain_doze(net, *RUN, *TRUE, wrap=nobody, binary=readable), FAILURE, "'CAP_BPF'")
    leaves_nothing(t, net)


@test()
def user_namespace_of_its_own(t):
    """As of a pod with hostUsers: false: all capabilities, and none that bpf(2) asks for."""
    net = t.net()
    complains(t.plain_doze(net, *RUN, *TRUE, wrap=("unshare", "--user", "--map-root-user")),
              FAILURE, "user namespace", "'hostUsers: false'")
    leaves_nothing(t, net)


@test()
def four_capabilities_and_access_to_cgroups_are_enough(t):
    """As --help says. The root cgroup is read-only, but for CAP_DAC_OVERRIDE."""
    t.needs_replay()
    net = t.net()
    kept = "+bpf,+perfmon,+net_admin,+net_raw,+dac_override"
    doze = t.doze(net, wrap=("setpriv", f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}"))
    doze.wait_asleep()
    for link in ("eth0", "lo"):
        with Http(net.path(link)) as connection:
            connection.get()
            equal(connection.info().retransmits, 0, f"retransmissions on {link}")
        doze.wait_asleep()


@test()
def net_raw_is_not_needed_without_replay(t):
    net = t.net()
    doze = t.doze(net, "--replay=off", wrap=without("net_raw"))
    doze.wait_log('msg="watching"')
    wait_until(lambda: net.listens(8080), "the application listens")
    client.get(net.path())
    equal(doze.stop(), 128 + signal.SIGTERM, "exit status")


@test()
def kernel_without_btf_is_good_enough(t):
    """The gate reads packets and maps, and no structure of the kernel."""
    t.needs_replay()
    if not os.path.isdir("/sys/kernel/btf"):
        raise Skip("this kernel has no BTF, and every other test shows it")
    net = t.net()
    hide = ("unshare", "--mount", "sh", "-c",
            'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
    doze = t.doze(net, wrap=hide)
    doze.wait_asleep()
    with Http(net.path()) as connection:
        connection.get()
        equal(connection.info().retransmits, 0, "retransmissions")


@test([("help",), ("run", "--help"), ("version",)])
def asking_for_help_is_no_failure(t, *arguments):
    doze = t.plain_doze(t.net(), *arguments)
    equal(doze.wait(), 0, "exit status")
    equal(doze.stderr.lines, [], "stderr")
    check(doze.stdout.lines, "nothing is said")


if __name__ == "__main__":
    main()
