#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Readiness by gRPC and by HTTPS: a pod whose health endpoint says no is not put to sleep."""
import os
import subprocess
import sys
import traceback

from pod import HERE, Pod, Process, check, close_all, pods, reason_to_skip, wait_until

HEALTH_PORT = 9090
ENOUGH_QUESTIONS = 5

# Kind of endpoint, its probe, and what it is asked.
ROWS = [
    ("grpc", {"grpc": {"port": HEALTH_PORT, "service": "web"}}, "grpc web"),
    ("grpc", {"grpc": {"port": HEALTH_PORT}}, "grpc "),
    ("https", {"httpGet": {"path": "/up?x=1", "port": HEALTH_PORT, "scheme": "HTTPS"}},
     "https GET /up?x=1 HTTP"),
]


def self_made_certificate(directory):
    paths = [os.path.join(directory, name) for name in ("health.crt", "health.key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj",
                    "/CN=nobody", "-out", paths[0], "-keyout", paths[1]],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return paths


def start_health(pod, kind, ready_file):
    command = ["nsenter", f"--net=/run/netns/{pod.net.server}", sys.executable,
               os.path.join(HERE, "healthd.py"), kind, str(HEALTH_PORT), ready_file]
    if kind == "https":
        command += self_made_certificate(pod.directory)
    health = Process(command, "stdout")
    health.lines.wait("listening")
    return health


def sleeps_only_once_it_is_healthy(kind, probe, question):
    with Pod(pods.with_probe(pods.burstable("web"), probe)) as pod:
        ready_file = os.path.join(pod.directory, "ready")
        health = start_health(pod, kind, ready_file)
        try:
            pod.start_doze()
            wait_until(lambda: len(health.lines.matching(question)) >= ENOUGH_QUESTIONS,
                       f"asked '{question}' again and again")
            check(not pod.server.requests.resizes(), "put to sleep before it was healthy")
            with open(ready_file, "w", encoding="ascii"):
                pass
            pod.wait_asleep()
            pod.expect_answer()
        finally:
            health.kill()


def main():
    why, failed = reason_to_skip(), 0
    for number, (kind, probe, question) in enumerate(ROWS, 1):
        name = f"{number} - pod sleeps only once its {kind} endpoint is healthy [{question}]"
        if why:
            print(f"ok {number} # SKIP {name}: {why}")
            continue
        try:
            sleeps_only_once_it_is_healthy(kind, probe, question)
            print(f"ok {name}", flush=True)
        except Exception:  # whatever it is, the test has failed
            failed += 1
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {name}", flush=True)
    print(f"1..{len(ROWS)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        STATUS = main()
    finally:
        close_all()
    sys.exit(STATUS)
