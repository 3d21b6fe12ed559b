# SPDX-License-Identifier: MIT
"""`doze sidecar` as a target: one pod, in whose namespace doze is, and an API server."""
import os

import pods
from clients import Place
from faults_resources import clock_environment
from ledger import WAKE_TIMEOUT_S
from pod import CLIENT_ADDRESS, POD_ADDRESS, Pod, wait_until
from pod_dozes import PORTS, App, PodDozes, start_answerer

IDLE = "300ms"


class AnsweringPod(Pod):
    """Its application answers numbered requests."""

    def __init__(self):
        self.answerer = App(None, self.begin_answerer)
        super().__init__(pods.with_ports(pods.burstable("web"), *PORTS))

    def start_app(self):
        procs = os.path.join(self.cgroup_path, "cgroup.procs")
        self.answerer.child = start_answerer(self.net.server, [procs])

    def begin_answerer(self, _):
        self.start_app()
        self.server.restart_container("web", "app", ready_ms=200)


class SidecarTarget(PodDozes):
    name = "sidecar"

    def __init__(self):
        super().__init__(AnsweringPod())
        self.apps.append(self.host.answerer)
        net = self.host.net
        self.places.append(Place("web", POD_ADDRESS, net.server, CLIENT_ADDRESS, net.client,
                                 (net.client, "eth0")))

    def wait_asleep(self):
        self.host.wait_asleep()

    def namespaces(self):
        return [self.host.net.server]

    def settle(self):
        """Tells doze to end, as a kubelet does; what is wrong then."""
        wrong = self.stop()
        wait_until(lambda: self.host.is_full, f"the full size; it is {self.host.size()}")
        return wrong

    def state_directory(self):
        return self.host.directory

    def restore_routes(self, place):
        pass  # those of the addresses come back by themselves

    def launch(self):
        self.host.launch_doze(idle=IDLE, wake_timeout=f"{WAKE_TIMEOUT_S}s",
                              **clock_environment(self.clock_path))
