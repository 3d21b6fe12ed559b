# SPDX-License-Identifier: MIT
"""What each request means: routes, RBAC, the objects, PATCH. Knows nothing of sockets.

handle() returns (code, document), or a Watch; what is refused is raised as ApiError.
"""
import base64
import dataclasses
import json
import random
import string

import faults
import installation
import objects
import patching
import quantity
import recordings
import validation
from store import selector
from watch import Watch, parse_version

KINDS = {"pods": "Pod", "nodes": "Node", "events": "Event"}
EVENT_DEFAULTS = {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "type": "",
                  "eventTime": None, "reportingComponent": "", "reportingInstance": ""}
PARTIAL = "as=PartialObjectMetadata"


@dataclasses.dataclass
class Account:
    """Who asks. rules: the (verb, resource) pairs that are allowed, None for all."""
    user: str
    rules: set = None
    pod_name: str = None
    installation: object = None  # its rights are those of this one
    seen_s: float = float("-inf")  # when it was found the last time


class Api:
    """minor: Kubernetes 1.minor. in_place: the feature gate InPlacePodVerticalScaling."""

    def __init__(self, store, kubelet, admission, fault_list, minor, in_place=None):
        self.store, self.kubelet, self.admission = store, kubelet, admission
        self.faults, self.minor = fault_list, minor
        is_on = in_place if in_place is not None else minor != 32
        self.has_resize = is_on and minor >= 32
        self.pod_patch_resizes = is_on and 27 <= minor <= 31
        self.bookmark_s = 60
        self.watches = set()

    def handle(self, request, account):
        self._authorize(request, account)
        fixed = {"/version": self._version, "/api": self._versions, "/api/v1": self._discovery}
        if request.route in fixed and request.method == "GET":
            return 200, fixed[request.route]()
        if request.route in ("/healthz", "/livez", "/readyz"):
            return 200, "ok"
        handler = getattr(self, "_" + (request.resource or "none").replace("/", "_"), None)
        if handler is None or request.name == "":
            raise objects.no_such_path()
        return handler(request, account)

    def size_of(self, request):
        """"up" or "down" if this request changes the sum of the CPU limits, else None."""
        if request.verb != "patch" or not request.pod_name:
            return None
        pod = self.store.get("pods", request.namespace, request.pod_name)
        try:
            patched = self._apply(pod, request)
            before, after = (_cpu_limits(p) for p in (pod, patched))
        except (objects.ApiError, patching.PatchRefused, quantity.BadQuantity, TypeError, KeyError,
                AttributeError):
            return None
        return None if before == after else "up" if after > before else "down"

    # What there is

    def _authorize(self, request, account):
        resource = request.resource
        if account.installation and not account.installation.has_rights():
            raise faults.rbac_refusal(account, request)
        if account.rules is None or resource is None or (request.verb, resource) in account.rules:
            return
        raise faults.rbac_refusal(account, request)

    def _version(self):
        version = recordings.body("version")
        version.update(minor=str(self.minor), gitVersion=f"v1.{self.minor}.2")
        if self.minor == 36:
            return version
        version.update(emulationMinor=str(self.minor), minCompatibilityMinor=str(self.minor - 1))
        if self.minor < 34:
            version = {k: v for k, v in version.items() if not k.startswith(("emul", "minC"))}
        return version

    def _versions(self):
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}

    def _discovery(self):
        document = recordings.body("discovery-core")
        if not self.has_resize:
            document["resources"] = [r for r in document["resources"]
                                     if r["name"] != "pods/resize"]
        return document

    # Pods

    def _pods(self, request, account):
        if not request.name:
            return self._collection(request)
        if request.verb == "get":
            return 200, self._shown(request, self._pod(request))
        if request.verb == "patch":
            return 200, self._shown(request, self._patch_pod(request, account))
        if request.verb == "delete":
            return 200, self.delete_pod(request.namespace, request.name,
                                        (request.body or {}).get("gracePeriodSeconds"))
        raise objects.not_allowed()

    def _pods_resize(self, request, account):
        if not self.has_resize:
            raise objects.no_such_path()
        if request.verb == "get":
            return 200, self._shown(request, self._pod(request))
        if request.verb not in ("patch", "update"):
            raise objects.not_allowed()
        with self.store.lock:
            pod = self._pod(request)
            if request.verb == "patch":
                patched = self._apply(pod, request)
            else:
                patched = _decoded(request)
            self._check_identity(pod, patched, request)
            is_strategic = _content_type(request) == patching.STRATEGIC
            validation.canonicalise(patched, request.body if is_strategic else patched,
                                    not is_strategic)
            new = validation.resized(pod, patched)
            return 200, self._shown(request, self._store_resize(pod, new, request, account))

    def _store_resize(self, pod, new, request, account):
        causes = validation.check(pod, new, self.minor)
        if causes:
            raise objects.invalid("Pod", pod["metadata"]["name"], causes)
        self.admission.check(pod, new, account, self.store)
        if new["spec"] == pod["spec"]:
            return pod
        if self.minor >= 33:
            new["metadata"]["generation"] = pod["metadata"].get("generation", 1) + 1
        if request.is_dry_run:
            return new
        overrides = faults.kubelet_overrides(self.faults.of_kubelet(request))
        stored = self.store.put("pods", new)
        request.resize = self.kubelet.resize(stored, overrides)
        return stored

    def _patch_pod(self, request, account):
        with self.store.lock:
            pod = self._pod(request)
            patched = self._apply(pod, request)
            self._check_identity(pod, patched, request)
            validation.canonicalise(patched, request.body, False)
            new = {**patched, "status": pod["status"]}
            changes_size = objects.resources_by_name(pod) != objects.resources_by_name(new)
            if self.pod_patch_resizes and changes_size:
                return self._store_resize(pod, new, request, account)
            causes = validation.check_pod_update(pod, new)
            if causes:
                raise objects.invalid("Pod", request.name, causes)
            if new == pod or request.is_dry_run:
                return new
            return self.store.put("pods", new)

    def _pod(self, request):
        pod = self.store.get("pods", request.namespace, request.name)
        if pod is None:
            raise objects.not_found("pods", request.name)
        return pod

    def _check_identity(self, pod, patched, request):
        had, has = pod["metadata"], patched.get("metadata") or {}
        version = has.get("resourceVersion") or had["resourceVersion"]
        if version != had["resourceVersion"]:
            raise objects.conflict("pods", request.name)
        if has.get("name", had["name"]) != had["name"]:
            raise objects.bad_request(f"the name of the object ({has['name']}) does not match the "
                                      f"name on the URL ({had['name']})")
        if has.get("uid", had["uid"]) == had["uid"]:
            return
        if request.verb == "update":
            raise objects.conflict("pods", request.name, "Precondition failed: UID in "
                                   f"precondition: {has['uid']}, UID in object meta: {had['uid']}")
        raise objects.invalid("Pod", request.name, [
            objects.invalid_value("metadata.uid", has["uid"], "field is immutable")])

    def _apply(self, document, request):
        kind = _content_type(request)
        if kind not in patching.TYPES:
            raise objects.unsupported_media_type()
        if document is None:
            raise objects.not_found("pods", request.name)
        patch = _decoded(request)
        if (kind == patching.JSON) != isinstance(patch, list):
            raise objects.bad_request("json: cannot unmarshal patch")
        apply = {patching.STRATEGIC: patching.strategic, patching.MERGE: patching.merge,
                 patching.JSON: patching.json_patch}[kind]
        try:
            return apply(objects.copy_of(document), patch)
        except patching.PatchRefused as error:
            if kind == patching.JSON:
                raise objects.failure(422, "Invalid", "the server rejected our request due to an "
                                      "error in our request", {}) from error
            raise objects.failure(500, "InternalError", str(error)) from error

    def delete_pod(self, namespace, name, grace_s=None):
        """Marks the pod as terminating; with 0 it is gone at once. Nothing resizes it any more."""
        with self.store.lock:
            pod = self.store.get("pods", namespace, name)
            if pod is None:
                raise objects.not_found("pods", name)
            if grace_s is None:
                grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
            metadata = {**pod["metadata"], "deletionTimestamp": objects.now_text(grace_s),
                        "deletionGracePeriodSeconds": grace_s}
            if "generation" in metadata:
                metadata["generation"] += 1
            marked = self.store.put("pods", {**pod, "metadata": metadata})
            if grace_s == 0:
                self.remove_pod(namespace, name)
            return marked

    def remove_pod(self, namespace, name):
        with self.store.lock:
            self.store.remove("pods", namespace, name)
            self.kubelet.forget((namespace, name))

    # Nodes and events

    def _nodes(self, request, _account):
        if not request.name:
            return self._collection(request)
        node = self.store.get("nodes", None, request.name)
        if request.verb != "get":
            raise objects.not_allowed()
        if node is None:
            raise objects.not_found("nodes", request.name)
        return 200, self._shown(request, node)

    # What installs doze: asked for, and its finalizers

    def _installed(self, request, _account):
        key = (request.resource, request.namespace, request.name)
        with self.store.lock:
            found = self.store.get(*key) if request.name else None
            if found is None:
                raise objects.not_found(request.resource, request.name or "")
            if request.verb == "patch":
                found = self.store.put(request.resource, self._apply(found, request))
                installation.remove_if_free(self.store, *key)
            elif request.verb != "get":
                raise objects.not_allowed()
            return 200, self._shown(request, found)

    _namespaces = _serviceaccounts = _daemonsets = _installed
    _clusterroles = _clusterrolebindings = _installed

    def _events(self, request, _account):
        if request.verb == "create":
            return 201, self._create_event(request)
        if not request.name:
            return self._collection(request)
        event = self.store.get("events", request.namespace, request.name)
        if event is None:
            raise objects.not_found("events", request.name)
        if request.verb == "patch":
            event = self.store.put("events", self._apply(event, request))
        elif request.verb != "get":
            raise objects.not_allowed()
        return 200, event

    def _create_event(self, request):
        body = _decoded(request)
        metadata = dict(body.get("metadata") or {})
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                raise objects.invalid("Event", "", [objects.Cause(
                    "Required", "metadata.name",
                    "Required value: name or generateName is required")])
            metadata["name"] = metadata["generateName"] + _random_suffix()
        about = (body.get("involvedObject") or {}).get("namespace", request.namespace)
        if about != request.namespace:
            raise objects.invalid("Event", metadata["name"], [objects.invalid_value(
                "involvedObject.namespace", about, "does not match event.namespace")])
        metadata.update(namespace=request.namespace, uid=objects.new_uid(),
                        creationTimestamp=objects.now_text())
        with self.store.lock:
            if self.store.get("events", request.namespace, metadata["name"]):
                raise objects.already_exists("events", metadata["name"])
            return self.store.put("events", {**EVENT_DEFAULTS, **body, "kind": "Event",
                                             "apiVersion": "v1", "metadata": metadata})

    # Lists and watches

    def _collection(self, request):
        if request.verb not in ("list", "watch"):
            raise objects.not_allowed()
        query = request.query
        selects = _selector(request)
        if request.verb == "watch":
            return 200, Watch(self.store, request, selects, self.bookmark_s, self.faults)
        with self.store.lock:
            version = parse_version(query.get("resourceVersion"))
            if version > self.store.version:
                raise _too_large(version, self.store.version)
            found = [d for d in self.store.list(request.resource, request.namespace) if selects(d)]
            return 200, self._page(request, found)

    def _page(self, request, found):
        start, version = self._continued(request.query.get("continue"))
        limit = int(request.query.get("limit") or 0)
        metadata = {"resourceVersion": str(version)}
        page = found[start:start + limit] if limit else found[start:]
        if limit and start + limit < len(found):
            token = json.dumps({"version": version, "start": start + limit})
            metadata["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
            metadata["remainingItemCount"] = len(found) - start - limit
        items = [{k: v for k, v in self._shown(request, d).items()
                  if k not in ("kind", "apiVersion")} for d in page]
        return {"kind": KINDS[request.resource] + "List", "apiVersion": "v1",
                "metadata": metadata, "items": items}

    def _continued(self, token):
        if not token:
            return 0, self.store.version
        try:
            place = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            raise objects.bad_request("continue key is not valid") from None
        if place["version"] < self.store.compacted:
            raise objects.failure(410, "Expired", "The provided continue parameter is too old to "
                                  "display a consistent list result.")
        return place["start"], place["version"]

    def _shown(self, request, document):
        if PARTIAL not in request.headers.get("Accept", ""):
            return document
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": document["metadata"]}


def _selector(request):
    return selector(request.resource, request.query.get("fieldSelector"),
                          request.query.get("labelSelector"), request.namespace)


def _content_type(request):
    return request.headers.get("Content-Type", "").split(";")[0].strip()


def _decoded(request):
    """The body as JSON; 400 in the words of Go's decoder."""
    try:
        return json.loads(request.raw or b"")
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()):
            raise objects.bad_request("unexpected end of JSON input") from None
        raise objects.bad_request(f"invalid character '{error.doc[error.pos]}' looking for "
                                  "beginning of value") from None
    except UnicodeDecodeError:
        raise objects.bad_request("invalid UTF-8 in string") from None


def _cpu_limits(pod):
    return sum(quantity.value(r["limits"].get("cpu", "0"))
               for r in objects.resources_by_name(pod).values())


def _too_large(version, current):
    return objects.failure(
        504, "Timeout", f"Timeout: Too large resource version: {version}, current: {current}",
        {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
         "retryAfterSeconds": 1}, {"Retry-After": "1"})


def _random_suffix():
    return "".join(random.choice(string.digits + string.ascii_lowercase) for _ in range(5))

