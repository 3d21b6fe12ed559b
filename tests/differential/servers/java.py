# SPDX-License-Identifier: MIT
"""A JVM, with the HTTP server that it brings."""
import os
import subprocess
import tempfile

from protocol import Http
from .server import HERE, PORT, Server


class Java(Server):
    name = program = "java"
    package = "default-jre-headless"
    protocol = Http()
    unknown = ("pooled", "reused", "checked")

    def __init__(self):
        self.classes = None

    def prepare(self):
        # Debian's JRE has the compiler as a module, but no javac.
        self.classes = tempfile.TemporaryDirectory(prefix="doze-test-")
        subprocess.run([self.program, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d",
                        self.classes.name, os.path.join(HERE, "Server.java")], check=True)

    def command(self, directory, timeout_s):
        # clockTick until Java 17, idleTimerScheduleMillis since: how often it looks for them.
        properties = {"idleInterval": timeout_s, "maxReqTime": timeout_s, "clockTick": 200,
                      "idleTimerScheduleMillis": 200, "nodelay": "true"}
        return [self.program, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                *(f"-Dsun.net.httpserver.{name}={value}" for name, value in properties.items()),
                "-cp", self.classes.name, "Server", str(PORT)]
