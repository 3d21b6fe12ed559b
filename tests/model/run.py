#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has spin search the models of this folder, and shows what it finds; TAP on stdout.

usage: tests/model/run.py [--big] [PART-OF-A-NAME]        --big: larger bounds, minutes and gigabytes

Each row of HOLDS is a model that must have no error, each row of MISTAKES one with a mistake
compiled into it (-DMISTAKE_...) that must have one. A function that a comment names as name() must
be defined in the tree, and each step of a model must name one, or say that it is the environment.
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).parent
BUILD = pathlib.Path("build/model")
MEMORY_MB = 1000
BIG_MEMORY_MB = 6000

# file, settings, what is searched. "live": also for a run that never comes to rest.
HOLDS = (
    ("wake", "-DFLOWS=1", "one client, a full freezer, a kept connection"),
    ("wake", "-DFLOWS=1 -DSHARED_RING", "the ring is full of other targets' records"),
    ("wake", "-DFLOWS=1 -DSLOW_PACKET", "a packet is in the gate for longer than the settle time"),
    ("wake", "-DFLOWS=1 -DSLEEPS=2", "two sleeps"),
    ("wake", "-DFLOWS=1 -DKILLS=1 -DWATCHDOG_KILLS=1", "doze and its watchdog are killed"),
    ("wake", "-DFLOWS=1 -DHANGS=1", "doze hangs"),
    ("wake", "-DFLOWS=2 -DREQUESTS=1 -DCOPIES=1 -DFAILURES=0", "two clients"),
    ("wake", "-DFLOWS=1 -DCOPIES=1", "live: it comes to rest"),
    ("size", "", "a kubelet that actuates late"),
    ("size", "-DSLEEPS=2", "two sleeps"),
    ("size", "-DGUARANTEED -DFAULTS=1", "a Guaranteed pod, a lost answer"),
    ("size", "-DREFUSALS=1", "a kubelet that puts it off"),
    ("size", "-DFAULTS=1", "a lost answer, or an error"),
    ("size", "-DKILLS=1", "doze is killed"),
)
BIG = (
    ("wake", "-DFLOWS=2", "two clients, one of them with two SYNs"),
    ("wake", "-DFLOWS=1 -DKILLS=1 -DWATCHDOG_KILLS=1 -DHANGS=1", "killed and hung"),
    ("wake", "-DFLOWS=1 -DKILLS=2 -DSLEEPS=2", "killed twice"),
    ("size", "-DREFUSALS=1 -DFAULTS=1", "put off, and a lost answer"),
    ("size", "-DSLEEPS=2 -DCALLS=2", "two sleeps and two calls"),
    ("size", "-DKILLS=2 -DREFUSALS=1", "killed twice, and put off"),
)
MISTAKES = (
    ("wake", "NO_SECOND_LOOK", "-DFLOWS=1", "closes without a second look"),
    ("wake", "REPLAY_BEFORE_OPEN", "-DFLOWS=1", "replays before the gate is open"),
    ("wake", "REPLAY_WITHOUT_POP", "-DFLOWS=1", "replays what it keeps"),
    ("wake", "NO_LATE_REPLAY", "-DFLOWS=1", "does not deliver what the ring gives late"),
    ("wake", "NO_HEARTBEAT", "-DFLOWS=1", "closes the gate and does not beat"),
    ("wake", "DEAF_HEARTBEAT", "-DFLOWS=1 -DSHARED_RING", "looks for nothing that the ring has lost"),
    ("wake", "NO_WATCHDOG", "-DFLOWS=1 -DKILLS=1", "has no watchdog"),
    ("size", "SHRINK_FORGOTTEN", "", "grows while a shrink is in flight, and does not ask again"),
    ("size", "NO_SETTLE", "-DSLEEPS=2", "does not look what the kubelet writes after the wake"),
    ("size", "NO_DOUBT", "-DFAULTS=1", "takes a patch without an answer for one that never comes"),
    ("size", "STATE_AFTER_SHRINK", "-DKILLS=1", "keeps no state file before it shrinks"),
    ("size", "NO_WATCHDOG", "-DKILLS=1", "leaves what is frozen to the next doze"),
)

results = []


def tell(is_ok, text):
    results.append(is_ok)
    print(f"{'ok' if is_ok else 'not ok'} {len(results)} - model: {text}", flush=True)


# --- the functions that it models ---

def comments_of(text):
    return re.findall(r"/\*.*?\*/", text, re.DOTALL)


def is_defined(name, sources):
    return re.search(rf"^\w[^\n;=]*\b{name}\([^;]*?\)\s*\{{", sources, re.MULTILINE)


def unnamed_steps(text):
    """Processes and inlines whose comment names no function."""
    for found in re.finditer(r"((?:/\*(?:(?!\*/).)*\*/\s*)?)(?:^#if[^\n]*\n|^#define[^\n]*\n)*"
                             r"^(?:active )?(?:proctype|inline) (\w+)", text, re.DOTALL | re.MULTILINE):
        if not re.search(r"\w+\(\)|Environment|When nothing else", found.group(1)):
            yield found.group(2)


def check_names(model):
    text = model.read_text()
    sources = "\n".join(p.read_text() for d in ("userspace", "bpf", "include")
                        for p in sorted(pathlib.Path(d).rglob("*.[ch]")))
    named = {name for c in comments_of(text) for name in re.findall(r"\b([a-z]\w+)\(\)", c)}
    own = set(re.findall(r"^(?:active )?(?:proctype|inline) (\w+)", text, re.MULTILINE))
    gone = [n for n in sorted(named) if not is_defined(n, sources) and n not in own]
    unnamed = list(unnamed_steps(text))
    for name in gone:
        print(f"# {model}: names {name}(), which is not there")
    for name in unnamed:
        print(f"# {model}: the step {name} names no function that it models")
    tell(not gone and not unnamed, f"{model.name}: all {len(named)} functions that it names are there")


# --- spin ---

def call(command, directory):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)


def search(name, settings, is_live=False, memory_mb=MEMORY_MB):
    """What spin says, in the words of its verifier, and the seconds that this took."""
    start = time.monotonic()
    model = (FOLDER / f"{name}.pml").resolve()
    safe = ["-DNP", "-DNFAIR=3"] if is_live else ["-DSAFETY"]
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        made = call(["spin", *settings.split(), "-a", str(model)], directory)
        if made.returncode == 0:
            made = call(["clang", "-O0", "-w", *safe, f"-DMEMLIM={memory_mb}", "-o", "pan", "pan.c"],
                        directory)
        if made.returncode != 0:
            return made.stdout, time.monotonic() - start
        flags = ["-l", "-f"] if is_live else []
        out = call(["./pan", "-n", "-E", "-m200000", *flags], directory).stdout
        trail = pathlib.Path(directory) / f"{name}.pml.trail"
        if trail.exists():
            trail.replace(BUILD / trail.name)
    return out, time.monotonic() - start


def figures(out, seconds):
    states = re.search(r"(\d+) states, stored", out)
    depth = re.search(r"depth reached (\d+)", out)
    return (f"{states.group(1) if states else '?'} states, depth {depth.group(1) if depth else '?'}, "
            f"{seconds:.1f} s")


def is_complete(out):
    """Nothing was found, and nothing was left out."""
    return ("errors: 0" in out and "Search not completed" not in out
            and "max search depth too small" not in out)


def check_holds(row, memory_mb):
    name, settings, what = row
    out, seconds = search(name, settings, what.startswith("live:"), memory_mb)
    if not is_complete(out):
        print("# " + out.strip().replace("\n", "\n# "))
        print(f"# spin {settings} -p -g -t -k {BUILD}/{name}.pml.trail tests/model/{name}.pml")
    tell(is_complete(out), f"{name}.pml: {what} ({figures(out, seconds)})")
    states = re.search(r"(\d+) states, stored", out)
    return int(states.group(1)) if states else 0


def check_mistake(row):
    name, mistake, settings, what = row
    out, seconds = search(name, f"{settings} -DMISTAKE_{mistake}")
    is_found = "assertion violated" in out
    if not is_found:
        print("# " + out.strip().replace("\n", "\n# "))
    tell(is_found, f"{name}.pml: a doze that {what} is found ({figures(out, seconds)})")


def main():
    is_big = "--big" in sys.argv
    parts = [a for a in sys.argv[1:] if a != "--big"]

    def is_chosen(row):
        return all(part in " ".join(row) for part in parts)

    start, states = time.monotonic(), 0
    for model in sorted(FOLDER.glob("*.pml")):
        check_names(model)
    for row in filter(is_chosen, HOLDS + (BIG if is_big else ())):
        states += check_holds(row, BIG_MEMORY_MB if is_big else MEMORY_MB)
    for row in filter(is_chosen, MISTAKES):
        check_mistake(row)
    print(f"1..{len(results)}")
    print(f"# {results.count(True)} passed, {results.count(False)} failed: {states} states in "
          f"{time.monotonic() - start:.0f} s, {sum(map(is_chosen, MISTAKES))} mistakes")
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
