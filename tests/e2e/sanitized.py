# SPDX-License-Identifier: MIT
"""doze built with AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer.

tests/run.py names a directory for what they report, and a file there is a failure. A test that
knows which processes were its own looks by itself, so that the failure has its name.
"""
import functools
import os

REPORTS = os.environ.get("SANITIZER_REPORTS", "")


@functools.cache
def is_sanitized(binary):
    with open(binary, "rb") as file:
        return b"__asan_init" in file.read()


def settings_for(binary):
    """To look for leaks takes a process that stops all others, which the filter does not allow."""
    return {"DOZE_SECCOMP": "off"} if is_sanitized(binary) else {}


def end_slack_s(binary):
    """So much longer an end may take: to look for leaks takes a while, in each process."""
    return 5 if is_sanitized(binary) else 0


def take_reports():
    """What has been reported since the last call."""
    texts = []
    for name in sorted(os.listdir(REPORTS)) if REPORTS else []:
        path = os.path.join(REPORTS, name)
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
        os.unlink(path)
    return texts
