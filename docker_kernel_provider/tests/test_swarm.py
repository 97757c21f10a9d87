"""What is particular to kernels in services of a Swarm."""

import base64
import json
import signal
import uuid

import pytest
from docker.errors import APIError
from engine import registry as registries
from engine.dying import killed_before
from engine.images import KERNEL
from engine.python_image import make_python_image
from engine.registry import PASSWORD, USER, Registry
from engine.swarm_provider import SwarmProvider

from docker_kernel_provider.swarm.route import published_at
from docker_kernel_provider.swarm.service import command_of
from docker_kernel_provider.swarm.tasks import Seen, status_of_task
from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.errors import (
    KernelGoneError,
    LaunchError,
    LaunchTimeoutError,
    RefusedError,
)
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.sweep import delete_orphan, find_orphans
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run, until

TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
PYTHON = ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}")
CONFIG = {"image_name": KERNEL, "transport_encryption": "disabled"}

slow = pytest.mark.slow


@pytest.fixture
def kernels(make_kernels, swarm, image):
    image(KERNEL)
    return make_kernels(provider=SwarmProvider)


@pytest.fixture
def nothing_left(kernels, swarm):
    """Check that a Swarm has nothing of the test's kernels."""

    def check() -> None:
        labels = {"label": f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"}
        client = swarm.client
        lists = [client.services(filters=labels), client.secrets(filters=labels)]
        assert [*lists, client.containers(all=True, filters=labels), kernels.find()] == [[], [], [], []]

    yield check
    kernels.close()
    check()


def fail(kernels, **config) -> LaunchError:
    kernels.add_spec("failing", TINY, config=config)
    with pytest.raises(LaunchError) as failure:
        kernels.start("failing")
    return failure.value


def task_of(swarm, manager):
    (task,) = swarm.client.tasks(filters={"service": manager.resource.id})
    return task


# What cannot be launched


@slow
def test_an_image_that_no_node_has(kernels, nothing_left, tmp_path):
    if why := registries.obstacle():
        pytest.skip(why)
    with Registry(tmp_path / "registry") as registry:
        error = fail(kernels, image_name=f"{registry.host}/none:1")
        assert (error.status.phase, error.status.reason) == (Phase.FAILED, "ImageNotFound")
        assert f"{registry.host}/none:1" in str(error)
    nothing_left()


@slow
@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"constraints": ["node.labels.gpu==true"]}, "scheduling constraints not satisfied"),
        ({"memory": "900Ti"}, "insufficient resources"),
        ({"gpus": "1"}, "insufficient resources"),
    ],
)
def test_what_no_node_fits_is_waited_for(kernels, nothing_left, config, why):
    error = fail(kernels, wait_timeout=2, **config)
    assert isinstance(error, LaunchTimeoutError)
    assert (error.status.phase, error.status.reason) == (Phase.PENDING, "Unschedulable")
    assert why in str(error)
    assert "wait_timeout" in str(error)
    nothing_left()


@slow
def test_a_network_that_is_not_there(kernels, nothing_left):
    error = fail(kernels, networks=["rkp-test-none"])
    assert error.status.reason == "NetworkNotFound"
    assert "rkp-test-none" in str(error)
    nothing_left()


@slow
def test_a_constraint_that_is_none(kernels, nothing_left):
    error = fail(kernels, constraints=["rubbish"])
    assert "rubbish" in str(error) or "constraint" in str(error)
    assert error.status.phase is Phase.FAILED
    nothing_left()


@slow
def test_a_user_that_only_the_image_knows(kernels, nothing_left):
    assert "set uid to its number" in str(fail(kernels, uid="image"))
    kernels.add_spec("refused", TINY, config={"prohibited_gids": [100]})
    with pytest.raises(RefusedError, match="prohibited_gids"):
        kernels.start("refused")
    nothing_left()


# What a kernel is given


@slow
def test_a_kernel_is_hardened(kernels, swarm):
    manager = kernels.start("tiny")
    task = task_of(swarm, manager)
    container = swarm.client.inspect_container(task["Status"]["ContainerStatus"]["ContainerID"])
    host = container["HostConfig"]
    assert (host["CapDrop"], host["Init"], host["PidsLimit"]) == (["ALL"], True, 4096)
    assert container["Config"]["User"] == "1000:100"
    said = task["Spec"]
    assert said["RestartPolicy"]["Condition"] == "none"
    (secret,) = said["ContainerSpec"]["Secrets"]
    assert secret["File"] == {
        "Name": "/run/remote-kernel/private/connection.json", "UID": "1000", "GID": "100", "Mode": 0o400
    }  # fmt: skip
    key = manager.connection.key
    assert key not in json.dumps(said) + json.dumps(swarm.client.services(filters={"name": manager.resource.id}))
    assert swarm.client.logs(container["Id"]) is not None


@slow
def test_requests_and_limits(kernels, swarm):
    amounts = {"memory": "64Mi", "memory_limit": "512Mi", "cpus": "100m", "cpus_limit": "1500m"}
    shape = {"shm_size": "32Mi", "labels": {"team": "blue"}, "groups": [4242], "working_dir": "/tmp"}
    kernels.add_spec("sized", TINY, config={**amounts, **shape, "constraints": ["node.role==manager"]})
    manager = kernels.start("sized")
    said = task_of(swarm, manager)["Spec"]
    assert said["Resources"] == {
        "Limits": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 512 * 2**20, "Pids": 4096},
        "Reservations": {"NanoCPUs": 100_000_000, "MemoryBytes": 64 * 2**20},
    }
    assert said["Placement"]["Constraints"] == ["node.role==manager"]
    assert said["ContainerSpec"]["Labels"]["team"] == "blue"
    assert (said["ContainerSpec"]["Groups"], said["ContainerSpec"]["Dir"]) == (["4242"], "/tmp")


@slow
def test_a_kernel_with_encrypted_channels(kernels, swarm, nothing_left):
    """ipykernel writes a connection file with CURVE keys anew."""
    config = {"image_name": make_python_image(swarm.client), "transport_encryption": "required"}
    kernels.add_spec("encrypted", PYTHON, config=config)
    manager = kernels.start("encrypted")
    assert manager.connection.encrypted
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    run(manager.shutdown())
    nothing_left()


@slow
def test_a_kernel_in_an_overlay_network(kernels, swarm):
    network = f"rkp-test-{uuid.uuid4().hex[:8]}"
    swarm.client.create_network(network, driver="overlay", attachable=True, labels={"rkp-test": "network"})
    try:
        kernels.add_spec("networked", PYTHON, config={"networks": [network], "connection_file": "copied"})
        manager = kernels.start("networked")
        # This host is not in that network: the node publishes the ports.
        assert manager.connection.ip == "127.0.0.1"
        assert [attached["Network"]["Spec"]["Name"] for attached in task_of(swarm, manager)["NetworksAttachments"]] == [
            network
        ]
        with Notebook(manager.connection) as notebook:
            assert notebook.run("print(6 * 7)").text == "42\n"
        again = kernels.start("networked", kernel_id=manager.kernel_id, replaces=manager)
        with Notebook(again.connection) as notebook:
            assert notebook.run("print(6 * 7)").text == "42\n"
        run(again.kill())
        run(manager.shutdown())
    finally:
        kernels.close()
        until(lambda: _removed(swarm.client, network), 20, "the removal of the network")


def _removed(client, network: str) -> bool:
    # A node lets go of it some time after its last task has ended.
    try:
        client.remove_network(network)
    except APIError as error:
        return bool(error.status_code == 404)
    return True


@slow
def test_a_private_image(kernels, swarm, tmp_path, monkeypatch):
    if why := registries.obstacle():
        pytest.skip(why)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with Registry(tmp_path / "registry", private=True) as registry:
        name = registry.push(swarm.client, "swarmed:1", {"content": b"x"})
        error = fail(kernels, image_name=name)
        # Engines before 29 say no more than that it is not there.
        assert error.status.reason in ("ImageNotFound", "PullDenied")
        (tmp_path / "docker").mkdir()
        account = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {registry.host: account}}))
        error = fail(kernels, image_name=name)
        assert error.status.reason == "CommandNotFound"  # it is there, and has no Python
        error = fail(kernels, image_name=name)
        assert error.status.reason == "CommandNotFound"
        # Now that this engine has it, the node was told its digest.
        assert swarm.client.inspect_image(name)["RepoDigests"]
    swarm.client.remove_image(name, force=True)


# Its end


@slow
def test_who_removes_the_service_ends_the_kernel(kernels, swarm):
    manager = kernels.start("tiny")
    swarm.client.remove_service(manager.resource.id)
    run(manager.wait(), 10)
    assert manager.status.phase in (Phase.GONE, Phase.FAILED)
    run(manager.cleanup())


@slow
def test_signals_reach_the_kernel_and_it_alone(kernels):
    manager = kernels.start("tiny")
    run(manager.signal(signal.SIGUSR1))
    run(manager.wait(), 10)
    assert "SIGUSR1" in manager.status.message
    with pytest.raises(KernelGoneError):
        run(kernels.lifecycle.signal(manager.resource, signal.SIGINT))


@slow
def test_what_is_kept_of_a_kernel_is_not_believed_of_another(kernels, tmp_path):
    manager = kernels.start("tiny")
    (memory,) = kept_of(kernels)
    assert memory.stat().st_mode & 0o777 == 0o600
    memory.write_bytes(memory.read_bytes().replace(b"tcp", b"ipc"))
    with pytest.raises(KernelGoneError, match="was not written by this user's host"):
        run(adopt(kernels.host, manager.resource))
    memory.unlink()
    with pytest.raises(KernelGoneError, match="nothing is kept"):
        run(adopt(kernels.host, manager.resource))


def kept_of(kernels) -> list:
    """Return the files in which a host keeps what no secret gives back."""
    return [path for path in (kernels.host.identity.folder / "docker-swarm/kernels").rglob("*") if path.is_file()]


@slow
def test_what_goes_with_a_kernel_is_named(kernels, nothing_left):
    manager = kernels.start("tiny")
    service, secret, file = run(kernels.lifecycle.belongings(manager.resource))
    assert [(each.kind, each.name) for each in (service, secret)] == [
        ("service", manager.resource.id), ("secret", manager.resource.id),
    ]  # fmt: skip
    assert (file.kind, file.name.startswith(str(kernels.host.identity.folder))) == ("file", True)
    run(manager.kill())
    assert run(kernels.lifecycle.belongings(manager.resource)) == []


def test_what_is_kept_of_kernels_that_others_removed_is_forgotten(kernels, swarm, nothing_left):
    manager = kernels.start("tiny")
    assert len(kept_of(kernels)) == 1
    run(kernels.host.close())  # nobody who would delete it lives
    swarm.client.remove_service(manager.resource.id)
    swarm.client.remove_secret(manager.resource.id)
    assert kernels.find() == []
    assert kept_of(kernels) == []


@slow
def test_a_secret_whose_service_never_came_is_swept(kernels, swarm, nothing_left):
    manager = kernels.start("tiny")
    swarm.client.remove_service(manager.resource.id)
    run(manager.wait(), 10)
    assert kernels.find() == [manager.resource]
    run(kernels.lifecycle.delete(manager.resource, 0))
    nothing_left()


# Hosts that die, and nodes that refuse


@slow
@pytest.mark.parametrize(
    ("owner", "step", "is_left"),
    [
        ("docker:APIClient", "create_secret", False),
        ("docker:APIClient", "create_service", True),
        ("docker_kernel_provider.kept:KeptFiles", "write", True),
        ("docker:APIClient", "tasks", True),
    ],
)
def test_a_host_that_is_killed_before_a_step_of_a_launch(kernels, nothing_left, owner, step, is_left):
    killed_before(step, "engine.swarm_provider:SwarmProvider", owner)
    orphans = run(find_orphans(kernels.host, [kernels.lifecycle]))
    assert len(orphans) == is_left
    for orphan in orphans:
        run(delete_orphan(kernels.host, orphan))
    nothing_left()


@slow
def test_what_a_node_rejects(make_kernels, kernels, nothing_left):
    allowing = make_kernels("server-2", provider=SwarmProvider, docker_volumes=["/*"])
    error = fail(allowing, volumes=["/no/such/path:/data:ro"])
    assert error.status.reason == "MountNotFound"
    assert "/no/such/path" in str(error)
    assert "correct 'volumes'" in str(error)
    nothing_left()


# Tasks of other nodes, whose containers this engine does not have


def task(state: str, **fields) -> dict:
    said = {"State": state, **fields}
    return {"Status": said, "DesiredState": "running", "CreatedAt": "1"}


def test_what_a_task_says():
    def seen(state: str, **fields):
        return status_of_task(task(state, **fields))

    assert [seen(state).phase for state in ("new", "assigned", "preparing", "starting", "running")] == [
        Phase.PENDING, Phase.PENDING, Phase.PULLING, Phase.STARTING, Phase.RUNNING
    ]  # fmt: skip
    killed = seen("failed", Err="task: non-zero exit (137)", ContainerStatus={"ExitCode": 137})
    assert (killed.phase, killed.reason, killed.exit_code) == (Phase.FAILED, "SIGKILL", -9)
    assert seen("complete", ContainerStatus={"ExitCode": 0}).phase is Phase.SUCCEEDED
    assert seen("rejected", Err="invalid mount config").reason == "Rejected"
    assert seen("orphaned").message == "the Swarm has ended it (its task is orphaned)"
    assert status_of_task({**task("running"), "DesiredState": "shutdown"}).reason == "NodeLost"


@pytest.mark.parametrize(("address", "number"), [("10.0.0.7", 32768), ("fd00::7", 32773)])
def test_a_port_has_another_number_by_ipv6(address, number):
    said = [{"Protocol": "tcp", "TargetPort": 21001, "PublishedPort": each} for each in (32768, 32773)]
    assert published_at(address, said) == {21001: number}


def test_a_task_is_elsewhere_when_this_engine_has_no_container():
    assert Seen(task("running"), None).is_elsewhere
    assert not Seen(task("pending"), None).is_elsewhere
    assert not Seen(task("running"), {"Id": "x", "State": {"Status": "running"}}).is_elsewhere
    assert Seen(None, None).status.phase is Phase.PENDING


def test_the_command_in_a_container():
    assert command_of({"Path": "python", "Args": ["-m", "sh"]}) == "python"
