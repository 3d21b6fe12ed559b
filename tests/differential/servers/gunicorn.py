# SPDX-License-Identifier: MIT
"""gunicorn: Python, with the worker class that keeps connections."""
from protocol import Http
from .server import HERE, PORT, Server


class Gunicorn(Server):
    name = program = package = "gunicorn"
    protocol = Http()
    unknown = ("pooled", "reused", "checked")

    def command(self, directory, timeout_s):
        return [self.program, "--worker-class=gthread", "--threads=16",
                f"--keep-alive={timeout_s}", f"--bind=[::]:{PORT}", f"--chdir={HERE}",
                "--log-level=warning", "wsgi_app:application"]
