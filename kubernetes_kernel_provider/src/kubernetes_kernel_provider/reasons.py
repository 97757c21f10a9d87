"""The table of reasons: why a kernel does not run, whether that can get better, and what to do.

It is the only place that says so: statuses, errors and the operators' page are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MISSING_OBJECT_PATIENCE = 5.0
"""Seconds in which whoever creates a kernel's objects may still create a missing one."""

WAITS = None


@dataclass(frozen=True)
class Reason:
    """One row.

    Parameters
    ----------
    word
        What `KernelStatus.reason` says.
    seen
        Where Kubernetes says it.
    patience
        Seconds after which the launch ends; 0 = at once, None = it waits up to its time-out.
    remedy
        What to do; the end of the message.
    """

    word: str
    seen: str
    patience: float | None
    remedy: str


TABLE: tuple[Reason, ...] = (
    # Refused before there is a pod.
    Reason("QuotaExceeded", "answer 403 `exceeded quota`", 0, "end other kernels, or ask for less"),
    Reason("LimitExceeded", "answer 403 of a LimitRange", 0, "ask for what the namespace's LimitRange allows"),
    Reason(
        "PodSecurity", "answer 403 `violates PodSecurity`", 0, "mend the pod's template, or choose another namespace"
    ),
    Reason("NoServiceAccount", "answer 403 `error looking up service account`", 0, "create it, or name another"),
    Reason("NoPriorityClass", "answer 403 `no PriorityClass`", 0, "name one of `kubectl get priorityclasses`"),
    Reason("NoRuntimeClass", "answer 403 `RuntimeClass`", 0, "name one of `kubectl get runtimeclasses`"),
    Reason(
        "NamespaceTerminating", "answer 403, cause `NamespaceTerminating`", 0, "wait for its end, or choose another"
    ),
    Reason("NoNamespace", "answer 404 for the namespace", 0, "create it, or choose another"),
    Reason("AdmissionDenied", "answer with `admission webhook`", 0, "satisfy the cluster's policy that it names"),
    Reason("PermissionDenied", "answer 401 or 403", 0, "grant this host the permission that it names"),
    Reason("InvalidManifest", "answer 400 or 422", 0, "mend the parameter or the template that it names"),
    Reason("ClusterRefused", "any other answer", 0, "see what the cluster says"),
    Reason("ClusterUnreachable", "no answer", 0, "check the way to the cluster"),
    # Waiting for a node.
    Reason(
        "Unschedulable",
        "condition `PodScheduled`, `Unschedulable`",
        WAITS,
        "wait for room or for a new node, or ask for less",
    ),
    Reason("SchedulingGated", "condition `PodScheduled`, `SchedulingGated`", WAITS, "wait for whoever holds its gate"),
    # Waiting for an image.
    Reason("Pulling", "event `Pulling`", WAITS, "wait, or choose a smaller image"),
    Reason("ImageNotFound", "`ErrImagePull`, `ImagePullBackOff`: not found", 0, "correct the image's name or tag"),
    Reason(
        "PullDenied",
        "`ErrImagePull`, `ImagePullBackOff`: denied",
        0,
        "give the pod image_pull_secrets for the registry",
    ),
    Reason(
        "RegistryUnreachable",
        "`ErrImagePull`, `ImagePullBackOff`: anything else",
        WAITS,
        "check the registry's name and the nodes' way to it",
    ),
    Reason("InvalidImageName", "`InvalidImageName`", 0, "correct the image's name"),
    Reason("ErrImageNeverPull", "`ErrImageNeverPull`", 0, "choose another pull_policy, or load the image on the node"),
    # Waiting for what the container needs.
    Reason("RunsAsRoot", "`CreateContainerConfigError`: root", 0, "give a uid, or an image with a user by number"),
    Reason(
        "CreateContainerConfigError",
        "`CreateContainerConfigError`: anything else",
        MISSING_OBJECT_PATIENCE,
        "create the object that it names, or take it out of the template",
    ),
    Reason(
        "CreateContainerError", "`CreateContainerError`, `RunContainerError`", MISSING_OBJECT_PATIENCE, "see the node"
    ),
    Reason(
        "FailedMount",
        "event `FailedMount`: a Secret, a ConfigMap or a key of one is not found",
        MISSING_OBJECT_PATIENCE,
        "create what it names, or take it out",
    ),
    Reason(
        "VolumeNotReady",
        "event `FailedMount`: anything else",
        WAITS,
        "wait until the volume's driver and server answer, or choose another",
    ),
    Reason(
        "FailedAttachVolume", "event `FailedAttachVolume`", WAITS, "wait until the volume is free, or choose another"
    ),
    Reason("FailedCreatePodSandBox", "event `FailedCreatePodSandBox`", WAITS, "see the node's network and runtime"),
    # Did not start.
    Reason(
        "CommandNotFound",
        "`StartError`: not found; `CreateContainerError`: no command",
        0,
        "mend argv, or install it in the image",
    ),
    Reason("CommandNotExecutable", "`StartError`: permission denied", 0, "mend argv, or its permissions in the image"),
    Reason("WorkingDirectory", "`StartError`: working directory", 0, "choose a working directory that the image has"),
    Reason("StartError", "`StartError`, `ContainerCannotRun`", 0, "see what the runtime says"),
    Reason("CrashLoopBackOff", "`CrashLoopBackOff`", 0, "see the logs of that container"),
    Reason("InitContainerFailed", "an init container that ended otherwise than 0", 0, "see the logs of that container"),
    # Ended.
    Reason("OOMKilled", "`OOMKilled`", 0, "use less data, or give it more memory_limit"),
    Reason("DeadlineExceeded", "pod `DeadlineExceeded`", 0, "give it more active_deadline"),
    Reason("Evicted", "pod `Evicted`", 0, "ask for more of what the node ran out of"),
    Reason(
        "Preempted", "condition `DisruptionTarget`, `PreemptionByScheduler`", 0, "start it again, or raise its priority"
    ),
    Reason(
        "Drained", "condition `DisruptionTarget`, `EvictionByEvictionAPI`", 0, "start it again: its node was emptied"
    ),
    Reason(
        "NodeLost",
        "condition `DisruptionTarget`, pod `NodeLost`, `ContainerStatusUnknown`",
        0,
        "start it again: its node is gone",
    ),
    Reason(
        "NodeShutdown",
        "pod `Terminated`, `NodeShutdown`, condition `TerminationByKubelet`",
        0,
        "start it again: its node was shut down",
    ),
    Reason("NodeRefused", "pod `OutOfcpu`, `NodeAffinity`, `UnexpectedAdmissionError` …", 0, "start it again"),
    Reason(
        "Deleted", "the pod's deletion by somebody else", 0, "start it again; somebody or something deleted its pod"
    ),
)

BY_WORD: Mapping[str, Reason] = {reason.word: reason for reason in TABLE}
