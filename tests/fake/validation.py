# SPDX-License-Identifier: MIT
"""What a resize may be: the rules of the API server, in its words and in its order.

resized() keeps of a patched pod only what /resize may change; check() says what is wrong with it.
"""
import difflib

import objects
import quantity
from objects import forbidden_field, invalid_value, required_field

LISTS = ("containers", "initContainers")
ONLY_THESE = ("pod updates may not change fields other than `spec.containers[*].image`,"
              "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
              "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
              "(allow it to be set to 1 if it was previously negative)")


def canonicalise(pod, patch, patch_is_whole):
    """Rewrites every quantity the way Kubernetes stores it, and defaults requests from limits.

    patch is quoted when a quantity cannot be read; patch_is_whole: it is the patched object."""
    for _, _, container in containers_of(pod):
        try:
            _canonicalise_one(container)
        except quantity.BadQuantity as error:
            shown = objects.compact(patch) if patch_is_whole else objects.go_map(patch)
            cause = invalid_value("patch", shown, str(error))
            raise objects.invalid("", "", [cause]) from None


def _canonicalise_one(container):
    resources = objects.resources_of(container)
    for amounts in resources.values():
        for name, text in amounts.items():
            amounts[name] = quantity.canonical(text)
            if name == "cpu":  # finer than 1m is rounded up to it
                amounts[name] = quantity.from_milli(quantity.milli(text))
    for name, limit in resources["limits"].items():
        resources["requests"].setdefault(name, limit)
    if container.get("resources"):
        others = {k: v for k, v in container["resources"].items() if k not in resources}
        container["resources"] = {**objects.without_empty(resources), **others}


def containers_of(pod):
    """(list name, index, container) for each container and init container."""
    for where in LISTS:
        for index, container in enumerate(pod["spec"].get(where) or []):
            yield where, index, container


def resized(old, patched):
    """old, with the containers' resources and resizePolicy of patched: nothing else survives."""
    new = objects.copy_of(old)
    for where in LISTS:
        wanted = patched["spec"].get(where)
        if wanted is None:
            continue
        new["spec"][where] = [_resized_container(old, where, container) for container in wanted]
    return new


def _resized_container(old, where, wanted):
    known = objects.find(old["spec"].get(where), wanted.get("name"))
    if known is None:
        return objects.copy_of(wanted)
    container = objects.copy_of(known)
    for field in ("resources", "resizePolicy"):
        if field in wanted:
            container[field] = objects.copy_of(wanted[field])
        elif field == "resources":
            container[field] = {}
        else:
            container.pop(field, None)
    return container


def check(old, new, minor):
    """The causes of a 422, in the server's order; empty if the resize is valid."""
    alone = _unresizable(old)
    if alone:
        return [alone]
    causes = _check_as_new(new)
    before = objects.qos_class(old)
    if objects.qos_class(new) != before:
        causes.append(invalid_value("spec", before,
                                    "Pod QOS Class may not change as a result of resizing"))
    if not is_supported(old):
        causes.append(forbidden_field("spec", "Pod running on node without support for resize"))
    moved = _check_order(old, new)
    if moved:
        return causes + moved
    causes += _check_removed(old, new, minor)
    causes += _check_others(old, new)
    return causes


def _unresizable(pod):
    annotations = pod["metadata"].get("annotations") or {}
    if annotations.get("kubernetes.io/config.source", "api") != "api" or \
            "kubernetes.io/config.mirror" in annotations:
        return forbidden_field("[]", "static pods cannot be resized")
    if (pod["spec"].get("os") or {}).get("name") == "windows":
        return forbidden_field("[]", "windows pods cannot be resized")
    return None


def is_supported(pod):
    """False where a running container's status lacks resources: an old kubelet's."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return all("resources" in s for s in statuses if "running" in s.get("state", {}))


def _check_as_new(pod):
    causes = []
    for where, index, container in containers_of(pod):
        field = f"spec.{where}[{index}]"
        if not container.get("image"):
            causes.append(required_field(field + ".image"))
        causes += _check_amounts(objects.resources_of(container), field + ".resources")
    return causes


def _check_amounts(resources, field):
    causes = []
    for kind in ("limits", "requests"):
        for name, text in sorted(resources[kind].items()):
            if quantity.value(text) < 0:
                causes.append(invalid_value(f"{field}.{kind}[{name}]", text,
                                            "must be greater than or equal to 0"))
    for name, text in sorted(resources["requests"].items()):
        limit = resources["limits"].get(name)
        if limit is not None and quantity.value(text) > quantity.value(limit):
            causes.append(invalid_value(field + ".requests", text,
                                        f"must be less than or equal to {name} limit of {limit}"))
    return causes


def _check_order(old, new):
    causes = []
    for where in LISTS:
        before = [c["name"] for c in old["spec"].get(where) or []]
        after = [c.get("name") for c in new["spec"].get(where) or []]
        if len(before) != len(after):
            causes.append(forbidden_field("spec." + where,
                                          "containers may not be added or removed on resize"))
            continue
        causes += [forbidden_field(f"spec.{where}[{i}].name",
                                   "containers may not be renamed or reordered on resize")
                   for i, pair in enumerate(zip(before, after)) if pair[0] != pair[1]]
    return causes


def _pairs(old, new):
    for where, index, before in containers_of(old):
        yield where, index, before, new["spec"][where][index]


def _check_removed(old, new, minor):
    causes = []
    for where, index, before, after in _pairs(old, new):
        field = f"spec.{where}[{index}].resources"
        had, has = objects.resources_of(before), objects.resources_of(after)
        if minor == 33 and _memory_limit_shrinks(had, has) and not _restarts_for_memory(after):
            causes.append(forbidden_field(field + ".limits[memory]", "memory limits cannot be "
                                          "decreased unless resizePolicy is RestartContainer"))
        for kind in ("requests", "limits"):
            if set(had[kind]) - set(has[kind]):
                causes.append(forbidden_field(f"{field}.{kind}",
                                              f"resource {kind} cannot be removed"))
    return causes


def _memory_limit_shrinks(had, has):
    before, after = had["limits"].get("memory"), has["limits"].get("memory")
    return before is not None and after is not None and \
        quantity.value(after) < quantity.value(before)


def _restarts_for_memory(container):
    return any(policy.get("resourceName") == "memory" and
               policy.get("restartPolicy") == "RestartContainer"
               for policy in container.get("resizePolicy") or [])


def _check_others(old, new):
    """Only cpu and memory may change, and only of containers and native sidecars."""
    causes, reported = [], False
    for where, index, before, after in _pairs(old, new):
        if _rest(before) == _rest(after):
            continue
        if where == "initContainers":
            causes.append(forbidden_field(f"spec.{where}[{index}]", "only cpu and memory resources "
                                          "for init or sidecar containers are mutable"))
        elif not reported:
            reported = True
            causes.append(forbidden_field("spec", "only cpu and memory resources are mutable"))
    return causes


def _rest(container):
    resources = objects.resources_of(container)
    claims = (container.get("resources") or {}).get("claims")
    others = {kind: {n: q for n, q in resources[kind].items() if n not in ("cpu", "memory")}
              for kind in resources}
    return others, claims, container.get("resizePolicy")


# The pod itself, not /resize

def check_pod_update(old, new):
    """Since 1.33, and before it without the feature gate, a pod's resources do not change by a
    PATCH of the pod. The answer quotes a diff of the two specs, as Go's %#v prints them."""
    before, after = old["spec"], new["spec"]
    if before == after or _only_images_differ(before, after):
        return []
    return [forbidden_field("spec", ONLY_THESE + "\n" + _diff(before, after))]


def _only_images_differ(before, after):
    def bare(spec):
        spec = objects.copy_of(spec)
        for where in LISTS:
            for container in spec.get(where) or []:
                container.pop("image", None)
        for field in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"):
            spec.pop(field, None)
        return spec
    return bare(before) == bare(after)


def _go_list(title, resources):
    rows = [f'     "{name}": "{resources[name]}"' for name in sorted(resources)]
    return [f'    "{title}": {{', *(",\n".join(rows)).split("\n"), "    },"]


def _go_lines(spec):
    lines = []
    for container in spec.get("containers") or []:
        resources = objects.resources_of(container)
        lines += ['   "Env": null,', '   "Resources": {',
                  *_go_list("Limits", resources["limits"]),
                  *_go_list("Requests", resources["requests"]), '    "Claims": null']
    return lines


def _diff(before, after):
    """The place of the lines in the whole object is not ours to know: it says the recorded one."""
    rows = list(difflib.unified_diff(_go_lines(before), _go_lines(after), n=3, lineterm=""))[3:]
    lines = [row for row in rows if not row.startswith("@@")]
    return f"@@ -129,{len(lines) - 2} +129,{len(lines) - 2} @@\n" + \
        "".join(line + "\n" for line in lines)
