# SPDX-License-Identifier: MIT
"""What deploy/node applies, and what becomes of doze's rights when it is deleted.

A deleted object that has a finalizer is kept, with a deletionTimestamp, until the finalizer is gone.
The authorizer reads a cache: for LAG_S it does not know that a role is gone, nor does the
authenticator know it of an account.
"""
import threading
import time

import objects

NAMESPACE, ACCOUNT, DAEMONSET = "doze", "doze-node", "doze"
LAG_S = 0.005

# In the order in which kubectl delete -k deletes them: one after the other, without waiting.
OBJECTS = [("namespaces", None, NAMESPACE), ("serviceaccounts", NAMESPACE, ACCOUNT),
           ("clusterroles", None, ACCOUNT), ("clusterrolebindings", None, ACCOUNT),
           ("daemonsets", NAMESPACE, DAEMONSET)]


def remove_if_free(store, resource, namespace, name):
    """An object that is deleted, and has no finalizer any more."""
    found = store.get(resource, namespace, name)
    metadata = found["metadata"] if found else {}
    if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
        store.remove(resource, namespace, name)


class Installation:
    def __init__(self, store):
        self.store, self._lock = store, threading.Lock()
        self._gone_s = {}
        for resource, namespace, name in OBJECTS:
            metadata = {"name": name, "uid": objects.new_uid()}
            if namespace:
                metadata["namespace"] = namespace
            if resource == "namespaces":  # kept while there is something in it
                metadata["finalizers"] = ["kubernetes"]
            store.put(resource, {"metadata": metadata})

    def get(self, resource):
        key = next(key for key in OBJECTS if key[0] == resource)
        return self.store.get(*key)

    def finalizers(self):
        """Of the three rights."""
        return [(self.get(resource) or {"metadata": {}})["metadata"].get("finalizers")
                for resource, _, _ in OBJECTS[1:4]]

    def delete(self, *resources, force=False):
        """As kubectl delete does; nothing named: all. force: finalizers do not count."""
        for key in OBJECTS:
            if resources and key[0] not in resources:
                continue
            with self.store.lock:
                found = self.store.get(*key)
                if not found:
                    continue
                metadata = {**found["metadata"], "deletionTimestamp": objects.now_text()}
                if force:
                    metadata.pop("finalizers", None)
                self.store.put(key[0], {**found, "metadata": metadata})
                remove_if_free(self.store, *key)

    def _is_there(self, resource):
        with self._lock:
            if self.get(resource):
                return True
            gone_s = self._gone_s.setdefault(resource, time.monotonic())
        return time.monotonic() - gone_s < LAG_S

    def has_account(self):
        return self._is_there("serviceaccounts")

    def has_rights(self):
        return self._is_there("clusterroles") and self._is_there("clusterrolebindings")
