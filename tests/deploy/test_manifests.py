#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/: manifests that ask for no more than doze needs, and that doze itself accepts."""
import glob
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
DEPLOY = os.path.join(ROOT, "deploy")
DOZE = os.path.join(ROOT, "doze")
sys.path.insert(0, os.path.join(ROOT, "tests", "fake"))

import quantity
import tap
from tap import check, equal

try:
    import yaml
except ImportError:
    print("1..1\nok 1 - manifests # SKIP no module yaml: install python3-yaml")
    sys.exit(0)

CAPABILITIES = ["BPF", "NET_ADMIN", "NET_RAW", "PERFMON"]
USAGE = 2
FIELDS = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace",
          "POD_UID": "metadata.uid"}


def text_of(name):
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as file:
        return file.read()


def documents(name):
    return list(yaml.safe_load_all(text_of(name)))


def of_kind(name, kind):
    found = [d for d in documents(name) if d["kind"] == kind]
    equal(len(found), 1, f"{kind} in {name}")
    return found[0]


class Manifest:
    """A manifest with a pod, and the doze container in it."""

    def __init__(self, name, document):
        self.name = name
        template = document["spec"].get("template", document)
        self.pod = template["spec"]
        self.annotations = template["metadata"].get("annotations", {})
        self.containers = self.pod["containers"]
        self.sidecars = self.pod.get("initContainers", [])
        dozes = [c for c in self.containers + self.sidecars if c["name"] == "doze"]
        equal(len(dozes), 1, f"{name}: containers named doze")
        self.doze = dozes[0]

    def is_native(self):
        return self.doze in self.sidecars


def manifests():
    found = []
    for path in sorted(glob.glob(os.path.join(DEPLOY, "*.yaml"))):
        name = os.path.basename(path)
        found += [Manifest(name, d) for d in documents(name) if d["kind"] in ("Pod", "Deployment")]
    check(len(found) >= 3, f"manifests with a pod: {[m.name for m in found]}")
    return found


def help_text():
    if not os.access(DOZE, os.X_OK):
        raise tap.Skip("./doze is not built")
    return subprocess.run([DOZE, "sidecar", "--help-all"], check=True, capture_output=True,
                          text=True).stdout


def default_of(flag):
    """The default that --help-all states for a flag."""
    help_of = re.search(rf"^ +--{flag} .*\n((?: {{8}}.*\n)+)", help_text(), re.MULTILINE)
    check(help_of, f"--help-all does not know --{flag}")
    default = re.search(r"Default\s+(\S+?)\.?\s*$", help_of.group(1))
    check(default, f"--help-all names no default of --{flag}")
    return default.group(1)


# What doze may do


def test_capabilities_are_the_four_that_doze_needs():
    for m in manifests():
        capabilities = m.doze["securityContext"]["capabilities"]
        equal(sorted(capabilities["add"]), CAPABILITIES, m.name)
        equal(capabilities["drop"], ["ALL"], m.name)


def test_the_page_on_security_names_the_capabilities_of_the_manifests():
    page = text_of("security.md")
    for process, added in (("doze sidecar", CAPABILITIES),
                           ("doze node", node_doze()["securityContext"]["capabilities"]["add"])):
        row = re.search(rf"^\| `{process}` \|([^|]*)\|", page, re.MULTILINE)
        equal(sorted(re.findall(r"CAP_(\w+)", row.group(1))), sorted(added), process)


def test_nothing_is_privileged():
    for m in manifests():
        context = m.doze["securityContext"]
        equal(context["privileged"], False, m.name)
        equal(context["allowPrivilegeEscalation"], False, m.name)
        equal(context["readOnlyRootFilesystem"], True, m.name)
        equal(context["seccompProfile"], {"type": "RuntimeDefault"}, m.name)
        # No ambient capabilities: whoever is not root has none of those that are added.
        equal(context["runAsUser"], 0, m.name)
        for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            check(not m.pod.get(name), f"{m.name}: {name}")
        equal([v["name"] for v in m.pod["volumes"] if "hostPath" in v], [], m.name)


def test_the_sidecars_are_the_same_in_every_manifest():
    """What is tried with one of them (test_container.py) holds for all."""
    first, *others = manifests()
    for m in others:
        for key in ("args", "env", "resources", "securityContext", "volumeMounts",
                    "livenessProbe"):
            equal(m.doze[key], first.doze[key], f"{m.name}: {key}")


def test_doze_asks_nothing_for_the_application():
    for m in manifests():
        for container in m.containers + m.sidecars:
            context = container.get("securityContext", {})
            if container is not m.doze:
                check(not context.get("privileged"), f"{m.name}: {container['name']}")
                check("add" not in context.get("capabilities", {}), f"{m.name}: {container['name']}")


def test_the_role_reads_pods_resizes_them_makes_events_and_does_nothing_else():
    equal(of_kind("rbac.yaml", "Role")["rules"],
          [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
           {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch", "own-pod"]},
           {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}])
    equal(sorted(d["kind"] for d in documents("rbac.yaml")),
          ["Role", "RoleBinding", "ServiceAccount"])


def test_the_service_account_is_the_one_that_is_bound():
    account = of_kind("rbac.yaml", "ServiceAccount")["metadata"]["name"]
    binding = of_kind("rbac.yaml", "RoleBinding")
    equal(binding["subjects"], [{"kind": "ServiceAccount", "name": account}])
    equal(binding["roleRef"]["name"], of_kind("rbac.yaml", "Role")["metadata"]["name"])
    equal(binding["roleRef"]["kind"], "Role")
    for m in manifests():
        equal(m.pod["serviceAccountName"], account, m.name)


def test_doze_alone_has_the_token():
    where = default_of("service-account-dir")
    for m in manifests():
        equal(m.pod.get("automountServiceAccountToken"), False, m.name)
        volumes = {v["name"]: v for v in m.pod["volumes"]}
        tokens = [n for n, v in volumes.items() if "projected" in v]
        equal(len(tokens), 1, f"{m.name}: projected volumes")
        paths = [item["path"] for source in volumes[tokens[0]]["projected"]["sources"]
                 for one in source.values() for item in one.get("items", [one])]
        equal(sorted(paths), ["ca.crt", "namespace", "token"], m.name)
        for container in m.containers + m.sidecars:
            mounts = {v["name"]: v for v in container.get("volumeMounts", [])}
            equal(tokens[0] in mounts, container is m.doze, f"{m.name}: {container['name']}")
        mount = next(v for v in m.doze["volumeMounts"] if v["name"] == tokens[0])
        equal((mount["mountPath"], mount["readOnly"]), (where, True), m.name)


def test_the_most_that_a_token_may_give_is_what_the_pod_has():
    for m in manifests():
        limits = [quantity.value(c["resources"]["limits"]["cpu"]) for c in m.containers]
        equal(quantity.value(m.annotations["doze.dev/cpu-max"]), max(limits), m.name)


def test_the_policy_knows_whose_pod_it_is_by_the_token():
    policy = of_kind("admission-policy.yaml", "ValidatingAdmissionPolicy")
    binding = of_kind("admission-policy.yaml", "ValidatingAdmissionPolicyBinding")
    account = of_kind("rbac.yaml", "ServiceAccount")["metadata"]["name"]
    expression = policy["spec"]["validations"][0]["expression"]
    for name, whose in (("pod-name", "request.name"), ("pod-uid", "oldObject.metadata.uid")):
        claim = f"request.userInfo.extra['authentication.kubernetes.io/{name}'][0]"
        check(f"{claim} == {whose}" in expression, expression)
        check(f"'authentication.kubernetes.io/{name}' in request.userInfo.extra" in expression,
              "a token without the claim is not refused, but fails")
    equal(policy["spec"]["failurePolicy"], "Fail")
    equal(policy["spec"]["matchConstraints"]["resourceRules"],
          [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
            "resources": ["pods/resize"]}])
    conditions = policy["spec"]["matchConditions"]
    equal(len(conditions), 1)
    check(f"endsWith(':{account}')" in conditions[0]["expression"], conditions[0]["expression"])
    equal(binding["spec"]["policyName"], policy["metadata"]["name"])
    equal(binding["spec"]["validationActions"], ["Deny"])


def policies():
    return [of_kind(name, "ValidatingAdmissionPolicy")["spec"]
            for name in ("admission-policy.yaml", "node/base/own-node.yaml")]


def test_the_expressions_of_the_policies_are_well_formed():
    for spec in policies():
        known = {v["name"] for v in spec["variables"]}
        for one in [*spec["matchConditions"], *spec["variables"], *spec["validations"]]:
            bare = re.sub(r"'[^']*'", "''", one["expression"])
            for left, right in ("()", "[]", "{}"):
                equal(bare.count(left), bare.count(right), one["expression"])
            check(set(re.findall(r"variables\.(\w+)", bare)) <= known, one["expression"])


# An expression of CEL, as one of Python: what the policies use of it, and no more.

class Json(dict):
    __getattr__ = dict.__getitem__

    def __eq__(self, other):
        return dict.__eq__(self, other)

    __hash__ = None


class Cel:
    def __init__(self, text):
        self.tokens = re.findall(r"'[^']*'|&&|\|\||==|[A-Za-z_]\w*|\d+|\S", text)
        self.python = self.choice()
        check(not self.tokens, f"left over: {self.tokens}")

    def peek(self):
        return self.tokens[0] if self.tokens else ""

    def accept(self, token):
        return self.tokens.pop(0) if self.peek() == token else None

    def expect(self, token):
        check(self.accept(token), f"no {token} before {self.tokens[:5]}")

    def choice(self):
        condition = self.either()
        if not self.accept("?"):
            return condition
        yes = self.choice()
        self.expect(":")
        return f"({yes} if {condition} else {self.choice()})"

    def either(self):
        left = self.both()
        while self.accept("||"):
            left = f"({left} or {self.both()})"
        return left

    def both(self):
        left = self.compared()
        while self.accept("&&"):
            left = f"({left} and {self.compared()})"
        return left

    def compared(self):
        left = self.sum()
        for token in ("==", "in"):
            if self.accept(token):
                return f"({left} {token} {self.sum()})"
        return left

    def sum(self):
        left = self.negated()
        while self.accept("+"):
            left = f"({left} + {self.negated()})"
        return left

    def negated(self):
        return f"(not {self.negated()})" if self.accept("!") else self.member()

    def arguments(self):
        found = []
        while not self.accept(")"):
            found.append(self.choice())
            self.accept(",")
        return found

    def atom(self):
        if self.accept("("):
            inner = self.choice()
            self.expect(")")
            return f"({inner})"
        if self.accept("["):
            self.expect("]")
            return "[]"
        if self.accept("{"):
            self.expect("}")
            return "Json()"
        return self.tokens.pop(0)

    def member(self):
        value = self.atom()
        while self.peek() in (".", "[", "("):
            if self.accept("["):
                value = f"{value}[{self.choice()}]"
                self.expect("]")
            elif self.accept("("):
                inner = self.arguments()
                if value == "has":
                    owner, _, name = inner[0].rpartition(".")
                    value = f"('{name}' in {owner})"
                else:
                    value = f"{value}({', '.join(inner)})"
            else:
                self.expect(".")
                name = self.tokens.pop(0)
                if name in ("all", "map"):
                    self.expect("(")
                    each, body = self.arguments()
                    value = (f"[{body} for {each} in {value}]" if name == "map"
                             else f"all({body} for {each} in {value})")
                else:
                    value += "." + {"startsWith": "startswith",
                                    "endsWith": "endswith"}.get(name, name)
        return value


class Quantity:
    def __init__(self, text):
        self.amount = quantity.value(text)

    def isGreaterThan(self, other):  # pylint: disable=invalid-name
        return self.amount > other.amount


class Authorizer:
    """Of somebody who has these verbs on pods/resize."""

    def __init__(self, verbs):
        self.verbs = verbs

    def group(self, _):
        return self

    resource = subresource = namespace = group

    def check(self, verb):
        allowed = bool(self.verbs & {verb, "*"})
        return Json(allowed=lambda: allowed)


def json_of(value):
    if isinstance(value, dict):
        return Json((k, json_of(v)) for k, v in value.items())
    return [json_of(v) for v in value] if isinstance(value, list) else value


def judge(spec, old, new, user, extra, verbs=()):
    """The messages of what the policy refuses; None: it does not look."""
    names = {"request": json_of({"name": old["metadata"]["name"], "namespace": "shop",
                                 "userInfo": {"username": user, "extra": extra}}),
             "object": json_of(new), "oldObject": json_of(old), "quantity": Quantity, "Json": Json,
             "authorizer": Authorizer(set(verbs))}

    def value(expression):
        return eval(Cel(expression).python, dict(names))  # pylint: disable=eval-used
    if not all(value(c["expression"]) for c in spec["matchConditions"]):
        return None
    names["variables"] = Json()
    for one in spec["variables"]:
        names["variables"][one["name"]] = value(one["expression"])
    return [v["message"] for v in spec["validations"] if not value(v["expression"])]


def resized(limit="1", request="250m", memory="256Mi", most="1", **spec):
    resources = {"requests": {"cpu": request, "memory": "128Mi"}, "limits": {"memory": memory}}
    if limit:
        resources["limits"]["cpu"] = limit
    return {"metadata": {"name": "web-0", "uid": "u1",
                         "annotations": {"doze.dev/cpu-max": most} if most else {}},
            "spec": {"containers": [{"name": "app", "resources": resources}],
                     "nodeName": "node1",
                     "initContainers": [{"name": "doze", "resources": {}}], **spec}}


SIDECAR = "system:serviceaccount:shop:doze"
OWN = {"authentication.kubernetes.io/pod-name": ["web-0"],
       "authentication.kubernetes.io/pod-uid": ["u1"]}
OTHER = {**OWN, "authentication.kubernetes.io/pod-uid": ["u2"]}
ASLEEP = {"limit": "10m", "request": "1m"}


def test_what_a_token_of_the_sidecar_may_do():
    spec = policies()[0]
    rows = (
        # before                  after                                user   extra  refusals
        ({}, ASLEEP, SIDECAR, OWN, 0),
        (ASLEEP, {}, SIDECAR, OWN, 0),
        (ASLEEP, {"limit": "64"}, SIDECAR, OWN, 1),
        (ASLEEP, {"limit": "64", "request": "64", "memory": "64Gi"}, SIDECAR, OWN, 3),
        (ASLEEP, {"limit": "0"}, SIDECAR, OWN, 1),
        ({"limit": None}, {"limit": None, "request": "2"}, SIDECAR, OWN, 1),
        (ASLEEP, {"resources": {"limits": {"cpu": "64"}}}, SIDECAR, OWN, 1),
        ({"limit": "2"}, {**ASLEEP}, SIDECAR, OWN, 1),  # it could not be given back
        ({"most": None}, {**ASLEEP, "most": None}, SIDECAR, OWN, 0),
        ({**ASLEEP, "most": None}, {"limit": "5", "most": None}, SIDECAR, OWN, 1),
        ({}, ASLEEP, SIDECAR, OTHER, 1),
        ({}, ASLEEP, SIDECAR, {}, 1),
        ({}, ASLEEP, "system:serviceaccount:other:doze", OWN, 1),
    )
    for before, after, user, extra, refusals in rows:
        found = judge(spec, resized(**before), resized(**after), user, extra)
        equal(len(found), refusals, f"{before} -> {after}: {found}")


def test_the_policy_follows_the_role_whatever_the_account_is_called():
    spec, big = policies()[0], {"limit": "64"}
    web, admin = "system:serviceaccount:shop:web", "system:serviceaccount:kube-system:vpa"
    for user, verbs, looks in ((web, {"patch", "own-pod"}, True), (web, {"patch"}, False),
                               (admin, {"*"}, False), ("alice", {"own-pod"}, False)):
        found = judge(spec, resized(), resized(**big), user, OWN, verbs)
        equal(bool(found), looks, f"{user} {verbs}: {found}")


def test_what_the_token_of_the_daemon_may_do():
    spec = policies()[1]
    node = {"authentication.kubernetes.io/node-name": ["node1"]}
    user = "system:serviceaccount:doze:doze-node"
    for after, extra, refusals in ((ASLEEP, node, 0), ({**ASLEEP, "nodeName": "node2"}, node, 1),
                                   ({"memory": "64Gi"}, node, 1), (ASLEEP, {}, 1)):
        found = judge(spec, resized(), resized(**after), user, extra)
        equal(len(found), refusals, f"{after}: {found}")
    equal(judge(spec, resized(), resized(limit="64"), "alice", {}), None)

def test_whatever_gives_a_right_says_why():
    for path in sorted(glob.glob(os.path.join(DEPLOY, "*.yaml"))):
        name = os.path.basename(path)
        lines = text_of(name).splitlines()
        for number, line in enumerate(lines):
            if re.match(rf"\s+- ({'|'.join(CAPABILITIES)})\b", line):
                check(re.search(r"\S # \w", line), f"{name}:{number + 1}: why? {line}")
    lines = text_of("rbac.yaml").splitlines()
    rules = [n for n, line in enumerate(lines) if re.match(r"  - apiGroups:", line)]
    equal(len(rules), 3, "rules")
    for number in rules:
        check(re.match(r"\s+# \w", lines[number - 1]), f"rbac.yaml:{number + 1}: why?")


# What doze is told


def test_doze_accepts_its_arguments():
    help_text()
    for m in manifests():
        equal(m.doze["args"][0], "sidecar", m.name)
        check("command" not in m.doze, f"{m.name}: the image has an entry point")
        # Neither a cluster nor privileges are here: it says so, and waits. Wrong flags would end it.
        with subprocess.Popen([DOZE, *m.doze["args"], "--socket=none"], text=True,
                              env={"POD_NAME": "web-0", "POD_NAMESPACE": "shop"},
                              stderr=subprocess.PIPE) as doze:
            said = list(itertools.takewhile(lambda line: "its traffic passes" not in line,
                                            doze.stderr))
            equal(doze.poll(), None, f"{m.name}: {said}")
            doze.terminate()
            equal(doze.wait(30), 0, f"{m.name}: {said}")


def test_a_wrong_argument_would_be_noticed():
    help_text()
    done = subprocess.run([DOZE, "sidecar", "--idle-afer=5m"], env={"POD_NAME": "web-0"},
                          capture_output=True, text=True, timeout=30)
    equal(done.returncode, USAGE)


def test_doze_reads_every_variable_that_it_is_given():
    text = help_text()
    for m in manifests():
        names = [e["name"] for e in m.doze["env"]]
        for name in names:
            check(re.search(rf"\b{name}\b", text), f"{m.name}: doze does not read {name}")
        for name, field in FIELDS.items():
            values = [e.get("valueFrom") for e in m.doze["env"] if e["name"] == name]
            equal(values, [{"fieldRef": {"fieldPath": field}}], f"{m.name}: {name}")


def test_no_service_link_becomes_a_setting():
    for m in manifests():
        equal(m.pod["enableServiceLinks"], False, m.name)


def test_the_container_has_the_name_that_doze_expects_of_itself():
    equal(default_of("own-container"), "doze")


def test_the_state_file_is_on_a_volume_of_the_pod():
    path = default_of("state-file")
    for m in manifests():
        mounts = [v for v in m.doze["volumeMounts"] if path.startswith(v["mountPath"] + "/")]
        equal(len(mounts), 1, f"{m.name}: mounts that hold {path}")
        check(not mounts[0].get("readOnly"), f"{m.name}: {path} is read-only")
        volumes = [v for v in m.pod["volumes"] if v["name"] == mounts[0]["name"]]
        equal(len(volumes), 1, m.name)
        check("emptyDir" in volumes[0], f"{m.name}: does not live as long as the pod")
    check(f"/image{os.path.dirname(path)}" in text_of("Containerfile"), "not in the image")


# What the pod is


def test_requests_are_limits_so_that_a_guaranteed_pod_stays_guaranteed():
    for m in manifests():
        resources = m.doze["resources"]
        equal(sorted(resources["limits"]), ["cpu", "memory"], m.name)
        equal(resources["requests"], resources["limits"], m.name)


def test_the_application_has_a_limit_to_be_lowered():
    for m in manifests():
        for container in m.containers:
            check("cpu" in container["resources"]["limits"], f"{m.name}: {container['name']}")


def test_each_sidecar_is_asked_whether_it_lives_where_it_listens():
    text = help_text()
    for m in manifests():
        mounts = [v["mountPath"] for v in m.doze["volumeMounts"]]
        command = m.doze["livenessProbe"]["exec"]["command"]
        equal(command[:2], ["/doze", "status"], m.name)
        check(os.path.dirname(command[2]) in mounts, f"{m.name}: {command[2]} is on no volume")
        check(command[2] in text, f"doze sidecar does not listen at {command[2]}")


def test_a_native_sidecar_restarts_always():
    for m in manifests():
        equal(m.doze.get("restartPolicy"), "Always" if m.is_native() else None, m.name)
    equal({m.is_native() for m in manifests()}, {True, False}, "both kinds have an example")


def test_doze_is_told_the_same_in_every_example():
    told = [{k: v for k, v in m.doze.items() if k != "restartPolicy"} for m in manifests()]
    for m, one in zip(manifests(), told):
        equal(one, told[0], m.name)


# The daemon of a node

NODE_CAPABILITIES = sorted([*CAPABILITIES, "SYS_ADMIN", "SYS_PTRACE"])


def node_daemon():
    return of_kind("node/base/daemonset.yaml", "DaemonSet")


def node_pod():
    return node_daemon()["spec"]["template"]["spec"]


def node_doze():
    containers = node_pod()["containers"]
    equal([c["name"] for c in containers], ["doze"])
    return containers[0]


def test_the_node_daemon_has_the_six_capabilities_and_is_not_privileged():
    context = node_doze()["securityContext"]
    equal(sorted(context["capabilities"]["add"]), NODE_CAPABILITIES)
    equal(context["capabilities"]["drop"], ["ALL"])
    equal(context["privileged"], False)
    equal(context["allowPrivilegeEscalation"], False)
    equal(context["readOnlyRootFilesystem"], True)
    equal(node_pod().get("hostNetwork"), None)


def test_whatever_the_node_daemon_has_is_explained():
    lines = text_of("node/base/daemonset.yaml").splitlines()
    for number, line in enumerate(lines):
        if re.match(rf"\s+- ({'|'.join(NODE_CAPABILITIES)})\b", line):
            check(re.search(r"\S # \w", line), f"daemonset.yaml:{number + 1}: why? {line}")
        if re.match(r"\s+(hostPID|appArmorProfile|priorityClassName|- \{name: \w+, mountPath)", line):
            check(re.match(r"\s+# \w", lines[number - 1]), f"daemonset.yaml:{number + 1}: why?")
    lines = text_of("node/base/rbac.yaml").splitlines()
    rules = [n for n, line in enumerate(lines) if re.match(r"  - apiGroups:", line)]
    equal(len(rules), 8, "rules")
    for number in rules:
        says_why = re.match(r"\s+# \w", lines[number - 1])
        is_named = "resourceNames" in lines[number + 2]  # the same reason as the rule before it
        check(says_why or is_named, f"rbac.yaml:{number + 1}: why?")


def test_the_cluster_role_has_what_doze_node_uses_and_nothing_else():
    rules = of_kind("node/base/rbac.yaml", "ClusterRole")["rules"]
    account = of_kind("node/base/rbac.yaml", "ServiceAccount")["metadata"]["name"]
    equal(sorted((what, verb) for rule in rules for what in rule["resources"]
                 for verb in rule["verbs"] if "resourceNames" not in rule),
          [("events", "create"), ("nodes", "get"), ("pods", "get"),
           ("pods", "list"), ("pods", "watch"), ("pods/resize", "patch")])
    # Of itself alone: its place, and its rights.
    equal(sorted((what, verb, *rule["resourceNames"]) for rule in rules
                 for what in rule["resources"] for verb in rule["verbs"]
                 if "resourceNames" in rule),
          [("clusterrolebindings", "patch", account), ("clusterroles", "patch", account),
           ("daemonsets", "get", node_daemon()["metadata"]["name"]),
           ("namespaces", "get", "doze"), ("serviceaccounts", "patch", account)])
    binding = of_kind("node/base/rbac.yaml", "ClusterRoleBinding")
    equal(binding["subjects"][0]["name"], account)
    for what in (binding, of_kind("node/base/rbac.yaml", "ClusterRole")):
        equal(what["metadata"]["name"], account, "the finalizer is on objects of this name")
    equal(node_pod()["serviceAccountName"], account)
    # The policy of the sidecar's account would refuse its resizes.
    check(account != of_kind("rbac.yaml", "ServiceAccount")["metadata"]["name"], account)


def test_doze_node_reads_every_variable_that_it_is_given():
    help_text()
    text = subprocess.run([DOZE, "node", "--help-all"], check=True, capture_output=True,
                          text=True).stdout
    environment = {e["name"]: e.get("value", "node1") for e in node_doze()["env"]}
    for name in environment:
        check(re.search(rf"\b{name}\b", text), f"doze does not read {name}")
    equal(environment["DOZE_DAEMONSET"], node_daemon()["metadata"]["name"])
    done = subprocess.run([DOZE, *node_doze()["args"], "--state-dir=/proc/none"], timeout=30,
                          env=environment, capture_output=True, text=True)
    equal(done.returncode, 1, done.stderr)
    check("lists all flags" not in done.stderr, done.stderr)


def test_the_node_daemon_is_asked_where_it_listens():
    mounts = [m["mountPath"] for m in node_doze()["volumeMounts"]]
    text = subprocess.run([DOZE, "node", "--help-all"], check=True, capture_output=True,
                          text=True).stdout
    for probe in ("readinessProbe", "livenessProbe"):
        command = node_doze()[probe]["exec"]["command"]
        equal(command[:-1], ["/doze", "status"] + (["--ready"] if probe == "readinessProbe" else []))
        check(os.path.dirname(command[-1]) in mounts, f"{command[-1]} is on no volume")
        check(command[-1] in text, f"doze node does not listen at {command[-1]}")
    done = subprocess.run([DOZE, "status", "/nowhere/node.sock"], capture_output=True, text=True)
    equal(done.returncode, 1, done.stderr)


def test_doze_node_keeps_its_state_on_the_node():
    mounts = {m["name"]: m["mountPath"] for m in node_doze()["volumeMounts"]}
    volumes = {v["name"]: v for v in node_pod()["volumes"]}
    equal(sorted(mounts), sorted(volumes))
    equal(mounts["state"], "/var/lib/doze")
    check("hostPath" in volumes["state"], "the state does not outlive the pod")
    root = next(e["value"] for e in node_doze()["env"] if e["name"] == "DOZE_CGROUP_ROOT")
    equal(mounts["cgroup"], root)
    equal(volumes["cgroup"]["hostPath"]["path"], "/sys/fs/cgroup")


COMPONENTS = ["cri-o", "gke", "k3s", "openshift"]


def kustomizations():
    """Each file, and what is in it."""
    found = sorted(glob.glob(os.path.join(DEPLOY, "node", "**", "kustomization.yaml"),
                             recursive=True))
    equal(len(found), 2 + len(COMPONENTS), found)
    for path in found:
        with open(path, encoding="utf-8") as file:
            yield path, yaml.safe_load(file)


def test_every_kustomization_names_what_is_there():
    for path, kustomization in kustomizations():
        for resource in kustomization.get("resources", []):
            there = os.path.join(os.path.dirname(path), resource)
            check(os.path.isfile(there) or
                  os.path.isfile(os.path.join(there, "kustomization.yaml")), f"{path}: {resource}")
        for patch in kustomization.get("patches", []):
            changed = yaml.safe_load(patch["patch"])
            equal((changed["kind"], changed["metadata"]["name"]),
                  ("DaemonSet", node_daemon()["metadata"]["name"]), path)


def test_components_have_neither_base_nor_image():
    """Else one of them would reset what another, or the user's own file, has set."""
    for path, kustomization in kustomizations():
        if f"{os.sep}components{os.sep}" not in path:
            continue
        equal(kustomization["kind"], "Component", path)
        check("images" not in kustomization, f"{path}: images")
        for resource in kustomization.get("resources", []):
            check(".." not in resource, f"{path}: {resource}")


def leaves(value, path=()):
    """What a patch sets: (path, value) pairs; members of a list are known by their name."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for member in value:
            rest = {k: v for k, v in member.items() if k != "name"}
            yield from leaves(rest, (*path, member["name"]))
    else:
        yield path, value


def test_no_two_components_change_the_same():
    changed = {}
    for path, kustomization in kustomizations():
        for patch in kustomization.get("patches", []):
            for place, _ in leaves(yaml.safe_load(patch["patch"])):
                if place[0] == "spec":
                    equal(changed.setdefault(place, path), path, "/".join(map(str, place)))
    equal(len(changed), 3, changed)


def test_all_components_together_lose_nothing():
    """As kubectl builds it, with an image and an argument of the user's own."""
    if not shutil.which("kubectl"):
        raise tap.Skip("no kubectl here")
    with tempfile.TemporaryDirectory(prefix="doze-test-") as directory:
        node = os.path.join(directory, "node")
        shutil.copytree(os.path.join(DEPLOY, "node"), node)
        with open(os.path.join(node, "kustomization.yaml"), "a", encoding="utf-8") as file:
            file.write(f"""
images: [{{name: doze, newName: registry.example/doze, newTag: v1}}]
components: [{", ".join("components/" + name for name in COMPONENTS)}]
patches:
  - target: {{kind: DaemonSet, name: doze}}
    patch: |-
      - {{op: add, path: /spec/template/spec/containers/0/args/-, value: --max-wakes=20}}
""")
        built = subprocess.run(["kubectl", "kustomize", node], check=False, capture_output=True,
                               text=True)
    if "unknown command" in built.stderr:
        raise tap.Skip("this kubectl has no kustomize")
    equal(built.returncode, 0, built.stderr)
    found = {d["kind"]: d for d in yaml.safe_load_all(built.stdout)}
    check("ResourceQuota" in found and "SecurityContextConstraints" in found, sorted(found))
    pod = found["DaemonSet"]["spec"]["template"]["spec"]
    doze = pod["containers"][0]
    equal(doze["image"], "registry.example/doze:v1")
    equal(doze["args"], ["node", "--max-wakes=20"])
    equal(doze["securityContext"]["seLinuxOptions"], {"type": "spc_t"})
    equal(sorted(doze["securityContext"]["capabilities"]["add"]), NODE_CAPABILITIES)
    state = next(v for v in pod["volumes"] if v["name"] == "state")
    equal(state["hostPath"], {"path": "/var/lib/rancher/doze", "type": "DirectoryOrCreate"})


def test_openshift_allows_what_the_daemonset_asks_for():
    constraints = of_kind("node/components/openshift/scc.yaml", "SecurityContextConstraints")
    equal(sorted(constraints["allowedCapabilities"]), NODE_CAPABILITIES)
    equal(constraints["allowPrivilegedContainer"], False)
    equal(constraints["allowHostPID"], node_pod()["hostPID"])
    kinds = {kind for volume in node_pod()["volumes"] for kind in volume if kind != "name"}
    equal(sorted(kinds - set(constraints["volumes"])), [])
    account = of_kind("node/base/rbac.yaml", "ServiceAccount")["metadata"]["name"]
    equal(constraints["users"], [f"system:serviceaccount:doze:{account}"])


def test_gke_counts_the_pods_of_the_priority():
    quota = of_kind("node/components/gke/quota.yaml", "ResourceQuota")
    expression = quota["spec"]["scopeSelector"]["matchExpressions"][0]
    equal(expression["values"], [node_pod()["priorityClassName"]])
    equal(quota["metadata"]["namespace"], "doze")


def test_an_image_that_was_loaded_into_the_node_is_not_pulled():
    """The tag of the manifests is latest, for which Kubernetes asks a registry each time."""
    for m in manifests():
        equal(m.doze["imagePullPolicy"], "IfNotPresent", m.name)
    equal(node_doze()["imagePullPolicy"], "IfNotPresent")


def test_the_policy_of_the_node_knows_its_node_by_the_token():
    policy = of_kind("node/base/own-node.yaml", "ValidatingAdmissionPolicy")
    expression = policy["spec"]["validations"][0]["expression"]
    claim = "request.userInfo.extra['authentication.kubernetes.io/node-name'][0]"
    check(f"{claim} == object.spec.nodeName" in expression, expression)
    check("system:serviceaccount:doze:doze-node" in
          policy["spec"]["matchConditions"][0]["expression"], "another account")


# The image


def packages_of(text, pattern):
    found = re.search(pattern, text, re.DOTALL)
    check(found, "no list of packages")
    return set(found.group(1).replace("\\\n", " ").split())


def test_the_image_is_built_of_what_the_build_installs():
    image = packages_of(text_of("Containerfile"),
                        r"apt-get install -y --no-install-recommends((?:[^\n]|\\\n)*?[^\\])\n")
    machine = packages_of(text_of("install-deps.sh"), r"\npackages='([^']*)'")
    check(len(image) > 5, f"packages of the image: {image}")
    equal(sorted(image - machine), [], "packages that install-deps.sh does not know")


def test_the_image_holds_a_binary_and_no_shell():
    stages = re.findall(r"^FROM (\S+)", text_of("Containerfile"), re.MULTILINE)
    equal(stages[-1], "scratch")
    check('ENTRYPOINT ["/doze"]' in text_of("Containerfile"))


if __name__ == "__main__":
    tap.main(globals())
