#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A file's name is the prefix of every function that it defines.

Whoever reads a call knows which file to open: the one that has the longest name of those that the
function begins with. That holds for static functions too, in userspace/ and in bpf/.
"""
import pathlib
import re
import sys

# The only exceptions.
ALLOWED = {
    "userspace/main.c": {"main"},
    "userspace/base/util.h": {"freep", "closep", "monotonic_ns", "min_u64", "max_u64"},
}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ATTRIBUTE = re.compile(r"__attribute__\(\([^()]*(\([^()]*\))?\)\) ?")
# A definition begins in the first column, and its "{" stands alone on a line.
DEFINITION = re.compile(r"^[A-Za-z_][^;={}#]*?\b(\w+)\([^;{}]*\)\n\{", re.MULTILINE)


def prefix(path):
    return path.name.split(".")[0]


def functions(path):
    return DEFINITION.findall(ATTRIBUTE.sub("", COMMENT.sub("", path.read_text())))


def wrong_in(path, prefixes):
    for name in functions(path):
        if name in ALLOWED.get(str(path), ()):
            continue
        fitting = [p for p in prefixes if name == p or name.startswith(p + "_")]
        if max(fitting, key=len, default="") != prefix(path):
            yield f"{path}: {name}() has not the name of its file as prefix, or has another's"


def main():
    sources = [p for d in ("userspace", "bpf") for p in sorted(pathlib.Path(d).rglob("*.[ch]"))]
    prefixes = {prefix(p) for p in sources}
    wrong = [w for p in sources for w in wrong_in(p, prefixes)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
