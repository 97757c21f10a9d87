"""Hosts that die, and what the sweep and the command line find of them."""

import json
import signal

import pytest
from hosts import Leases, dying_program, host_elsewhere, remote_kernel

from kubernetes_kernel_provider import removal
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.manifests import secret_name
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.sweep import find_orphans, sweep_dead
from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

STEPS = {
    "before the lease": "at_request('POST', 'leases', before=True)",
    "after the lease": "at_request('POST', 'leases', before=False)",
    "before the pod": "at_request('POST', 'pods', before=True)",
    "after the pod": "at_request('POST', 'pods', before=False)",
    "before the Secret": "at_request('POST', 'secrets', before=True)",
    "after the Secret": "at_request('POST', 'secrets', before=False)",
    "while there is no room": "at_status(lambda status: status.reason == 'Unschedulable')",
    "when it runs": "at_status(lambda status: status.phase.value == 'running')",
    "when it has answered": "when_answered()",
}
"""Steps of a launch, and the hook that kills its host there."""

WITH_PODS = set(STEPS) - {"before the lease", "after the lease", "before the pod"}


def test_killed_at_every_step_of_a_launch(kernels, in_namespace, monkeypatch):
    """Nothing is left after the sweep, and nothing of a living host is touched."""
    monkeypatch.setenv("RKP_SWEEP", "false")  # of the programs, which would sweep each other's
    kernels.add_spec("huge", ("python", "{connection_file}"), config={"memory": "900Ti"})
    living = kernels.start("light")
    programs = {
        step: dying_program(hook, "huge" if step == "while there is no room" else "light")
        for step, hook in STEPS.items()
    }
    for step, program in programs.items():
        output, _ = program.communicate(timeout=120)
        assert program.returncode == -signal.SIGKILL, f"{step}: {output}"
    orphans = run(find_orphans(kernels.host, [kernels.lifecycle]))
    assert len(orphans) == len(WITH_PODS)
    run(sweep_dead(kernels.host))
    lease, pod = Leases(in_namespace).one(), living.resource.data["pod"]
    assert lease.spec.holder_identity == kernels.host.identity.place
    own = [f"V1Lease {lease.metadata.name}", f"V1Pod {pod}", f"V1Secret {secret_name(pod)}"]
    until(lambda: sorted(in_namespace.objects()) == own, 20, "nothing is left but the living host's kernel")
    assert run(living.is_alive())


def test_another_kernels_secret_is_not_believed(kernels, in_namespace):
    one, other = kernels.start("light"), kernels.start("light")
    mine, theirs = (secret_name(manager.resource.data["pod"]) for manager in (one, other))
    document = in_namespace.api.read_namespaced_secret(theirs, in_namespace.name)
    in_namespace.api.delete_namespaced_secret(mine, in_namespace.name)
    with pytest.raises(KernelGoneError, match="nothing is kept"):
        run(kernels.lifecycle.recall(one.resource))
    document.metadata.name, document.metadata.resource_version, document.metadata.uid = mine, None, None
    in_namespace.api.create_namespaced_secret(in_namespace.name, document)
    with pytest.raises(KernelGoneError, match="was not written by this user's host"):
        run(kernels.lifecycle.recall(one.resource))
    assert run(kernels.lifecycle.recall(other.resource)).connection.key == other.connection.key
    in_namespace.api.delete_namespaced_secret(mine, in_namespace.name)


def test_a_pod_that_a_finalizer_keeps(kernels, in_namespace, monkeypatch, caplog):
    monkeypatch.setattr(removal, "FINALIZING", 4.0)
    with OtherHost("k8skp", "light") as kept, OtherHost("k8skp", "light") as other:
        left, gone = kept.resource(), other.resource()
        name = left.data["pod"]
        _set_finalizers(in_namespace, name, ["tests.example/keep"])
        kept.kill()
        other.kill()
        assert len(kernels.find()) == 2
        run(sweep_dead(kernels.host))
        assert gone.id not in [resource.id for resource in kernels.find()]
        (warning,) = [record.getMessage() for record in caplog.records if "could not be swept" in record.getMessage()]
        assert left.kernel_id in warning
        with pytest.raises(ClusterError, match=r"tests\.example/keep.*kubectl patch pod"):
            run(kernels.lifecycle.delete(left, 0))
        _set_finalizers(in_namespace, name, None)
    until(lambda: not kernels.find(), 20, "the pod goes with its finalizer")
    run(sweep_dead(kernels.host))


def _set_finalizers(namespace, pod: str, finalizers: list[str] | None) -> None:
    namespace.api.patch_namespaced_pod(pod, namespace.name, {"metadata": {"finalizers": finalizers}})


def test_what_is_not_kept_by_finalizers_is_no_error():
    ended = {"namespace": "n", "name": "p", "deletionGracePeriodSeconds": 0}
    for metadata in ({}, ended, {**ended, "deletionGracePeriodSeconds": 5, "finalizers": ["a/b"]}):
        removal.check_finalizers({"metadata": metadata})
    with pytest.raises(ClusterError, match=r"pod n/p has ended, and its finalizers .*\(a/b, c/d\)"):
        removal.check_finalizers({"metadata": {**ended, "finalizers": ["a/b", "c/d"]}})


def test_the_command_line_lists_logs_stops_and_sweeps(kernels, in_namespace, tmp_path):
    kernels.add_spec("talking", (
        "python", "-c", "from ipykernel.kernelapp import launch_new_instance; print('its words', flush=True); "
        "launch_new_instance(['-f', '{connection_file}'])",
    ))  # fmt: skip
    own = kernels.start("talking")
    with OtherHost("k8skp", "light") as other:
        foreign = other.resource()
        listed = {kernel["id"]: kernel for kernel in json.loads(remote_kernel("ps", "--json").stdout)}
        assert {kernel["host"] for kernel in listed.values()} == {"alive"}
        assert "its words" in remote_kernel("logs", own.kernel_id).stdout
        assert remote_kernel("sweep").stderr == "Nothing to sweep.\n"
        other.kill()
    listed = {kernel["id"]: kernel["host"] for kernel in json.loads(remote_kernel("ps", "--json").stdout)}
    assert listed == {own.kernel_id: "alive", foreign.kernel_id: "dead"}
    swept = remote_kernel("sweep")
    assert foreign.kernel_id in swept.stdout
    assert swept.stdout.endswith("Removed 1 kernel(s) and 1 other object(s).\n"), swept  # its host's lease
    assert [kernel["id"] for kernel in json.loads(remote_kernel("ps", "--json").stdout)] == [own.kernel_id]
    # Of a living host on another machine nothing is swept, not even by force.
    elsewhere = host_elsewhere(tmp_path / "elsewhere")
    state = run(elsewhere.lifecycle.host_state(own.resource))
    assert (state.word, state.dead_since) == ("alive", None)
    run(elsewhere.host.close())
    assert remote_kernel("stop", own.kernel_id).returncode == 0
    run(own.wait(), 20)
    run(own.cleanup())
    assert in_namespace.objects() == []
