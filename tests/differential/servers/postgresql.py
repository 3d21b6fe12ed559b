# SPDX-License-Identifier: MIT
"""PostgreSQL: sessions, transactions, and timeouts of each."""
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

import protocol
from .server import PORT, Server

USER = "postgres"


def newest_bin():
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4]))) if found else None


def as_user(*command):
    """PostgreSQL refuses to be root."""
    user = pwd.getpwnam(USER)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
            *command]


class Postgresql(Server):
    name = package = "postgresql"
    protocol = protocol.Postgresql()

    def __init__(self):
        self.empty = None

    def why_not_here(self):
        return None if newest_bin() else "not here: apt-get install postgresql"

    def prepare(self):
        """A database of which every server has a copy: to make one takes seconds."""
        self.empty = tempfile.TemporaryDirectory(prefix="doze-test-")
        shutil.chown(self.empty.name, USER)
        subprocess.run(as_user(f"{newest_bin()}/initdb", "--no-sync", "--wal-segsize=1",
                               "--auth=trust", "-D", f"{self.empty.name}/data"),
                       check=True, stdout=subprocess.DEVNULL)

    def command(self, directory, timeout_s):
        data = os.path.join(directory, "data")
        subprocess.run(["cp", "-a", f"{self.empty.name}/data", data], check=True)
        with open(f"{data}/pg_hba.conf", "w", encoding="ascii") as file:
            file.write("host all all all trust\n")
        settings = {"port": PORT, "listen_addresses": "*", "unix_socket_directories": "",
                    "fsync": "off", "max_connections": "200", "shared_buffers": "16MB",
                    "authentication_timeout": f"{timeout_s}s",
                    "idle_session_timeout": f"{timeout_s}s",
                    "idle_in_transaction_session_timeout": f"{timeout_s}s"}
        return as_user(f"{newest_bin()}/postgres", "-D", data,
                       *(f"--{name}={value}" for name, value in settings.items()))
