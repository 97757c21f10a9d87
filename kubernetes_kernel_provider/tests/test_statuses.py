"""The table of reasons, against documents that a Kubernetes 1.36.3 gave: pods, events, refused requests."""

import json
from pathlib import Path

import pytest

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.reasons import BY_WORD, TABLE
from kubernetes_kernel_provider.statuses import (
    Verdict,
    has_stopped,
    judge,
    judge_deleted,
    judge_event,
    read_event,
    refused,
)
from remote_kernel_provider.lifecycle import KernelStatus, Phase

RECORDED = Path(__file__).parent / "recorded"
PODS, EVENTS, REFUSALS = (
    json.loads((RECORDED / f"{name}.json").read_text()) for name in ("pods", "events", "refusals")
)

CASES = [
    # Pod, phase, reason, exit code, part of the message.
    ("running", Phase.RUNNING, "", None, ""),
    ("completed", Phase.SUCCEEDED, "Completed", 0, "ended by itself"),
    ("exit-code", Phase.FAILED, "Error", 3, "exit code 3"),
    ("killed", Phase.FAILED, "SIGKILL", -9, "signal 9"),
    ("out-of-memory", Phase.FAILED, "OOMKilled", -9, "out of memory of 64Mi"),
    ("deadline", Phase.FAILED, "DeadlineExceeded", None, "active_deadline"),
    ("evicted-by-storage", Phase.FAILED, "Evicted", None, "ephemeral local storage usage exceeds"),
    ("drained", Phase.FAILED, "Drained", None, "its node was emptied"),
    ("deleted", Phase.FAILED, "Deleted", 143, "deleted its pod"),
    ("no-command", Phase.FAILED, "CommandNotFound", None, "no command specified"),
    ("node-refused", Phase.FAILED, "NodeRefused", None, "Node didn't have enough resource: memory"),
    ("crash-loop", Phase.FAILED, "CrashLoopBackOff", None, "'beside' cannot be started: back-off"),
    ("sidecar-ended", Phase.RUNNING, "", None, ""),
    ("init-failed", Phase.FAILED, "InitContainerFailed", None, "'setup' ended with 5"),
    ("command-not-found", Phase.FAILED, "CommandNotFound", 128, "'no-such-command-anywhere'"),
    ("copying-not-found", Phase.FAILED, "CommandNotFound", 127, "'no-such-command-anywhere'"),
    ("not-executable", Phase.FAILED, "CommandNotExecutable", 128, "'/etc/passwd'"),
    ("working-directory", Phase.FAILED, "WorkingDirectory", 128, "not a directory"),
    ("invalid-image-name", Phase.FAILED, "InvalidImageName", None, "UPPER CASE"),
    ("never-pull", Phase.FAILED, "ErrImageNeverPull", None, "cluster.test/absent:1"),
    ("image-not-found", Phase.FAILED, "ImageNotFound", None, "nothing:1: not found"),
    ("pull-denied", Phase.FAILED, "PullDenied", None, "401 Unauthorized"),
    ("runs-as-root", Phase.FAILED, "RunsAsRoot", None, "will run as root"),
    ("registry-unreachable", Phase.PULLING, "RegistryUnreachable", None, "connection refused"),
    ("missing-secret", Phase.PENDING, "CreateContainerConfigError", None, 'secret "absent" not found'),
    ("missing-volume", Phase.STARTING, "", None, ""),
    ("scheduling-gated", Phase.PENDING, "SchedulingGated", None, "scheduling gates"),
    ("unbound-claim", Phase.PENDING, "Unschedulable", None, 'persistentvolumeclaim "nothing" not found'),
    ("unschedulable", Phase.PENDING, "Unschedulable", None, "1 Insufficient cpu, 1 Insufficient memory"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "phase", "reason", "code", "words"), CASES)
def test_a_pod(name, phase, reason, code, words):
    verdict = judge(PODS[name])
    status = verdict.status
    assert (status.phase, status.reason, status.exit_code) == (phase, reason, code)
    assert words in status.message
    assert "preemption" not in status.message
    if reason in BY_WORD:
        assert verdict.patience == BY_WORD[reason].patience
        assert status.message.endswith(BY_WORD[reason].remedy)


def test_every_recorded_pod_is_a_case():
    assert {name for name, *_ in CASES} == set(PODS)


def test_a_fresh_pod_waits_for_the_scheduler():
    pod = {"metadata": {}, "spec": {"containers": [{"name": "kernel"}]}, "status": {"phase": "Pending"}}
    assert judge(pod) == Verdict(KernelStatus(Phase.PENDING))


def test_a_pods_address_is_told():
    assert judge(PODS["running"]).status.address == PODS["running"]["status"]["podIP"]


def test_a_deleted_pod_says_what_ended_it():
    assert judge_deleted(PODS["running"]).reason == "Deleted"
    assert judge_deleted(PODS["drained"]).reason == "Drained"
    assert judge_deleted(PODS["completed"]).phase is Phase.SUCCEEDED


def test_the_end_of_another_container_is_not_the_kernels():
    pod = json.loads(json.dumps(PODS["running"]))
    sidecar = {**PODS["exit-code"]["status"]["containerStatuses"][0], "name": "sidecar"}
    pod["spec"]["containers"].insert(0, {"name": "sidecar"})
    pod["status"]["containerStatuses"].insert(0, sidecar)
    assert judge(pod).status.phase is Phase.RUNNING


def judged(events, verdict: Verdict) -> Verdict:
    """The verdict with what the events of a pod say, in whatever order they are heard."""
    last = None
    for event in events:
        last = read_event(event, last)
    return judge_event(last, verdict)


def test_a_mount_that_fails_is_known_from_events_alone():
    verdict = judged(EVENTS["missing-volume"], judge(PODS["missing-volume"]))
    assert (verdict.status.phase, verdict.status.reason) == (Phase.PENDING, "FailedMount")
    assert 'secret "absent" not found' in verdict.status.message
    assert verdict.patience == BY_WORD["FailedMount"].patience
    assert judged(reversed(EVENTS["missing-volume"]), judge(PODS["missing-volume"])) == verdict
    end = verdict.given_up()
    assert (end.phase, end.reason, end.message) == (Phase.FAILED, "FailedMount", verdict.status.message)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ('configmap "absent" not found', "FailedMount"),
        ("references non-existent secret key: token", "FailedMount"),
        ("references non-existent config key: token", "FailedMount"),
        # A fresh node says these for a while.
        ("driver name ebs.csi.aws.com not found in the list of registered CSI drivers", "VolumeNotReady"),
        ('object "team"/"kube-root-ca.crt" not registered', "VolumeNotReady"),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", "VolumeNotReady"),
    ],
)
def test_a_mount_that_may_still_succeed_is_waited_for(words, reason):
    event = {**EVENTS["missing-volume"][-1], "reason": "FailedMount", "message": f'volume "d" : {words}'}
    verdict = judged([event], judge(PODS["missing-volume"]))
    assert (verdict.status.reason, verdict.patience) == (reason, BY_WORD[reason].patience)
    assert verdict.patience is None or reason == "FailedMount"


def test_our_own_secret_may_come_late():
    words = 'MountVolume.SetUp failed for volume "remote-kernel-connection" : secret "remote-kernel-x" not found'
    events = [{**event, "message": words} for event in EVENTS["missing-volume"] if event["reason"] == "FailedMount"]
    assert judged(events, judge(PODS["missing-volume"])).patience is None


def test_a_pull_is_known_from_events_alone():
    pulling = [event for event in EVENTS["registry-unreachable"] if event["reason"] == "Pulling"]
    verdict = judged(pulling, judge(PODS["missing-volume"]))
    assert (verdict.status.phase, verdict.status.reason, verdict.patience) == (Phase.PULLING, "Pulling", None)


def test_events_do_not_contradict_a_pod_that_runs():
    verdict = judge(PODS["running"])
    assert judged(EVENTS["running"], verdict) == verdict


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("quota", "QuotaExceeded", "requested: pods=1"),
        ("pod-security", "PodSecurity", "runAsNonRoot"),
        ("limit-range", "LimitExceeded", "maximum memory usage per Container is 1Gi"),
        ("service-account", "NoServiceAccount", '"absent" not found'),
        ("priority-class", "NoPriorityClass", "absent"),
        ("runtime-class", "NoRuntimeClass", '"absent"'),
        ("namespace", "NoNamespace", '"absent" not found'),
        ("namespace-terminating", "NamespaceTerminating", "being terminated"),
        ("admission-policy", "AdmissionDenied", "denied request: pods of kernels are not welcome here"),
        ("permission", "PermissionDenied", 'cannot create resource "pods"'),
        ("quantity", "InvalidManifest", "quantities must match"),
        ("unknown-field", "InvalidManifest", 'unknown field "spec.nodeSelektor"'),
        ("invalid", "InvalidManifest", "spec.volumes[0].name"),
    ],
)
def test_a_refusal(name, reason, words):
    document = REFUSALS[name]
    status = refused(ClusterError.from_status(document["status"], document["code"]))
    assert (status.phase, status.reason) == (Phase.FAILED, reason)
    assert words in status.message
    remedy = "rules: [{apiGroups: [''], resources: [pods], verbs: [create]}]" if name == "permission" else ""
    assert status.message.endswith(remedy or BY_WORD[reason].remedy)


def test_other_refusals():
    assert refused(ClusterError("no route to it")).reason == "ClusterUnreachable"
    assert refused(ClusterError("internal error", 500)).reason == "ClusterRefused"
    webhook = ClusterError('admission webhook "acme.test" denied the request: no', 400)
    assert refused(webhook).reason == "AdmissionDenied"


def test_the_table_names_each_reason_once_and_says_what_to_do():
    assert len(BY_WORD) == len(TABLE)
    assert all(reason.seen and reason.remedy for reason in TABLE)


@pytest.mark.parametrize(
    ("name", "stopped"), [("completed", True), ("exit-code", True), ("running", False), ("unschedulable", False)]
)
def test_whether_anything_of_a_pod_runs(name, stopped):
    assert has_stopped(PODS[name]) is stopped


def test_a_pod_runs_while_one_of_its_containers_does():
    pod = json.loads(json.dumps(PODS["exit-code"]))
    pod["status"]["containerStatuses"].append({"name": "side", "state": {"running": {}}})
    assert not has_stopped(pod)
