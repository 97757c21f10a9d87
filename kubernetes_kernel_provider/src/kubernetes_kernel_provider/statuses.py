"""From what the cluster says of a pod, of its events or of a refused request to a status with an exact reason.

Pure functions. The pod's `phase` is read last: it says less than container statuses and conditions, and a second later.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.manifests.connection import copied_for
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from kubernetes_kernel_provider.manifests.volumes import OUR_PREFIX
from kubernetes_kernel_provider.reasons import BY_WORD
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.lifecycle import KernelStatus, Phase

Document = Mapping[str, Any]

GONE = KernelStatus(Phase.GONE, reason="Gone", message="its pod does not exist any more")
MAX_WORDS = 400


@dataclass(frozen=True)
class Verdict:
    """A status, and how long to wait for a better one.

    Parameters
    ----------
    status
        What is the case. Of a case that can get better the phase is one of waiting.
    patience
        Seconds after which the case counts as the end; None = it may get better at any time.
    """

    status: KernelStatus
    patience: float | None = None

    def given_up(self) -> KernelStatus:
        """Return the status when patience is over."""
        return KernelStatus(Phase.FAILED, self.status.address, self.status.reason, self.status.message)

    def while_away(self, error: ClusterError) -> Verdict:
        """Return what is to be said when the cluster does not answer what its next step needs."""
        return Verdict(replace(self.status, reason="ClusterUnreachable", message=f"{error}; it is asked again"))


_REFUSALS: tuple[tuple[str, str], ...] = (
    # Pattern of the API server's words, reason. The first that matches counts.
    (r"exceeded quota|failed quota", "QuotaExceeded"),
    (r"violates PodSecurity", "PodSecurity"),
    (r"error looking up service account|serviceaccount .* not found", "NoServiceAccount"),
    (r"no PriorityClass with name", "NoPriorityClass"),
    (r"RuntimeClass.* not found|runtimeclass", "NoRuntimeClass"),
    (r"(maximum|minimum) .* usage per", "LimitExceeded"),
    (r"admission webhook|ValidatingAdmissionPolicy", "AdmissionDenied"),
    (r"namespaces? \"[^\"]*\" not found", "NoNamespace"),
)

_PULLS: tuple[tuple[str, str], ...] = (
    (r"denied|unauthorized|\b401\b|\b403\b|authorization failed|authentication required", "PullDenied"),
    (r"not found|manifest unknown|does not exist|no match for platform", "ImageNotFound"),
)

_MOUNTS: tuple[tuple[str, str], ...] = (
    (r"(secret|configmap) \"[^\"]*\" not found|references non-existent (secret|config) key", "FailedMount"),
)

_STARTS: tuple[tuple[str, str], ...] = (
    (r"chdir to cwd|container init: mkdir|working directory", "WorkingDirectory"),
    (r"permission denied|exec format error", "CommandNotExecutable"),
    (r"executable file not found|no such file or directory", "CommandNotFound"),
)

_SHELL_WORDS: Mapping[int, str] = {126: "CommandNotExecutable", 127: "CommandNotFound"}
"""What the exit code of a shell says that was to become the kernel."""

_NO_COMMAND = "no command specified"
"""What a runtime says when neither the pod nor the image names one."""

_WAITING_WORDS: Mapping[str, str] = {
    "InvalidImageName": "InvalidImageName",
    "ErrImageNeverPull": "ErrImageNeverPull",
    "CreateContainerError": "CreateContainerError",
    "RunContainerError": "CreateContainerError",
    "CrashLoopBackOff": "CrashLoopBackOff",
}

_POD_WORDS: Mapping[str, str] = {
    "DeadlineExceeded": "DeadlineExceeded",
    "Evicted": "Evicted",
    "NodeLost": "NodeLost",
    "Terminated": "NodeShutdown",
    "NodeShutdown": "NodeShutdown",
    "Preempting": "Preempted",
    "UnexpectedAdmissionError": "NodeRefused",
    "NodeAffinity": "NodeRefused",
}

_DISRUPTIONS: Mapping[str, str] = {
    "PreemptionByScheduler": "Preempted",
    "EvictionByEvictionAPI": "Drained",
    "DeletionByTaintManager": "NodeLost",
    "DeletionByPodGC": "NodeLost",
    "TerminationByKubelet": "NodeShutdown",
}


def refused(error: ClusterError) -> KernelStatus:
    """Return why the cluster refused to create what a kernel needs."""
    words = str(error)
    if error.code == 0:
        word = "ClusterUnreachable"
    elif "NamespaceTerminating" in error.causes or "because it is being terminated" in words:
        word = "NamespaceTerminating"
    else:
        fallback = {400: "InvalidManifest", 422: "InvalidManifest", 401: "PermissionDenied", 403: "PermissionDenied"}
        word = _first(_REFUSALS, words, fallback.get(error.code, "ClusterRefused"))
    if word == "PermissionDenied":  # as it is: it holds the rules to add
        return KernelStatus(Phase.FAILED, reason=word, message=f"the cluster refused it: {words}")
    return _status(Phase.FAILED, word, f"the cluster refused it: {words}" if error.code else words)


def judge(pod: Document) -> Verdict:
    """Return the verdict on a pod as the API gives it."""
    status: Document = pod.get("status") or {}
    address = str(status.get("podIP") or "")
    end = _end(pod, status)
    if end is not None:
        return Verdict(KernelStatus(end.phase, address, end.reason, end.message, end.exit_code), 0)
    kernel = _kernel_status(pod, status)
    if kernel is not None and "running" in kernel.get("state", {}):
        return Verdict(KernelStatus(Phase.RUNNING, address))
    for container in _all_containers(status):
        verdict = _waiting(container, kernel)
        if verdict is not None:
            return verdict
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            word = "SchedulingGated" if condition.get("reason") == "SchedulingGated" else "Unschedulable"
            return _verdict(Phase.PENDING, word, _would_fit(str(condition.get("message", ""))))
    if (pod.get("spec") or {}).get("nodeName"):
        return Verdict(KernelStatus(Phase.STARTING, address))
    return Verdict(KernelStatus(Phase.PENDING))


def has_stopped(pod: Document) -> bool:
    """Whether all containers of a pod have ended, so that nothing of it runs; its phase says so a second later."""
    containers = [*_all_containers(pod.get("status") or {})]
    return bool(containers) and all("terminated" in (each.get("state") or {}) for each in containers)


def judge_deleted(pod: Document) -> KernelStatus:
    """Return the last that is heard of a pod: what ended it, else that somebody deleted it."""
    status: Document = pod.get("status") or {}
    return _end(pod, status) or _status(Phase.FAILED, "Deleted", "its pod was deleted")


@dataclass(frozen=True)
class Event:
    """What an event says of a pod.

    Parameters
    ----------
    order
        When it was said, comparable.
    word, words
        Its reason and message.
    """

    order: str
    word: str
    words: str


def read_event(document: Document, known: Event | None) -> Event:
    """Return the later of an event, as the API gives it, and of what is known of its pod."""
    event = Event(_event_time(document), str(document.get("reason", "")), str(document.get("message", "")))
    return event if known is None or known.order <= event.order else known


def judge_event(event: Event | None, verdict: Verdict) -> Verdict:
    """Return a verdict with what only events tell: pulls, mounts, sandboxes.

    Parameters
    ----------
    event
        The last of the pod's.
    verdict
        On the pod; one that already names a reason stays as it is.
    """
    if event is None or not needs_events(verdict):
        return verdict
    if event.word == "Pulling":
        return _verdict(Phase.PULLING, event.word, event.words)
    if event.word == "FailedMount":
        found = _verdict(Phase.PENDING, _first(_MOUNTS, event.words, "VolumeNotReady"), event.words)
        # Our own Secret comes right after the pod, which then cannot mount it for a moment.
        return Verdict(found.status) if f'"{OUR_PREFIX}' in event.words else found
    if event.word in ("FailedAttachVolume", "FailedCreatePodSandBox"):
        return _verdict(Phase.PENDING, event.word, event.words)
    return verdict


def needs_events(verdict: Verdict) -> bool:
    """Whether the pod itself does not say what it waits for."""
    return verdict.status.phase is Phase.STARTING and not verdict.status.reason


def _end(pod: Document, status: Document) -> KernelStatus | None:
    """Return how a pod ended; None while it has not."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            word = _DISRUPTIONS.get(str(condition.get("reason")), "Drained")
            return _status(Phase.FAILED, word, str(condition.get("message") or "its pod was chosen to make room"))
    # Before the containers: after a deadline or an eviction, these only tell of a SIGKILL.
    word = str(status.get("reason") or "")
    if word and status.get("phase") == "Failed":
        known = _POD_WORDS.get(word, "NodeRefused" if word.startswith("OutOf") else "")
        if known:
            return _status(Phase.FAILED, known, str(status.get("message") or word))
    kernel = _kernel_status(pod, status)
    ended = (kernel or {}).get("state", {}).get("terminated")
    if kernel is not None and ended:
        return _terminated(pod, kernel, ended)
    again = _restarted(pod)
    for container in status.get("initContainerStatuses") or ():
        ended = container.get("state", {}).get("terminated")
        if ended and ended.get("exitCode") != 0 and container.get("name") not in again:
            name, code = container.get("name"), ended.get("exitCode")
            said = f": {_plain(str(ended['message']))}" if ended.get("message") else ""
            return _status(Phase.FAILED, "InitContainerFailed", f"its init container '{name}' ended with {code}{said}")
    if status.get("phase") == "Failed":
        return KernelStatus(
            Phase.FAILED, reason=word or "Failed", message=str(status.get("message") or "its pod failed")
        )
    return None


def _terminated(pod: Document, kernel: Document, ended: Document) -> KernelStatus:
    word, code, words = str(ended.get("reason", "")), int(ended.get("exitCode", 0)), str(ended.get("message") or "")
    container: Document = kernel_container(pod.get("spec") or {}) or {}
    command, image = container.get("command") or ["of the image"], kernel.get("image")
    if word in ("StartError", "ContainerCannotRun"):
        said = f"its command '{command[0]}' could not be started in the image '{image}': {_plain(words)}"
        return _status(Phase.FAILED, _first(_STARTS, words, "StartError"), said, code)
    if code in _SHELL_WORDS and (behind_shell := copied_for(command)):
        said = f"its command '{behind_shell[0]}' could not be started in the image '{image}'"
        return _status(Phase.FAILED, _SHELL_WORDS[code], said, code)
    if word == "OOMKilled":
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        limited = f" of {limit}" if limit else ""
        return _status(
            Phase.FAILED, "OOMKilled", f"it ran out of memory{limited}: its process was killed", -signal.SIGKILL
        )
    # Of a container that never started nobody knows what became of it; one that is asked to end may return 0.
    if pod["metadata"].get("deletionTimestamp"):
        return _status(Phase.FAILED, "Deleted", "its pod was deleted", code)
    if word == "ContainerStatusUnknown":
        return _status(Phase.FAILED, "NodeLost", words or "nobody knows what became of its container", code)
    # The runtime tells the end by a signal as 128 and its number.
    return explain_exit(128 - code if 128 < code <= 128 + signal.NSIG else code, False)


def _waiting(container: Document, kernel: Document | None) -> Verdict | None:
    """Return what a container waits for, where that is worth saying."""
    state = container.get("state", {}).get("waiting") or {}
    word, words = str(state.get("reason", "")), str(state.get("message") or "")
    image = container.get("image")
    if word in ("ErrImagePull", "ImagePullBackOff"):
        found = _first(_PULLS, words, "RegistryUnreachable")
        return _verdict(Phase.PULLING, found, f"the image '{image}' cannot be pulled: {_plain(words or word)}")
    if word == "CreateContainerConfigError":
        found = "RunsAsRoot" if re.search(r"\broot\b|non-numeric user", words) else word
        return _verdict(Phase.PENDING, found, words)
    if word in _WAITING_WORDS:
        whose = "its container" if container is kernel else f"its container '{container.get('name')}'"
        found = "CommandNotFound" if _NO_COMMAND in words else _WAITING_WORDS[word]
        return _verdict(Phase.PENDING, found, f"{whose} cannot be started: {_plain(words or word)}")
    return None


def _would_fit(words: str) -> str:
    """Return the scheduler's words, which name each obstacle with the number of nodes that have it."""
    # What preemption could not do either says nothing to a user.
    return re.split(r"[.,]?( no new claims to deallocate,)? preemption:", words)[0] or "no node takes it"


def _kernel_status(pod: Document, status: Document) -> Document | None:
    container = kernel_container(pod.get("spec") or {})
    name = "kernel" if container is None else container.get("name")
    return next((found for found in status.get("containerStatuses") or () if found.get("name") == name), None)


def _restarted(pod: Document) -> set[str]:
    """Return the containers beside the kernel's that the node starts again whenever they end."""
    beside = (pod.get("spec") or {}).get("initContainers") or ()
    return {str(each.get("name")) for each in beside if each.get("restartPolicy") == "Always"}


def _all_containers(status: Document) -> Iterator[Document]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _event_time(event: Document) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("eventTime"), event.get("lastTimestamp"))
    # RFC 3339: comparable as text, to the second, which microseconds only prolong.
    stamp = max((str(each) for each in times if each), default="")
    return stamp[:19] + str(event["metadata"].get("resourceVersion", "")).rjust(24)


def _first(patterns: Iterable[tuple[str, str]], words: str, otherwise: str) -> str:
    return next((word for pattern, word in patterns if re.search(pattern, words, re.IGNORECASE)), otherwise)


def _verdict(phase: Phase, word: str, words: str) -> Verdict:
    patience = BY_WORD[word].patience
    return Verdict(_status(Phase.FAILED if patience == 0 else phase, word, words), patience)


def _status(phase: Phase, word: str, words: str, code: int | None = None) -> KernelStatus:
    return KernelStatus(phase, "", word, f"{_plain(words)}; {BY_WORD[word].remedy}", code)


def _plain(words: str) -> str:
    words = re.sub(r"\s+", " ", words).strip().rstrip(".;")
    return words if len(words) <= MAX_WORDS else words[: MAX_WORDS - 1] + "…"
