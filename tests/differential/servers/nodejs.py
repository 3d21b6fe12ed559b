# SPDX-License-Identifier: MIT
"""Node.js: its http module."""
import os

from protocol import Http
from .server import HERE, PORT, Server


class Nodejs(Server):
    name = package = "nodejs"
    program = "node"
    protocol = Http()
    unknown = ("pooled", "reused", "checked")

    def command(self, directory, timeout_s):
        return [self.program, os.path.join(HERE, "server.js"), str(PORT), str(timeout_s * 1000)]
