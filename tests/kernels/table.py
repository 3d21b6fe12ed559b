#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints what kernels support, as a table in Markdown, and compares it with the document's.

    tests/kernels/table.py DOCUMENT DIRECTORY...

Each DIRECTORY is of a kernel, and has its release in the file "release", and what the tests on it
have shown in "cells", a line FEATURE|VALUE each. Exit status: 1 if the document has other values
for these kernels.
"""
import re
import sys
from pathlib import Path

FIRST = "kernel"


def read_kernel(directory):
    release = (directory / "release").read_text()
    cells = [line.split("|") for line in (directory / "cells").read_text().splitlines()]
    return ".".join(release.split(".")[:2]), dict(cells)


def read_table(document):
    """The columns of the document's table, as read_kernel() has them."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in document.read_text().splitlines() if re.match(r"\s*\|", line)]
    heads = [i for i, row in enumerate(rows) if row[0] == FIRST]
    if not heads:
        return {}
    head, *rows = rows[heads[0]:]
    table = {name: {} for name in head[1:]}
    for row in rows[1:]:
        if len(row) != len(head):
            break
        for name, value in zip(head[1:], row[1:]):
            table[name][row[0]] = value
    return table


def format_table(kernels):
    features = {feature: None for cells in kernels.values() for feature in cells}
    rows = [[FIRST, *kernels], ["---"] * (len(kernels) + 1)]
    rows += [[feature] + [cells.get(feature, "?") for cells in kernels.values()]
             for feature in features]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main():
    document, *directories = map(Path, sys.argv[1:])
    kernels = dict(map(read_kernel, directories))
    print(format_table(kernels))
    documented = read_table(document)
    differs = False
    for name, cells in kernels.items():
        if name not in documented:
            print(f"# {document} has no kernel {name}")
            differs = True
        for feature in {**documented.get(name, {}), **cells} if name in documented else ():
            said, is_so = documented[name].get(feature), cells.get(feature)
            if said != is_so:
                print(f"# {document}, kernel {name}, {feature}: {said}, but it is {is_so}")
                differs = True
    sys.exit(differs)


if __name__ == "__main__":
    main()
