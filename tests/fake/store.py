# SPDX-License-Identifier: MIT
"""The objects, their versions, and the history that watches read.

An object is replaced, never changed in place: whoever holds one holds a snapshot.
"""
import threading

import objects


class Change:
    """One write: what a watch sees of it depends on whether it selects before and after."""

    def __init__(self, version, resource, before, after):
        self.version, self.resource, self.before, self.after = version, resource, before, after

    def seen_by(self, selects):
        """(event type, object) or None."""
        was = self.before is not None and selects(self.before)
        is_now = self.after is not None and selects(self.after)
        if is_now:
            return ("MODIFIED" if was else "ADDED"), self.after
        if was:
            return "DELETED", _at_version(self.before, self.version)
        return None


def _at_version(document, version):
    return {**document, "metadata": {**document["metadata"], "resourceVersion": str(version)}}


class Store:
    def __init__(self, first_version=1000):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = first_version
        self.compacted = first_version - 1  # a watch from before this one is answered 410
        self.history = []
        self._objects = {}

    def get(self, resource, namespace, name):
        with self.lock:
            return self._objects.get((resource, namespace, name))

    def list(self, resource, namespace=None):
        """Of one namespace, or of all, by namespace and name."""
        with self.lock:
            found = [(key, value) for key, value in self._objects.items()
                     if key[0] == resource and namespace in (None, key[1])]
        found.sort(key=lambda pair: (pair[0][1] or "", pair[0][2]))
        return [value for _, value in found]

    def put(self, resource, document):
        """Stores a copy under the next version, and returns it."""
        with self.lock:
            self.version += 1
            document = _at_version(document, self.version)
            key = self._key(resource, document)
            before = self._objects.get(key)
            self._objects[key] = document
            self._remember(Change(self.version, resource, before, document))
            return document

    def remove(self, resource, namespace, name):
        with self.lock:
            before = self._objects.pop((resource, namespace, name))
            self.version += 1
            self._remember(Change(self.version, resource, before, None))

    def skip_versions(self, count):
        """As if others had written: what makes every version seen so far an old one."""
        with self.lock:
            self.version += count
            self.changed.notify_all()

    def compact(self):
        """Forgets the history: a watch from any version up to now is answered 410."""
        with self.lock:
            self.version += 1
            self.compacted = self.version
            self.history.clear()
            self.changed.notify_all()

    def _key(self, resource, document):
        metadata = document["metadata"]
        return resource, metadata.get("namespace"), metadata["name"]

    def _remember(self, change):
        self.history.append(change)
        self.changed.notify_all()


FIELDS = {
    "pods": ("metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy",
             "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase",
             "status.podIP", "status.nominatedNodeName"),
    "nodes": ("metadata.name", "spec.unschedulable"),
    "events": ("metadata.name", "metadata.namespace", "involvedObject.kind",
               "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "reason",
               "type"),
}


def selector(resource, field_selector="", label_selector="", namespace=None):
    """A function that says whether an object is selected; ApiError 400 for what is unsupported."""
    fields = [_requirement(part) for part in (field_selector or "").split(",") if part]
    labels = [_requirement(part) for part in (label_selector or "").split(",") if part]
    for name, _, _ in fields:
        if name not in FIELDS.get(resource, ()):
            raise objects.bad_request(f'Unable to find "/v1, Resource={resource}" that match label '
                                      f'selector "{label_selector}", field selector '
                                      f'"{field_selector}": field label not supported: {name}')

    def selects(document):
        metadata = document["metadata"]
        return (namespace in (None, metadata.get("namespace"))
                and all((_field(document, n) == v) == equal for n, equal, v in fields)
                and all(((metadata.get("labels") or {}).get(n) == v) == equal
                        for n, equal, v in labels))
    return selects


def _requirement(part):
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        if sign in part:
            name, value = part.split(sign, 1)
            return name.strip(), equal, value.strip()
    raise objects.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")


def _field(document, path):
    for part in path.split("."):
        document = (document or {}).get(part)
    if isinstance(document, bool):
        return str(document).lower()
    return document or ""
