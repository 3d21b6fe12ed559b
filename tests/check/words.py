#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The words of userspace/README.md, and the form of comments.

A return code is r, and no object is. "health check" is no word of ours: ready is doze's question,
a probe is a checker's. A comment of several lines begins and ends on lines of their own.
"""
import pathlib
import re
import sys

RULES = (
    (re.compile(r"\bstruct \w+ \**r\b"), "an object is called r, which is a return code"),
    (re.compile(r"\bhealth[ _]checks?\b", re.IGNORECASE), "a health check is 'ready' or a probe"),
    (re.compile(r"^[ \t]*/\* (?:(?!\*/).)*\n", re.MULTILINE), "a comment of several lines begins with /* alone"),
)


def wrong_in(path):
    text = path.read_text()
    for rule, why in RULES:
        for found in rule.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {why}"


def main():
    sources = [p for d in ("userspace", "bpf", "include") for p in sorted(pathlib.Path(d).rglob("*.[ch]"))]
    wrong = [w for p in sources for w in wrong_in(p)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
