# SPDX-License-Identifier: MIT
"""haproxy: a proxy for all."""
from protocol import Http
from .server import Server, configure


class Haproxy(Server):
    name = program = package = "haproxy"
    protocol = Http()
    has_upstream = True

    def command(self, directory, timeout_s):
        conf = configure(directory, "haproxy.cfg", timeout_s=timeout_s)
        return ["haproxy", "-db", "-f", conf]
