# SPDX-License-Identifier: MIT
"""redis: its timers expire keys and close the connections of silent clients."""
import protocol
from .server import PORT, Server


class Redis(Server):
    name = "redis"
    program = package = "redis-server"
    protocol = protocol.Redis()

    def command(self, directory, timeout_s):
        return [self.program, "--port", str(PORT), "--bind", "*", "-::*", "--dir", directory,
                "--timeout", str(timeout_s), "--save", "", "--protected-mode", "no",
                "--notify-keyspace-events", "Ex"]
