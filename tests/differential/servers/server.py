# SPDX-License-Identifier: MIT
"""What all servers have in common."""
import os
import shutil

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 8080
# Of what a proxy asks (wsgi_app.py); it is beside the clients, and no doze watches it.
UPSTREAM_PORTS = ("9000", "9001")


class Server:
    name = ""
    program = ""     # without it the server is skipped
    package = ""     # of Debian, which brings it
    protocol = None
    unknown = ()     # messages of the protocol that this server does not answer
    has_upstream = False
    tls = None       # an ssl.SSLContext, if clients speak TLS

    def messages(self):
        return {name: data for name, data in self.protocol.messages.items()
                if name not in self.unknown}

    def why_not_here(self):
        if not shutil.which(self.program):
            return f"'{self.program}' is not here: apt-get install {self.package}"
        return None

    def prepare(self):
        """Once, before any is started."""

    def command(self, directory, timeout_s):
        """What to start, in the foreground, so that it listens on PORT in both families,
        asks 192.0.2.1 at UPSTREAM_PORTS if it has an upstream, and closes connections of clients that
        say nothing for timeout_s. The directory is its own.
        """
        raise NotImplementedError


def configure(directory, name, **values):
    """The server's configuration: a file beside this one, in which @NAME@ is a value."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        text = file.read()
    for key, value in {"directory": directory, **values}.items():
        text = text.replace(f"@{key.upper()}@", str(value))
    return write(directory, name, text)


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
