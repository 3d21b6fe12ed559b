# SPDX-License-Identifier: MIT
"""`doze node` as a target: a pod that is throttled when it sleeps, and one that is frozen."""
import netns
import pods
from clients import Place
from faults_resources import clock_environment
from node import BRIDGE_ADDRESS, CLIENT_ADDRESS, Node, expect_full_cgroups
from pod_dozes import PORTS, App, PodDozes, start_answerer

KINDS = {"thin": {"asleep": "throttle"}, "ice": {"asleep": "freeze"}}


class NodeTarget(PodDozes):
    name = "node"

    def __init__(self):
        super().__init__(Node())
        for name, annotations in KINDS.items():
            manifest = pods.with_ports(pods.burstable(name), *PORTS)
            pod = self.host.add_pod(name, annotations, manifest, starts=False)
            app = App(name, lambda app, pod=pod: pod.restart(
                lambda: self.start_app(app, pod), ready_ms=200))
            self.start_app(app, pod)
            self.apps.append(app)
            self.places.append(Place(
                name, pod.address, pod.netns, CLIENT_ADDRESS, self.host.client,
                (self.host.namespace, f"veth{pod.number}")))

    @staticmethod
    def start_app(app, pod):
        app.child = start_answerer(pod.netns, pod.procs())
        return app.child.pid

    def wait_asleep(self):
        for pod in self.host.pods:
            pod.wait_asleep()

    def namespaces(self):
        return [pod.netns for pod in self.host.pods] + [self.host.namespace]

    def settle(self):
        """Takes the pods from doze, as a user does; what is wrong then."""
        for pod in self.host.pods:
            pod.annotate(enabled=None)
        for pod in self.host.pods:
            pod.until_full()
            expect_full_cgroups(pod)
        return self.stop()

    def state_directory(self):
        return self.host.state_directory

    @staticmethod
    def restore_routes(place):
        netns.ip("-n", place.target_namespace, "route", "replace", "default", "via", BRIDGE_ADDRESS)

    def launch(self):
        self.host.launch_doze(**clock_environment(self.clock_path))
