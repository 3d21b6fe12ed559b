#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/install-deps.sh: where it takes bookworm-backports from. Nothing is installed here: its
apt-get only notes how it was called.
"""
import os
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "fake"))

import tap
from tap import check, equal

SCRIPT = os.path.join(ROOT, "deploy", "install-deps.sh")
APT = """#!/bin/sh
echo "$*" >>"$CALLS"
"""
APT_CONFIG = """#!/bin/sh
echo "etc='$ETC/'"
"""
NOTHING_IS_INSTALLED = "#!/bin/sh\nexit 1\n"
ROOT_ID = "#!/bin/sh\necho 0\n"
BACKPORTS = "deb http://mirror.example/debian bookworm-backports main"

DEB822 = """# a comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
"""
SECURITY = """
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/security.gpg
"""


class Machine:
    """Its sources: files below etc/apt."""

    def __init__(self, directory, sources):
        self.directory = directory
        self.etc = os.path.join(directory, "etc")
        for path in (os.path.join(self.etc, "sources.list.d"), os.path.join(directory, "bin")):
            os.makedirs(path)
        for name, text in sources.items():
            self._write(os.path.join("etc", name), text)
        self._write("os-release", "ID=debian\nVERSION_CODENAME=bookworm\n")
        for name, text in (("apt-get", APT), ("apt-config", APT_CONFIG), ("id", ROOT_ID),
                           ("dpkg-query", NOTHING_IS_INSTALLED)):
            self._write(os.path.join("bin", name), text, 0o755)

    def _write(self, name, text, mode=0o644):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def install(self):
        """What was asked of apt-get."""
        calls = os.path.join(self.directory, "calls")
        done = subprocess.run(
            ["sh", SCRIPT], check=False, text=True, capture_output=True,
            env={"PATH": f"{self.directory}/bin:{os.environ['PATH']}", "CALLS": calls,
                 "ETC": self.etc,
                 "OS_RELEASE": os.path.join(self.directory, "os-release")})
        equal(done.returncode, 0, done.stderr)
        with open(calls, encoding="utf-8") as file:
            return file.read()

    def added(self):
        path = os.path.join(self.etc, "sources.list.d", "doze-backports.list")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return file.read().strip()


def expect(sources, line):
    with tempfile.TemporaryDirectory(prefix="doze-test-") as directory:
        machine = Machine(directory, sources)
        calls = machine.install()
        equal(machine.added(), line, f"the source that was added, beside {sources}")
        check("-t bookworm-backports libbpf-dev" in calls, calls)


def test_backports_come_from_the_mirror_of_a_one_line_source():
    expect({"sources.list": "deb http://mirror.example/debian bookworm main contrib\n"
            "deb http://security.example/debian-security bookworm-security main\n"}, BACKPORTS)


def test_backports_come_from_the_mirror_of_a_deb822_source():
    expect({"sources.list.d/debian.sources": DEB822 + SECURITY}, BACKPORTS)
    expect({"sources.list.d/debian.sources": SECURITY + "\n" + DEB822}, BACKPORTS)


def test_backports_are_signed_as_the_mirror_is():
    signed = BACKPORTS.replace("deb ", "deb [signed-by=/usr/share/keyrings/ours.gpg] ")
    expect({"sources.list": "deb [signed-by=/usr/share/keyrings/ours.gpg] "
            "http://mirror.example/debian bookworm main\n"}, signed)
    expect({"sources.list.d/debian.sources":
            DEB822 + "Signed-By: /usr/share/keyrings/ours.gpg\n" + SECURITY}, signed)


def test_nothing_is_added_where_backports_are_there():
    expect({"sources.list": "deb http://mirror.example/debian bookworm main\n"
            "deb http://other.example/debian bookworm-backports main\n"}, None)
    expect({"sources.list.d/debian.sources": DEB822.replace("updates", "backports")}, None)


def test_a_source_that_is_off_is_none():
    expect({"sources.list": "# deb http://old.example/debian bookworm main\n"
            "deb-src http://src.example/debian bookworm main\n",
            "sources.list.d/a.sources": DEB822.replace("mirror", "off") + "Enabled: no\n",
            "sources.list.d/b.sources": DEB822}, BACKPORTS)


def test_no_file_of_the_project_names_a_mirror():
    for name in ("deploy/install-deps.sh", "deploy/Containerfile"):
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            text = file.read()
        for scheme in ("http://", "https://"):
            equal(text.count(scheme), 0, f"{name}: {scheme}")


if __name__ == "__main__":
    tap.main(globals())
