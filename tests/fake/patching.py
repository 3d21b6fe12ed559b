# SPDX-License-Identifier: MIT
"""The three ways to PATCH: strategic merge, JSON merge (RFC 7386) and JSON patch (RFC 6902)."""
import copy

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
TYPES = (JSON, MERGE, STRATEGIC)

# The lists of a Pod that strategic merge joins by key; every other list is replaced.
MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name",
    "volumes": "name", "env": "name", "ports": "containerPort", "volumeMounts": "mountPath",
    "conditions": "type", "ownerReferences": "uid", "podIPs": "ip", "hostIPs": "ip",
}

SETS = ("finalizers",)  # lists of strings that are joined
LEAVES_OUT = "$deleteFromPrimitiveList/"


class PatchRefused(ValueError):
    """The patch does not fit the object."""


def strategic(original, patch):
    if isinstance(patch, dict) and patch.get("$patch") == "replace":
        return {k: v for k, v in patch.items() if k != "$patch"}
    result = copy.deepcopy(original or {})
    for name, value in patch.items():
        if name.startswith(LEAVES_OUT):
            _leave_out(result, name[len(LEAVES_OUT):], value)
        if name.startswith("$"):
            continue
        if name in SETS and isinstance(value, list):
            result[name] = list(dict.fromkeys([*result.get(name, []), *value]))
        elif value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = strategic(result[name], value)
        elif isinstance(value, list) and name in MERGE_KEYS:
            order = patch.get("$setElementOrder/" + name)
            result[name] = _strategic_list(result.get(name) or [], value, MERGE_KEYS[name], order)
        elif isinstance(value, dict):
            result[name] = strategic({}, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def _leave_out(result, name, values):
    result[name] = [value for value in result.get(name, []) if value not in values]
    if not result[name]:
        del result[name]


def _strategic_list(original, patch, key, order):
    """Joined by key. The patch's order wins, as in Kubernetes: naming two containers in another
    order than the pod's reorders them, which /resize then refuses."""
    merged = {item.get(key): copy.deepcopy(item) for item in original}
    named = []
    for item in patch:
        if key not in item:
            raise PatchRefused(f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
            continue
        merged[item[key]] = strategic(merged.get(item[key], {}), item)
        named.append(item[key])
    if order is not None:
        named = [item[key] for item in order if item[key] in merged]
    return [merged[name] for name in _joined_order([i.get(key) for i in original], named, merged)]


def _joined_order(server, named, merged):
    """The server's other items go between the named ones where they stood before; an item new to
    the server comes before them."""
    others = [name for name in server if name not in named and name in merged]
    result = []
    for name in named:
        while others and name in server and server.index(others[0]) < server.index(name):
            result.append(others.pop(0))
        result.append(name)
    return result + others


def merge(original, patch):
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(original) if isinstance(original, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def json_patch(original, operations):
    document = copy.deepcopy(original)
    if not isinstance(operations, list):
        raise PatchRefused("a JSON patch is a list")
    for operation in operations:
        _apply(document, operation)
    return document


def _pointer(path):
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _step(node, part):
    if isinstance(node, list):
        return node[int(part)]
    return node[part]


def _apply(document, operation):
    try:
        *parents, last = _pointer(operation["path"])
        node = document
        for part in parents:
            node = _step(node, part)
        _ACTIONS[operation["op"]](document, node, last, operation)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PatchRefused(str(error)) from error


def _set(_document, node, last, operation):
    value = copy.deepcopy(operation["value"])
    if isinstance(node, list):
        if operation["op"] == "add":
            node.insert(len(node) if last == "-" else int(last), value)
        else:
            node[int(last)] = value
    else:
        if operation["op"] == "replace" and last not in node:
            raise KeyError(last)
        node[last] = value


def _remove(_document, node, last, _operation):
    del node[int(last) if isinstance(node, list) else last]


def _test(_document, node, last, operation):
    if _step(node, last) != operation["value"]:
        raise ValueError("test failed")


def _copy(document, node, last, operation):
    source = document
    for part in _pointer(operation["from"]):
        source = _step(source, part)
    _set(document, node, last, {"op": "add", "value": source})


def _move(document, node, last, operation):
    _copy(document, node, last, operation)
    _apply(document, {"op": "remove", "path": operation["from"]})


_ACTIONS = {"add": _set, "replace": _set, "remove": _remove, "test": _test, "copy": _copy,
            "move": _move}
