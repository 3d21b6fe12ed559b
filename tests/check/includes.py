#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Includes point one way, as the rows of userspace/README.md say, and what is pure stays pure.

A folder of userspace/ may include itself, base/, and the folders of its row. A file whose header
says "Pure." of the whole file, in its opening comment, decides and has no way to do: it includes
no system header that does I/O. bpf/ includes only include/ and itself.
"""
import pathlib
import re
import sys

USERSPACE = pathlib.Path("userspace")
README = USERSPACE / "README.md"
IO_HEADERS = re.compile(r"^(sys/(socket|epoll|mman)|bpf/|event2/|curl/|fcntl|unistd|time)")
# "Pure, but for ..." names what the header below is needed for.
PURE_BUT = {("schedule", "time.h")}
OPENING = re.compile(r"/\* SPDX[^\n]*\n(/\*.*?\*/)", re.DOTALL)


def rows():
    """The folders that each folder may include, as the first code block with a row for main says."""
    block = re.search(r"^```\n(main .*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE).group(1)
    names = [line.split() for line in block.splitlines()]
    return {first: {first, "base", *rest} for first, *rest in names}


def included(path, marks):
    return re.findall(r"^#include [%s]([^\">]+)[\">]" % marks, path.read_text(), re.MULTILINE)


def folder_of(path):
    return "main" if path.parent == USERSPACE else path.parent.name


def check_folder(path, allowed):
    folder = folder_of(path)
    if folder not in allowed:
        yield f"{path}: '{folder}' has no row in {README}"
        return
    for name in included(path, '"'):
        if name == "gate.h" or name.endswith(".skel.h"):
            continue
        if name.split("/")[0] not in allowed[folder] or not (USERSPACE / name).exists():
            yield f"{path}: includes {name}, which is not in the row of '{folder}' in {README}"


def is_pure(header):
    opening = OPENING.match(header.read_text())
    return bool(opening and re.search(r"\bPure\b", opening.group(1)))


def check_pure(header):
    for path in (header, header.with_suffix(".c")):
        for name in included(path, "<") if path.exists() else []:
            if IO_HEADERS.match(name) and (path.stem, name) not in PURE_BUT:
                yield f"{path}: {header.name} claims to be pure, and this includes <{name}>"


def check_bpf(path):
    for name in included(path, '"'):
        if name not in ("gate.h", "vmlinux.h", "parse.h", "decide.h", "maps.h"):
            yield f"{path}: includes {name}: bpf/ includes only include/ and itself"


def main():
    allowed = rows()
    sources = sorted(USERSPACE.rglob("*.[ch]"))
    wrong = [w for p in sources for w in check_folder(p, allowed)]
    wrong += [w for p in sources if p.suffix == ".h" and is_pure(p) for w in check_pure(p)]
    wrong += [w for p in sorted(pathlib.Path("bpf").glob("*.[ch]")) for w in check_bpf(p)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
