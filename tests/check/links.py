#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the READMEs name is there: the targets of their links, files in `backquotes`, and tests.

A name in backquotes is a file if it has a slash and a known ending, or the name of a function with
its parentheses. It is looked for from the top, from the README's own folder, and from userspace/.
A test is `FILE: NAME`, with a file below tests/.
"""
import pathlib
import re
import subprocess
import sys

FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+\.(?:c|h|py|sh|md|yaml)|[\w/-]+/)`")
FUNCTION = re.compile(r"`([a-z]\w+)\(\)`")
TEST = re.compile(r"`([\w/]+\.(?:c|py)): (\w+)`")
LINK = re.compile(r"\]\(([^)#:]+)?(?:#([\w-]+))?\)")


def anchors(text):
    """Those that a code host makes of the headings."""
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def is_there(readme, name):
    return any((folder / name).exists() for folder in
               (pathlib.Path(), readme.parent, pathlib.Path("userspace")))


def check_links(readme, text):
    for name, anchor in LINK.findall(text):
        path = readme.parent / name if name else readme
        if not path.exists():
            yield f"{readme}: links to {name}, which is not there"
        elif anchor and anchor not in anchors(path.read_text()):
            yield f"{readme}: links to {name}#{anchor}, which has no such heading"


def check_names(readme, text, sources):
    for name in FILE.findall(text):
        if "NAME" not in name and not name.startswith(("/", "build/")) and not is_there(readme, name):
            yield f"{readme}: names {name}, which is not there"
    for name in FUNCTION.findall(text):
        if "NAME" not in name and not re.search(rf"\b{name}\b", sources):
            yield f"{readme}: names {name}(), which is not there"


def check_tests(readme, text):
    for name, test in TEST.findall(text):
        path = pathlib.Path("tests") / name
        begin = rf"^TEST\({test}[,)]" if path.suffix == ".c" else rf"^def {test}\("
        if not path.exists() or not re.search(begin, path.read_text(), re.MULTILINE):
            yield f"{readme}: names the test {name}: {test}, which is not there"


def main():
    files = [pathlib.Path(f) for f in
             subprocess.run(["git", "ls-files"], check=True, capture_output=True,
                            text=True).stdout.split()]
    sources = "".join(f.read_text() for f in files if f.suffix in (".c", ".h", ".py") and f.exists())
    wrong = []
    for readme in (f for f in files if f.suffix == ".md" and f.exists()):
        text = readme.read_text()
        wrong += [*check_links(readme, text), *check_names(readme, text, sources),
                  *check_tests(readme, text)]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
