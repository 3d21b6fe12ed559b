#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md holds the flags word for word as `doze run --help` prints them."""
import subprocess
import sys


def main():
    text = subprocess.run(["./doze", "run", "--help"], check=True, capture_output=True,
                          text=True).stdout
    flags = text[text.index("    -p, --port"):text.index("\nNeeds ")].rstrip()
    block = "\n".join(line.removeprefix("    ") for line in flags.splitlines())
    with open("README.md", encoding="utf-8") as readme:
        if f"```\n{block}\n```" in readme.read():
            return 0
    print("README.md: its flags are not those of doze run --help:\n" + block)
    return 1


if __name__ == "__main__":
    sys.exit(main())
