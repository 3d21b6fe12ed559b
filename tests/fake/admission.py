# SPDX-License-Identifier: MIT
"""What the cluster may refuse although the resize is valid: 403, and one 422.

Each is off until it is set:
    quota        {"name": "compute", "hard": {"limits.cpu": "4"}}
    limit_range  {"min": {"cpu": "50m"}, "max": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "10"}},
                 per container
    own_pod_only a ValidatingAdmissionPolicy that lets an account resize only its own pod
The node's capacity is always checked, from 1.36 on, as PodResizeValidator does.
"""
import objects
import quantity

POLICY = "doze-own-pod"


class Admission:
    def __init__(self, minor):
        self.minor = minor
        self.quota = None
        self.limit_range = None
        self.own_pod_only = False

    def check(self, old, new, account, store):
        """Raises the refusal. Called with the store locked."""
        name = new["metadata"]["name"]
        if self.own_pod_only and account.pod_name != name:
            raise _policy_denied(name)
        if objects.resources_by_name(old) == objects.resources_by_name(new):
            return
        if self.limit_range:
            self._check_limit_range(new)
        if self.quota:
            self._check_quota(old, new, store)
        node = store.get("nodes", None, new["spec"].get("nodeName"))
        if self.minor >= 36 and node:
            _check_node(new, node)

    def _check_limit_range(self, pod):
        broken = []
        for resources in objects.resources_by_name(pod).values():
            broken += _below(resources, self.limit_range.get("min") or {})
            broken += _above(resources, self.limit_range.get("max") or {})
            broken += _too_far(resources, self.limit_range.get("maxLimitRequestRatio") or {})
        if broken:
            why = broken[0] if len(broken) == 1 else "[" + ", ".join(broken) + "]"
            raise objects.forbidden("pods", pod["metadata"]["name"], why)

    def _check_quota(self, old, new, store):
        pods = [p for p in store.list("pods", new["metadata"]["namespace"])]
        for what, hard in self.quota["hard"].items():
            kind, name = what.split(".", 1)
            used = sum(_amount(pod, kind, name) for pod in pods)
            more = _amount(new, kind, name) - _amount(old, kind, name)
            if more > 0 and used + more > quantity.value(hard):
                raise objects.forbidden("pods", new["metadata"]["name"], _exceeded(
                    self.quota["name"], what, more, used, hard))


def _amount(pod, kind, name):
    return sum(quantity.value(r[kind].get(name, "0"))
               for r in objects.resources_by_name(pod).values())


def _exceeded(quota, what, more, used, hard):
    def text(amount):
        return quantity.from_milli(int(amount * 1000))
    return (f"exceeded quota: {quota}, requested: {what}={text(more)}, "
            f"used: {what}={text(used)}, limited: {what}={quantity.canonical(hard)}")


def _below(resources, lowest):
    for name, least in lowest.items():
        if name not in resources["requests"]:
            yield f"minimum {name} usage per Container is {least}.  No request is specified"
        for kind in ("requests", "limits"):
            text = resources[kind].get(name)
            if text is not None and quantity.value(text) < quantity.value(least):
                yield f"minimum {name} usage per Container is {least}, but {kind[:-1]} is {text}"


def _above(resources, highest):
    for name, most in highest.items():
        if name not in resources["limits"]:
            yield f"maximum {name} usage per Container is {most}.  No limit is specified"
        for kind in ("limits", "requests"):
            text = resources[kind].get(name)
            if text is not None and quantity.value(text) > quantity.value(most):
                yield f"maximum {name} usage per Container is {most}, but {kind[:-1]} is {text}"


def _too_far(resources, ratios):
    for name, most in ratios.items():
        request = quantity.value(resources["requests"].get(name, "0"))
        limit = quantity.value(resources["limits"].get(name, "0"))
        if not request or not limit:
            yield f"{name} max limit to request ratio per Container is {most}, but no request is " \
                  "specified or request is 0"
        elif limit / request > quantity.value(most):
            yield f"{name} max limit to request ratio per Container is {most}, but provided " \
                  f"ratio is {float(limit / request):f}"


def _check_node(pod, node):
    by_name = objects.resources_by_name(pod)
    for name, count in (("cpu", quantity.milli), ("memory", quantity.whole)):
        wanted = objects.total(by_name, "requests", name)
        there = node["status"]["allocatable"].get(name)
        if wanted and there and count(wanted) > count(there):
            raise objects.forbidden(
                "pods", pod["metadata"]["name"], "node didn't have enough allocatable resources: "
                f"{name}, requested: {count(wanted)}, allocatable: {count(there)}",
                [{"reason": "NodeCapacity"}])


def _policy_denied(name):
    why = (f"ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request: "
           "a sidecar may resize only its own pod")
    return objects.failure(422, "Invalid", f'pods "{name}" is forbidden: {why}',
                           {"name": name, "kind": "pods", "causes": [{"message": why}]})
