#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md holds the flags of each command word for word as --help prints them.

--write puts them there.
"""
import re
import subprocess
import sys

COMMANDS = {"run": "-p, --port", "sidecar": "-p, --port", "node": "--idle-after"}  # the first flag


def block(command):
    text = subprocess.run(["./doze", command, "--help"], check=True, capture_output=True,
                          text=True).stdout
    flags = text[text.index("    " + COMMANDS[command]):text.index("\nNeeds ")].rstrip()
    lines = (line.removeprefix("    ") for line in flags.splitlines())
    return f"<!-- doze {command} --help -->\n```\n" + "\n".join(lines) + "\n```"


def main():
    with open("README.md", encoding="utf-8") as readme:
        old = new = readme.read()
    for command in COMMANDS:
        pattern = rf"<!-- doze {command} --help -->\n```\n.*?\n```"
        new = re.sub(pattern, lambda _, c=command: block(c), new, flags=re.DOTALL)
        if block(command) not in new:
            print(f"README.md: no block for doze {command} --help")
            return 1
    if new == old:
        return 0
    if "--write" in sys.argv:
        with open("README.md", "w", encoding="utf-8") as readme:
            readme.write(new)
        return 0
    print("README.md: its flags are not those of --help: tests/check/readme.py --write")
    return 1


if __name__ == "__main__":
    sys.exit(main())
