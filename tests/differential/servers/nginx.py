# SPDX-License-Identifier: MIT
"""nginx: files, an answer that it drips by a timer of its own, and a proxy."""
import os

from protocol import BIG_LENGTH, Http
from .server import Server, configure, write


class Nginx(Server):
    name = program = package = "nginx"
    protocol = Http()
    has_upstream = True

    def command(self, directory, timeout_s):
        www = os.path.join(directory, "www")
        os.mkdir(www)
        write(www, "small", "small\n")
        write(www, "big", "b" * BIG_LENGTH)
        # By nginx.conf it sends 1 kB each second.
        write(www, "drip", "".join(f"tick-{n}\n".ljust(1024) for n in range(1, 5)))
        write(www, "push", "".join(f"tick-{n}\n".ljust(1024) for n in range(1, 11)))
        conf = configure(directory, "nginx.conf", timeout_s=timeout_s)
        return ["nginx", "-c", conf]
