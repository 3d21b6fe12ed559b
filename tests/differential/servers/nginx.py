# SPDX-License-Identifier: MIT
"""nginx: files, an answer that it drips by a timer of its own, and a proxy; and the same with TLS."""
import os
import ssl
import subprocess
import tempfile

from protocol import BIG_LENGTH, Http
from .server import Server, configure, write

DRIPPED = 1024  # bytes each second, by nginx.conf


def ticks(count):
    return "".join(f"tick-{number}\n".ljust(DRIPPED) for number in range(1, count + 1))


class Nginx(Server):
    name = program = package = "nginx"
    protocol = Http()
    unknown = ("reused", "checked",)
    has_upstream = True
    listen_flags = ""

    def command(self, directory, timeout_s):
        www = os.path.join(directory, "www")
        os.mkdir(www)
        write(www, "small", "small\n")
        write(www, "big", "b" * BIG_LENGTH)
        write(www, "drip", ticks(4))
        write(www, "push", ticks(10))
        conf = configure(directory, "nginx.conf", timeout_s=timeout_s,
                         listen_flags=self.listen_flags)
        return ["nginx", "-c", conf]


class NginxTls(Nginx):
    name = "nginx-tls"

    def __init__(self):
        self.keys = None
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def prepare(self):
        self.keys = tempfile.TemporaryDirectory(prefix="doze-test-")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=server",
                        "-keyout", f"{self.keys.name}/key", "-out", f"{self.keys.name}/certificate"],
                       check=True, stderr=subprocess.DEVNULL)

    @property
    def listen_flags(self):
        return (f"ssl; ssl_certificate {self.keys.name}/certificate; "
                f"ssl_certificate_key {self.keys.name}/key")
