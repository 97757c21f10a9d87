"""Specs of the gateway family: what their script of the host is told becomes the spec's own word."""

import json
from pathlib import Path

import pytest

from docker_kernel_provider.preview import preview
from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.testing.kernels import Kernels

SCRIPT = "/usr/local/share/jupyter/kernels/theirs/scripts/launch_docker.py"
LAUNCH = ("kernel-id {kernel_id}", "response-address {response_address}", "public-key {public_key}")


def options(prefix: str, *said: str) -> list[str]:
    return [word for option in (*LAUNCH, *said) for word in f"{prefix}{option}".split()]


@pytest.fixture
def kernels(make_kernels, own_folders) -> Kernels:
    return Kernels(make_kernels().provider, own_folders, "", {"image_name": "acme/kernel-py:1"})


@pytest.fixture
def plan(kernels):
    """Plan a launch of a spec with this command."""

    def plan(*argv: str, env=(), config=(), values=()):
        kernels.add_spec("theirs", argv, env=dict(env), config=dict(config))
        spec, _ = kernels.provider.find("theirs")
        return kernels.provider.plan(spec, ClientRequest("1", system_identity(), values=dict(values)))

    return plan


@pytest.mark.parametrize("prefix", ["--", "--RemoteProcessProxy."])
def test_its_options(plan, prefix):
    said = ("port-range 40000..41000", "spark-context-initialization-mode lazy")
    planned = plan("python", SCRIPT, *options(prefix, *said), "--kernel-class-name", "acme.Kernel")
    assert planned.spec.argv == ()
    assert planned.spec.handshake == "reported"
    config, environment = planned.parameters.config, planned.parameters.environment
    assert config["port_range"] == (40000, 41000)
    assert environment["KERNEL_SPARK_CONTEXT_INIT_MODE"] == "lazy"
    assert environment["KERNEL_CLASS_NAME"] == "acme.Kernel"


def test_what_is_not_said(plan):
    planned = plan("python", SCRIPT, "--kernel-id={kernel_id}", "--port-range", "{port_range}", "--kernel-class-name")
    assert planned.parameters.config["port_range"] == (0, 0)
    assert planned.parameters.environment["KERNEL_SPARK_CONTEXT_INIT_MODE"] == "none"
    assert "KERNEL_CLASS_NAME" not in planned.parameters.environment


def test_config_beats_options_and_the_environment_beats_both(plan):
    argv = ("python", SCRIPT, *options("--", "port-range 40000..41000", "kernel-class-name a.B"))
    env = {"KERNEL_IMAGE": "acme/own:1", "KERNEL_UID": "1500", "EG_DOCKER_NETWORK": "old", "DOCKER_NETWORK": "new"}
    planned = plan(*argv, env={**env, "KERNEL_CLASS_NAME": "c.D"}, config={"port_range": "42000..43000", "uid": 1})
    config = planned.parameters.config
    assert config["port_range"] == (42000, 43000)
    assert (config["image_name"], config["uid"], config["networks"]) == ("acme/own:1", 1500, ("new",))
    assert config["class_name"] == "c.D"


def test_policy_holds(plan):
    with pytest.raises(Exception, match="prohibited_uids"):
        plan("python", SCRIPT, env={"KERNEL_UID": "0"})


def test_encryption_that_it_requires(plan):
    assert plan("python", SCRIPT, *options("--", "transport-encryption required")).parameters.encryption == "required"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("python", "{resource_dir}/scripts/launch_custom.py", "{response_address}"), "launch_custom.py' on the host"),
        (("/opt/share/jupyter/kernels/spark/bin/run.sh", "{response_address}"), "run.sh' on the host"),
        (("python", SCRIPT, "--cluster", "blue"), "gives launch_docker.py '--cluster'"),
        (("python", SCRIPT, "--port-range", "40000"), "argv says port-range '40000'; expected lower..upper"),
        (("python", SCRIPT, "--spark-context-initialization-mode", "soon"), "expected none, lazy or eager"),
    ],
)
def test_what_is_not_known_is_refused(kernels, plan, argv, words):
    with pytest.raises(SpecError) as failure:
        plan(*argv)
    assert words in str(failure.value)
    assert str(failure.value).startswith(str(kernels.provider.find("theirs")[0].file))
    assert "refused" in preview(kernels.provider.find("theirs")[0])


def test_a_value_of_the_environment(plan):
    with pytest.raises(SpecError, match="env says KERNEL_UID 'me'; expected"):
        plan("python", SCRIPT, env={"KERNEL_UID": "me"})


def test_a_script_whose_folder_is_mounted(make_kernels):
    allowing = make_kernels("server-2", docker_volumes=["/*:ro"])
    folder = "/usr/local/share/jupyter/kernels"
    config = {"volumes": [f"{folder}:{folder}:ro"]}
    allowing.add_spec("theirs", (f"{folder}/theirs/run.sh", "{response_address}"), config=config)
    spec, _ = allowing.provider.find("theirs")
    planned = allowing.provider.plan(spec, ClientRequest("1", system_identity()))
    assert planned.spec.argv == spec.argv


@pytest.mark.parametrize(
    "argv",
    [
        ("python", "/usr/local/bin/kernel-launchers/python/scripts/launch_ipykernel.py", "{response_address}"),
        ("{resource_dir}/start.sh", "{connection_file}"),
        (),
    ],
)
def test_other_commands_stay_as_they_are(plan, argv):
    assert plan(*argv).spec.argv == argv


def test_an_ordinary_spec_is_previewed_with_what_its_script_is_told(kernels, own_folders: Path):
    (own_folders / "theirs").mkdir(parents=True)
    stanza = {"provisioner_name": "docker-provisioner", "config": {"image_name": "acme/kernel-py:1"}}
    document = {
        "display_name": "theirs",
        "language": "python",
        "argv": ["python", SCRIPT, *options("--", "kernel-class-name acme.Kernel")],
        "metadata": {"kernel_provisioner": stanza},
    }
    (own_folders / "theirs/kernel.json").write_text(json.dumps(document))
    said = preview(DockerKernelProvider(kernels.host).find("theirs")[0])
    assert '"KERNEL_CLASS_NAME=acme.Kernel"' in said
    assert "launch_docker.py" not in said
