# SPDX-License-Identifier: MIT
"""A test is a function named test_...; run() runs a module's in order and prints TAP."""
import sys
import traceback


class Skip(Exception):
    """Why a test cannot run here."""


class Check(AssertionError):
    pass


def check(claim, text="is not so"):
    if not claim:
        raise Check(text)


def equal(got, wanted, text=""):
    if got != wanted:
        raise Check(f"{text + ': ' if text else ''}got {got!r}, wanted {wanted!r}")


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def run(tests):
    """tests: (name, function) pairs. Returns the exit status."""
    failed = 0
    print(f"1..{len(tests)}")
    for number, (name, function) in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
        except Exception:  # any failure of a test is its failure
            failed += 1
            note(traceback.format_exc())
            print(f"not ok {number} - {name}", flush=True)
    return 1 if failed else 0


def tests_of(names):
    """The test functions of a module's globals(), with the sentences that their names are."""
    return [(name[len("test_"):], function) for name, function in names.items()
            if name.startswith("test_") and callable(function)]


def main(names):
    sys.exit(run(tests_of(names)))
