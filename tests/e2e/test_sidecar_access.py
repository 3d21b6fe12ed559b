#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`doze sidecar`: tokens, certificates, rights and versions of the API server.

usage: test_sidecar_access.py [PART-OF-A-NAME]      prints TAP; exit status 1 if a test failed
"""
import os
import time

from confined import differences
from pod import PROMPT_MS, check, over_http2
from sidecar import (BURSTABLE, GUARANTEED, MARGIN_MS, UP, WAKE_TIMEOUT_MS, check_recovery, errors_of,
                     main, new_pod, sleeping_pod, test)


# --- who we are, whom we trust ---


@test([(grace_s,) for grace_s in (0, 3600)])
def a_rotated_token_is_read_again_and_the_old_one_is_good_for(grace_s):
    pod = sleeping_pod()
    old = pod.server.token
    pod.server.rotate_token(old_lifetime_s=grace_s)
    pod.server.requests.clear()
    pod.expect_answer(PROMPT_MS)
    pod.until_full()
    used = {r.headers.get("Authorization") for r in pod.server.requests}
    check(f"Bearer {old}" not in used, "the old token is still sent")
    pod.wait_asleep()


@test()
def a_token_that_expired_before_the_file_was_replaced_is_asked_for_again():
    pod = sleeping_pod()
    pod.server.rotate_token(write=False)
    result = pod.begin_request()
    pod.server.requests.wait(lambda r: r.status == 401)
    pod.server.write_account()
    pod.expect_answer(WAKE_TIMEOUT_MS, answer=result())
    check_recovery(pod)


@test()
def a_token_that_is_no_longer_good_changes_nothing_in_what_is_asked_for():
    """Limits alone are granted at once; limits and requests have to wait for the scheduler."""
    pod = sleeping_pod()
    fault = pod.server.faults.add(UP, 401, times=None)
    for _ in range(3):
        pod.expect_answer(PROMPT_MS)
    pod.server.requests.wait(lambda r: r.status == 401 and r.size == "up", count=6)
    fault.remove()
    pod.until_full()
    refused = [r for r in pod.server.requests.resizes("up") if r.status == 401]
    check(not any(b'"250m"' in r.raw for r in refused), "the request was asked for as well")
    check_recovery(pod)


@test()
def a_pod_sleeps_and_wakes_over_http2():
    pod = new_pod(**over_http2())
    pod.start_doze()
    pod.wait_asleep()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check_recovery(pod)
    pod.server.drop_connections()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check_recovery(pod)


@test()
def a_rotated_ca_is_read_again():
    pod = sleeping_pod()
    pod.server.rotate_ca()
    pod.server.drop_connections()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)


@test()
def a_ca_that_is_written_after_the_server_has_changed_is_found_then():
    pod = sleeping_pod()
    pod.server.rotate_ca(write=False)
    pod.server.drop_connections()
    result = pod.begin_request()
    pod.doze.lines.wait("certificate")
    pod.server.write_account()
    pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS, answer=result())
    check_recovery(pod)


@test()
def an_api_server_that_was_away_is_found_again():
    pod = sleeping_pod()
    pod.server.go_down()
    answer = pod.expect_answer(WAKE_TIMEOUT_MS + MARGIN_MS)
    check(answer.elapsed_ms > WAKE_TIMEOUT_MS - 100, f"too early: {answer}")
    pod.server.come_back()
    check_recovery(pod)


@test([(what, inline) for what in ("token", "certificate") for inline in ("inline", "by path")])
def a_kubeconfig_is_enough_with_a(what, inline):
    pod = new_pod()
    path = os.path.join(pod.directory, "config")
    pod.server.write_kubeconfig(path, with_certificate=what == "certificate",
                                inline=inline == "inline")
    pod.start_doze("--kubeconfig", path, KUBERNETES_SERVICE_HOST=None,
                   KUBERNETES_SERVICE_PORT=None, KUBERNETES_SERVICE_PORT_HTTPS=None,
                   DOZE_SERVICE_ACCOUNT_DIR="/nowhere")
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)
    users = {r.user for r in pod.server.requests}
    check(users == {"admin" if what == "certificate" else pod.server.account.user}, str(users))


# --- rights and versions ---


@test()
def a_sidecar_and_its_supervisor_keep_what_the_page_says():
    doze = new_pod().start_doze()
    supervisor = "supervisor of doze sidecar"
    wrong = differences(doze.daemon_pid, "doze sidecar", parent=supervisor) + \
        differences(doze.pid, supervisor)
    check(not wrong, wrong)


@test()
def the_role_of_the_manifests_is_enough():
    pod = new_pod()
    pod.server.allow_only()
    pod.start_doze()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)
    check_recovery(pod)
    refused = pod.server.requests.select(where=lambda r: r.status == 403)
    check(not refused, f"refused: {[(r.method, r.path) for r in refused]}")


VERSIONS = [(version, kind) for version in ("1.30", "1.33", "1.34")
            for kind in (BURSTABLE, GUARANTEED)]


@test(VERSIONS)
def it_works_with_kubernetes(version, kind):
    pod = new_pod(kind, version=version)
    pod.start_doze()
    pod.wait_asleep()
    answer = pod.expect_answer(PROMPT_MS)
    check(answer.retransmitted == 0, f"the SYN was sent again: {answer}")
    check_recovery(pod)
    paths = {r.route for r in pod.server.requests if r.method == "PATCH"}
    wanted = "/api/v1/namespaces/default/pods/web" + ("" if version == "1.30" else "/resize")
    check(paths == {wanted}, f"patched {paths}")
    is_said = bool(pod.doze.lines.matching("no pods/resize"))
    check(is_said == (version == "1.30"), "what the log says of pods/resize")


# --- a server that is not there ---


def break_ca(pod):
    with open(os.path.join(pod.server.account_directory, "ca.crt"), "w", encoding="ascii") as file:
        file.write("no certificate\n")


@test([("an unusable CA", break_ca, {}),
       ("a wrong address", None, {"KUBERNETES_SERVICE_HOST": "192.0.2.77"}),
       ("a wrong port", None, {"KUBERNETES_SERVICE_PORT_HTTPS": "1"}),
       ("an untrusted server", lambda pod: pod.server.faults.add(kind="tls-untrusted"), {}),
       ("a server of another name", lambda pod: pod.server.faults.add(kind="tls-name"), {})])
def the_server_is_asked_again_and_the_target_is_left_alone_with(_name, prepare, changes):
    pod = new_pod()
    if prepare:
        prepare(pod)
    pod.launch_doze(level="info", **changes)
    pod.doze.lines.wait("level=error", "cannot read the pod")
    pod.doze.lines.wait("its traffic passes: trying again")
    check(len(errors_of(pod.doze)) <= 2, f"said: {errors_of(pod.doze)}")
    check(pod.is_full and not pod.server.requests.resizes(), "the target was touched")
    pod.expect_answer(PROMPT_MS)
    begun_s = time.monotonic()
    check(pod.stop_doze() == 0, "exit status")
    check(time.monotonic() - begun_s < 1, "it does not end at once")


@test()
def an_api_server_that_comes_late_is_waited_for():
    pod = new_pod()
    pod.server.go_down()
    pod.launch_doze()
    pod.doze.lines.wait("its traffic passes: trying again")
    pod.server.come_back()
    pod.wait_asleep()
    pod.expect_answer(PROMPT_MS)


if __name__ == "__main__":
    main()
