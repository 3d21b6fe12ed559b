# SPDX-License-Identifier: MIT
"""A container as a manifest of deploy/ describes it, by runc: what a kubelet and containerd make of
it, without them. Its image is what deploy/Containerfile puts into one: doze, and what ldd names.

    with Container(directory, manifest_pod, "doze", options) as container:
        container.process ... container.execute("/doze", "status")
"""
import json
import os
import re
import shutil
import subprocess

DEFAULT_MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs",
     "options": ["nosuid", "noexec", "nodev", "ro"]},
]
# Of containerd, oci/spec.go.
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
          "/proc/scsi"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PERIOD_US = 100000


def millicpu(quantity):
    return int(quantity[:-1]) if quantity.endswith("m") else 1000 * int(quantity)


def reason_to_skip():
    if not shutil.which("runc"):
        return "no runc: install it"
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return None if os.access("/sys/fs/cgroup/cgroup.subtree_control", os.W_OK) else \
            "the cgroups cannot be written to"
    return None if os.access("/sys/fs/cgroup/cpu", os.W_OK) else "no cgroup of v1's cpu"


def make_image(directory, doze):
    """As deploy/Containerfile does."""
    os.makedirs(directory)
    shutil.copy(doze, os.path.join(directory, "doze"))
    for library in sorted(set(re.findall(r"/\S+", subprocess.run(
            ["ldd", doze], check=True, capture_output=True, text=True).stdout))):
        to = os.path.join(directory, library.lstrip("/"))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(os.path.realpath(library), to)


class Container:
    """pod: the spec of a pod, of which this is the container named doze. sources: where on this
    machine each of its volumes is. environment: the values that a kubelet would fill in, or others
    than the manifest's. flags: behind those of the manifest."""

    def __init__(self, directory, pod, *, sources, environment, netns, doze, more_mounts=(),
                 flags=()):
        self.directory, self.pod, self.netns, self.flags = directory, pod, netns, flags
        self.name = os.path.basename(directory)
        self.doze = next(c for c in pod.get("initContainers", []) + pod["containers"]
                         if c["name"] == "doze")
        self.sources, self.more_mounts = sources, more_mounts
        self.environment = environment
        make_image(os.path.join(directory, "rootfs"), doze)
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
            json.dump(self.spec(), file)

    def command(self):
        return ["runc", "run", "--bundle", self.directory, self.name]

    def execute(self, *arguments):
        return subprocess.run(["runc", "exec", self.name, *arguments], check=False, timeout=60,
                              capture_output=True, text=True)

    def pid(self):
        """Of its first process."""
        return json.loads(subprocess.run(["runc", "state", self.name], check=True,
                                         capture_output=True).stdout)["pid"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["runc", "delete", "--force", self.name], check=False,
                       capture_output=True)

    def spec(self):
        context = self.doze["securityContext"]
        capabilities = [f"CAP_{name}" for name in context["capabilities"]["add"]]
        return {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"]},
            "process": {
                "args": ["/doze", *self.doze["args"], *self.flags], "cwd": "/", "env": self._env(),
                "user": {"uid": context["runAsUser"], "gid": 0},
                "noNewPrivileges": not context["allowPrivilegeEscalation"],
                # No ambient ones: Kubernetes sets none.
                "capabilities": {kind: capabilities
                                 for kind in ("bounding", "effective", "permitted")},
            },
            "mounts": DEFAULT_MOUNTS + self._mounts(),
            "linux": {
                "namespaces": self._namespaces(),
                "cgroupsPath": f"/{self.name}",
                "resources": self._resources(),
                "maskedPaths": MASKED, "readonlyPaths": READONLY,
            },
        }

    def _resources(self):
        limits = self.doze["resources"]["limits"]
        return {"cpu": {"quota": PERIOD_US * millicpu(limits["cpu"]) // 1000,
                        "period": PERIOD_US},
                "memory": {"limit": int(limits["memory"].removesuffix("Mi")) << 20}}

    def _namespaces(self):
        kinds = ["mount", "uts", "ipc", "cgroup"] + ([] if self.pod.get("hostPID") else ["pid"])
        return [{"type": kind} for kind in kinds] + \
            [{"type": "network", "path": f"/run/netns/{self.netns}"}]

    def _env(self):
        values = {e["name"]: e["value"] for e in self.doze["env"] if "value" in e}
        values.update(self.environment)
        return [f"{name}={value}" for name, value in values.items()]

    def _mounts(self):
        named = [(os.path.join(self.sources[m["name"]], m.get("subPath", "")), m["mountPath"],
                  m.get("readOnly", False))
                 for m in self.doze["volumeMounts"]]
        return [{"destination": to, "type": "bind", "source": source,
                 "options": ["rbind", "rprivate", "ro" if is_readonly else "rw"]}
                for source, to, is_readonly in [*named, *self.more_mounts]]
