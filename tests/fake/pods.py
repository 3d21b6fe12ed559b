# SPDX-License-Identifier: MIT
"""Sample pods, made from the real objects in the recordings.

    burstable("web")                     requests 250m/64Mi, limits 1/128Mi
    guaranteed("web")                    500m/64Mi
    requests_only("web")                 a request of 100m CPU, no limit at all
    best_effort("web")                   nothing
    with_sidecar(burstable("web"))       and a native sidecar named doze, as deploy/ has it
    with_container(pod, "log", {...})    a second container
    with_probe(pod, {"httpGet": {...}})  another readinessProbe of a container; None for none
"""
import secrets

import objects
import recordings

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SIDECAR_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}}
SIDECAR_GUARANTEED = {"requests": {"cpu": "10m", "memory": "32Mi"},
                      "limits": {"cpu": "10m", "memory": "32Mi"}}

PROBES = {
    "http": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}},
    "http-number": {"httpGet": {"path": "/ready?full=1", "port": 8080, "scheme": "HTTP"}},
    "http-headers": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP", "httpHeaders": [
        {"name": "Host", "value": "web.example"}, {"name": "X-Probe", "value": "1"}]}},
    "https": {"httpGet": {"path": "/", "port": 8443, "scheme": "HTTPS"}},
    "tcp": {"tcpSocket": {"port": "http"}},
    "grpc": {"grpc": {"port": 8080, "service": ""}},
    "exec": {"exec": {"command": ["true"]}},
    "no-such-port": {"httpGet": {"path": "/", "port": "missing", "scheme": "HTTP"}},
}
PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 2, "successThreshold": 1,
                  "failureThreshold": 3}


def recorded_in_list(name):
    items = recordings.body("list-node")["items"]
    item = next(i for i in items if i["metadata"]["name"] == name)
    return {"kind": "Pod", "apiVersion": "v1", **objects.copy_of(item)}


def burstable(name="web", resources=None, **options):
    return _renamed(recordings.body("pod-get-awake-burstable"), name, resources, **options)


def guaranteed(name="web", resources=None, **options):
    return _renamed(recordings.body("pod-get-awake-guaranteed"), name, resources, **options)


def requests_only(name="web", **options):
    return _renamed(recordings.body("pod-get-awake-burstable"), name, {"requests": {"cpu": "100m"}},
                    **options)


def best_effort(name="web", **options):
    return _renamed(recordings.body("pod-get-no-resources"), name, None, **options)


def asleep(pod, request="1m", limit="10m"):
    """The same pod, at the asleep size: what is found after a crash."""
    pod = objects.copy_of(pod)
    for container in pod["spec"]["containers"]:
        container["resources"]["requests"]["cpu"] = request
        container["resources"]["limits"]["cpu"] = limit
    return _with_status_of_spec(pod)


def _renamed(pod, name, resources, namespace="default", node="node1", pod_ip=None, uid=None):
    metadata = pod["metadata"]
    metadata.update(name=name, namespace=namespace, uid=uid or objects.new_uid(),
                    labels={"app": name})
    metadata.pop("annotations", None)
    pod["spec"]["nodeName"] = node
    if pod_ip:
        pod["status"].update(podIP=pod_ip, podIPs=[{"ip": pod_ip}])
    if resources is not None:
        pod["spec"]["containers"][0]["resources"] = objects.copy_of(resources)
    return _with_status_of_spec(pod)


def _with_status_of_spec(pod):
    for container in objects.long_running(pod):
        status = objects.find(_statuses(pod["status"]), container["name"])
        resources = objects.resources_of(container)
        status["resources"] = objects.without_empty(resources)
        status.pop("allocatedResources", None)
        if resources["requests"]:
            status["allocatedResources"] = dict(resources["requests"])
    pod["status"]["qosClass"] = objects.qos_class(pod)
    return pod


def _statuses(status):
    return (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or [])


def with_container(pod, name, resources, ports=()):
    pod = objects.copy_of(pod)
    container = _container_like(pod, name, resources)
    container["ports"] = [dict(port) for port in ports]
    container.pop("readinessProbe", None)
    pod["spec"]["containers"].append(container)
    pod["status"]["containerStatuses"].append(_status_like(pod, name))
    return _with_status_of_spec(pod)


def with_sidecar(pod, name="doze", image="doze:test", resources=None):
    """A native sidecar: an init container with restartPolicy Always. Its resources fit the pod's
    class, so that a Guaranteed pod stays one."""
    pod = objects.copy_of(pod)
    is_guaranteed = objects.qos_class(pod) == "Guaranteed"
    fitting = SIDECAR_GUARANTEED if is_guaranteed else SIDECAR_RESOURCES
    container = _container_like(pod, name, resources or fitting)
    for field in ("ports", "readinessProbe", "args"):
        container.pop(field, None)
    container.update(image=image, args=["sidecar"], restartPolicy=objects.RESTARTABLE)
    pod["spec"].setdefault("initContainers", []).append(container)
    status = _status_like(pod, name)
    status["image"] = image
    pod["status"].setdefault("initContainerStatuses", []).append(status)
    return _with_status_of_spec(pod)


def with_probe(pod, probe, container="app", kind="readinessProbe"):
    """probe: a key of PROBES, a probe of one's own, or None for none."""
    pod = objects.copy_of(pod)
    spec = objects.find(pod["spec"]["containers"], container)
    spec.pop(kind, None)
    if probe is not None:
        wanted = PROBES[probe] if isinstance(probe, str) else probe
        spec[kind] = {**objects.copy_of(wanted), **{k: v for k, v in PROBE_DEFAULTS.items()
                                                    if k not in wanted}}
    return pod


def with_ports(pod, *ports, container="app"):
    """ports: (name or None, number, "TCP" or "UDP")."""
    pod = objects.copy_of(pod)
    objects.find(pod["spec"]["containers"], container)["ports"] = [
        {**({"name": name} if name else {}), "containerPort": number, "protocol": protocol}
        for name, number, protocol in ports]
    return pod


def _container_like(pod, name, resources):
    container = objects.copy_of(pod["spec"]["containers"][0])
    container.update(name=name, resources=objects.copy_of(resources))
    return container


def _status_like(pod, name):
    status = objects.copy_of(pod["status"]["containerStatuses"][0])
    status.update(name=name, containerID="containerd://" + secrets.token_hex(32))
    return status


def complete(pod, minor=36):
    """Fills in what the API server and the kubelet would add to a manifest, by version."""
    model = recordings.body("pod-get-awake-burstable")
    metadata = {"namespace": "default", "uid": objects.new_uid(), "generation": 1,
                "creationTimestamp": objects.now_text(), **pod["metadata"]}
    pod = {"kind": "Pod", "apiVersion": "v1", **pod, "metadata": metadata}
    pod["spec"] = {"nodeName": "node1", "restartPolicy": "Always",
                   "terminationGracePeriodSeconds": 30, "serviceAccountName": "default",
                   **pod["spec"]}
    if not pod.get("status"):
        pod["status"] = _status_for(pod, model)
        _with_status_of_spec(pod)
    if minor < 36:
        pod["status"] = {k: v for k, v in pod["status"].items()
                         if k not in ("resources", "allocatedResources")}
    if minor < 34:
        _without_generations(pod, minor)
    return pod


def _status_for(pod, model):
    status = {k: v for k, v in model["status"].items() if not k.endswith("ontainerStatuses")}
    for where, field in (("initContainers", "initContainerStatuses"),
                         ("containers", "containerStatuses")):
        wanted = pod["spec"].get(where) or []
        if wanted:
            status[field] = [_status_like(model, c["name"]) for c in wanted]
    for field in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(field) or []:
            one["image"] = objects.find((pod["spec"].get("initContainers") or [])
                                        + pod["spec"]["containers"], one["name"])["image"]
    return status


def _without_generations(pod, minor):
    pod["status"].pop("observedGeneration", None)
    for condition in pod["status"].get("conditions") or []:
        condition.pop("observedGeneration", None)
    if minor < 33:
        pod["metadata"].pop("generation", None)


def node(name="node1", cpu="2", memory="4Gi"):
    amounts = {"cpu": cpu, "memory": memory, "pods": "110"}
    moment = objects.now_text()
    return {
        "kind": "Node", "apiVersion": "v1",
        "metadata": {"name": name, "uid": objects.new_uid(), "creationTimestamp": moment,
                     "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
                                "kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {"capacity": dict(amounts), "allocatable": dict(amounts),
                   "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                                   "lastHeartbeatTime": moment, "lastTransitionTime": moment}],
                   "addresses": [{"type": "InternalIP", "address": "192.0.2.1"},
                                 {"type": "Hostname", "address": name}],
                   "nodeInfo": {"operatingSystem": "linux", "architecture": "amd64"}}}
