"""`jupyter docker-kernelspec` and `docker-spec`: what they write, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from docker_kernel_provider.installer import DOCKER_KIND, docker_spec, main
from docker_kernel_provider.provider import DockerKernelProvider
from remote_kernel_provider.kernelspecs.installer.image_kernels import (
    IMAGE_KERNELS,
    PYTHON_IMAGE,
    R_IMAGE,
    TENSORFLOW_IMAGE,
)
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.testing.isolation import own_environment

PYTHON = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
DOCKER, SWARM = (f"docker_kernel_provider.{name}LifecycleManager" for name in ("Docker", "Swarm"))


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """The kernels folder of a new environment on the Jupyter path."""
    return own_environment(tmp_path, monkeypatch)


@pytest.fixture
def install(kernels):
    """Install into that folder; return the exit status."""
    return lambda *options, command=main: command(["install", "--prefix", str(kernels.parents[2]), *options])


def document(folder, file="docker_kernel.json"):
    return json.loads((folder / file).read_text())


def lifecycle(folder):
    return document(folder)["metadata"]["lifecycle_manager"]


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_no_option_is_needed(kernels, install, capsys):
    assert install() == 0
    folder = kernels / "docker_python"
    assert files(folder) == {"docker_kernel.json", "kernel.json", "logo-64x64.png"}
    assert document(folder) == {
        "display_name": "Docker Python",
        "language": "python",
        "argv": PYTHON,
        "env": {},
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "lifecycle_manager": {"class_name": DOCKER, "config": {"image_name": PYTHON_IMAGE}},
        },
    }
    assert f"Installed docker/docker_python in {folder}\n" in capsys.readouterr().out


def test_stock_jupyter_gets_the_bridge_and_our_provisioner(kernels, install):
    install()
    stock = document(kernels / "docker_python", "kernel.json")
    assert stock["argv"] == [
        *(sys.executable, "-m", "remote_kernel_provider.jupyter.bridge"),
        *("--kernel", "docker/docker_python", "-f", "{connection_file}"),
    ]
    assert stock["metadata"]["kernel_provisioner"] == {
        "provisioner_name": "remote-kernel-provisioner",
        "config": {"kernel": "docker/docker_python"},
    }
    assert (stock["interrupt_mode"], stock["language"]) == ("message", "python")
    listed = KernelSpecManager().get_all_specs()["docker_python"]
    assert (Path(listed["resource_dir"]) / "logo-64x64.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "name", "display_name", "language", "image"),
    [
        (["--language", "R"], "docker_r", "Docker R", "R", R_IMAGE),
        (["--language=PYTHON", "--tensorflow"], "docker_python_tensorflow", None, "python", TENSORFLOW_IMAGE),
        (["--swarm"], "docker_swarm_python", "Docker Swarm Python", "python", PYTHON_IMAGE),
        (["--swarm", "--language", "r"], "docker_swarm_r", "Docker Swarm R", "R", R_IMAGE),
    ],
)
def test_languages_and_places_have_names_and_images(kernels, install, options, name, display_name, language, image):
    assert install(*options) == 0
    folder = kernels / name
    spec = document(folder)
    assert spec["display_name"] == (display_name or "Docker Python Tensorflow")
    assert spec["language"] == language
    assert lifecycle(folder) == {
        "class_name": SWARM if "--swarm" in options else DOCKER,
        "config": {"image_name": image},
    }
    assert "logo-64x64.png" in files(folder)


def test_r_is_interrupted_by_signals(kernels, install):
    install("--language", "R")
    spec = document(kernels / "docker_r")
    assert (spec["interrupt_mode"], spec["argv"][:2], spec["argv"][-1]) == (
        "signal",
        ["R", "--slave"],
        "{connection_file}",
    )


def test_any_language_runs_with_an_image_and_a_command(kernels, install):
    options = ["--image-name", "acme/julia:1", "--kernel-command", "julia -i kernel.jl {connection_file}"]
    assert install("--language", "julia", *options) == 0
    folder = kernels / "docker_julia"
    spec = document(folder)
    assert (spec["display_name"], spec["language"]) == ("Docker Julia", "julia")
    assert spec["argv"] == ["julia", "-i", "kernel.jl", "{connection_file}"]
    assert files(folder) == {"docker_kernel.json", "kernel.json"}


@pytest.mark.parametrize("separator", ["-", "_"])
def test_every_option_has_both_spellings(kernels, install, separator):
    options = {
        "image-name": "acme/science:2.0",
        "kernel-name": "science",
        "display-name": "Science",
        "launch-timeout": "90",
        "port-range": "33000..34000",
        "authorized-users": "ada,bob",
        "unauthorized-users": "eve",
        "interrupt-mode": "signal",
        "ipykernel-subclass-name": "acme.kernels.Loud",
    }
    words = [f"--{name.replace('-', separator)}={value}" for name, value in options.items()]
    assert install(*words) == 0
    folder = kernels / "science"
    spec = document(folder)
    assert (spec["display_name"], spec["interrupt_mode"]) == ("Science", "signal")
    assert spec["argv"] == [*PYTHON, "--IPKernelApp.kernel_class=acme.kernels.Loud"]
    assert lifecycle(folder)["config"] == {
        "image_name": "acme/science:2.0",
        "launch_timeout": 90,
        "port_range": "33000..34000",
        "authorized_users": ["ada", "bob"],
        "unauthorized_users": ["eve"],
    }
    assert install(f"--sys{separator}prefix", f"--dry{separator}run") == 2  # two places; the option is understood


def test_a_launcher_in_the_image_reports(kernels, install):
    assert (
        install("--handshake", "reported", "--image-name", "elyra/kernel-py", "--ipykernel-subclass-name", "a.B") == 0
    )
    folder = kernels / "docker_python"
    assert document(folder)["argv"] == []
    assert lifecycle(folder)["config"] == {
        "image_name": "elyra/kernel-py",
        "class_name": "a.B",
        "handshake": "reported",
    }
    assert install("--handshake", "reported", "--image-name", "elyra/kernel-scala", "--language", "Scala") == 0
    assert document(kernels / "docker_scala")["language"] == "scala"


def test_parameters_and_environment_become_the_specs_own(kernels, install):
    params = [
        "--param",
        "memory=2Gi",
        "--param=cpus=500m",
        "--param",
        "authorized_users=ada,bob",
        "--param",
        "uid=1234",
    ]
    assert install(*params, "--env", "A=b=c", "--env=EMPTY=") == 0
    folder = kernels / "docker_python"
    assert document(folder)["env"] == {"A": "b=c", "EMPTY": ""}
    config = lifecycle(folder)["config"]
    config.pop("image_name")
    assert config == {"memory": "2Gi", "cpus": "500m", "authorized_users": ["ada", "bob"], "uid": 1234}
    read = read_spec(folder / "docker_kernel.json", DOCKER_KIND.lifecycle_manager, DOCKER_KIND.config_keys)
    assert read.config["memory"] == "2Gi"


def test_curve_is_said_where_the_image_can(kernels, install, capsys):
    install("--curve")
    for file in ("docker_kernel.json", "kernel.json"):
        assert document(kernels / "docker_python", file)["metadata"]["supported_encryption"] == ["curve"]
    assert "encrypted" not in capsys.readouterr().out
    assert main(["show", "docker_python"]) == 0
    assert "encryption:     CurveZMQ\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--image-name", "acme/science:2.0"], 'none: metadata.supported_encryption does not say "curve"'),
        (["--language", "R"], 'none: metadata.supported_encryption does not say "curve"'),
        (["--image-name", "acme/kernel-py:1", "--handshake", "reported"], "as its launcher reports"),
    ],
)
def test_that_channels_are_not_encrypted_is_said(kernels, install, capsys, options, shown):
    assert install("--kernel-name", "one", *options) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "not encrypted" in line]
    assert [line.partition("; ")[2][:11] for line in said] == (["say --curve"] if "none" in shown else [])
    assert main(["show", "one"]) == 0
    assert f"encryption:     {shown}\n" in capsys.readouterr().out


def test_the_environment_names_the_image_unless_an_option_does(kernels, install, monkeypatch):
    monkeypatch.setenv("GP_IMAGE_NAME", "peers/python")
    assert install("--kernel-name", "peers") == 0
    monkeypatch.setenv("RKP_IMAGE_NAME", "ours/python")
    assert install("--kernel-name", "ours") == 0
    assert install("--kernel-name", "said", "--image-name", "said/python") == 0
    images = {name: lifecycle(kernels / name)["config"]["image_name"] for name in ("peers", "ours", "said")}
    assert images == {"peers": "peers/python", "ours": "ours/python", "said": "said/python"}


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--language", "klingon"], 2, "no default image for the language 'klingon' (there are for Python, R)"),
        (["--language", "Scala"], 2, "no default image for the language 'scala'"),
        (["--language", "Scala", "--image-name", "x"], 2, "the command of a Scala kernel is not known"),
        (["--handshake", "reported"], 2, "--handshake reported needs an image with a launcher in it"),
        (["--handshake", "guessed"], 2, "--handshake is 'guessed'; expected assigned or reported"),
        (["--tensorflow", "--language", "R"], 2, "--tensorflow is for Python, not for R"),
        (["--ipykernel-subclass-name", "a.B", "--language", "R"], 2, "--ipykernel-subclass-name is for Python"),
        (["--ipykernel-subclass-name", "a b"], 2, "expected a dotted name, such as ipykernel."),
        (["--ipykernel-subclass-name", "a.B", "--kernel-command", "x {connection_file}"], 2, "has no effect on"),
        (["--kernel-command", "x"], 1, "has no {connection_file}"),
        (["--param", "memory=lots"], 2, "--param memory is 'lots'; expected a quantity"),
        (["--param", "memry=2Gi"], 2, "no parameter 'memry'; did you mean 'memory'?"),
        (["--param", "namespace=team"], 2, "no parameter 'namespace'"),
        (["--param", "memory"], 2, "--param is ['memory']; expected NAME=VALUE"),
        (["--env", "=x"], 2, "--env is ['=x']; expected NAME=VALUE"),
        (["--kernel-name", "a b"], 1, "may hold only letters, digits, '.', '_' and '-'"),
        (["--launch-timeout", "soon"], 2, "--launch-timeout is 'soon'; expected a number of seconds"),
        (["--imagename", "x"], 2, "there is no option --imagename; did you mean '--image-name'?"),
        (["--user"], 2, "exclude each other"),
        (["surplus"], 2, "the argument 'surplus' is not understood"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    tmp_path, kernels, install, options, status, sentence, capsys
):
    assert install(*options) == status
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not kernels.exists()


def test_an_existing_spec_is_replaced_only_on_request(kernels, install, capsys):
    install()
    assert install("--display-name", "New") == 1
    assert "docker_python exists; replace it with --replace" in capsys.readouterr().err
    assert document(kernels / "docker_python")["display_name"] == "Docker Python"
    assert install("--display-name", "New", "--replace") == 0
    assert document(kernels / "docker_python")["display_name"] == "New"


def test_a_foreign_folder_is_never_touched(kernels, install, capsys):
    (kernels / "docker_python").mkdir(parents=True)
    (kernels / "docker_python" / "kernel.json").write_text('{"argv": ["theirs"]}')
    for more in ([], ["--replace"]):
        assert install(*more) == 1
        assert "is not a spec of docker-kernelspec and is left alone" in capsys.readouterr().err
    assert files(kernels / "docker_python") == {"kernel.json"}


def test_list_show_and_remove(kernels, install, capsys):
    install("--param", "memory=2Gi")
    install("--swarm", "--kernel-name", "swarmed")
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(spec["kernel"], spec["display_name"], spec["faults"]) for spec in listed] == [
        ("docker/docker_python", "Docker Python", []),
        ("docker/swarmed", "Docker Swarm Python", []),
    ]
    assert main(["show", "docker/docker_python"]) == 0
    shown = capsys.readouterr().out
    assert f"image_name:     {PYTHON_IMAGE}\n" in shown
    assert "memory:         2Gi" in shown
    assert "handshake:      assigned\n" in shown
    assert main(["remove", "docker_python", "swarmed"]) == 0
    assert list(kernels.iterdir()) == []


def test_a_spec_without_an_image_is_listed_with_its_fault(kernels, install, capsys):
    install()
    file = kernels / "docker_python/docker_kernel.json"
    file.write_text(file.read_text().replace(f'"image_name": "{PYTHON_IMAGE}"', ""))
    capsys.readouterr()
    assert main(["list"]) == 0
    assert f"! it names no image; set image_name in the config of {file}\n" in capsys.readouterr().out


def test_the_peers_spelling_does_the_same(kernels, install, capsys):
    options = ["--language=R", "--kernel-name=r_docker", "--image-name=foo/my_r_kernel_image:v4_0"]
    assert install(*options, command=docker_spec) == 0
    folder = kernels / "r_docker"
    assert files(folder) == {"docker_kernel.json", "kernel.json", "logo-64x64.png"}
    assert lifecycle(folder)["config"] == {"image_name": "foo/my_r_kernel_image:v4_0"}
    assert install(*options, "--display-name", "Ours", "--replace", command=main) == 0
    assert docker_spec(["remove", "r_docker"]) == 0
    assert docker_spec(["install", "--nonsense"]) == 2
    assert "jupyter docker-spec: there is no option --nonsense" in capsys.readouterr().err


def shown(capsys):
    """What a dry run printed: each JSON document by the line above it."""
    parts = capsys.readouterr().out.split("\n\n")
    return {title.rstrip(":"): json.loads(text) for title, _, text in (part.partition("\n") for part in parts)}


def test_a_dry_run_shows_the_files_and_the_container_and_asks_no_engine(
    tmp_path, kernels, install, capsys, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine.sock")
    parameters = ["--param", "memory_limit=2Gi", "--param", "uid=4711", "--param", "gpus=2", "--env", "A=b"]
    assert install("--dry-run", "--curve", "--display-name", "One", *parameters) == 0
    assert list(tmp_path.iterdir()) == []
    folder = kernels / "docker_python"
    spec, stock, (title, container), (file, connection) = shown(capsys).items()
    assert (spec[0], stock[0]) == (f"{folder}/docker_kernel.json", f"{folder}/kernel.json")
    assert title.startswith("container jupyter-")
    assert container["Image"] == PYTHON_IMAGE
    assert container["User"] == "4711:GID"
    assert {"A=b", "KERNEL_MEMORY_LIMIT=2Gi", "KERNEL_NAME=docker/docker_python"} <= set(container["Env"])
    assert container["Labels"]["kernel_id"] == "KERNEL-ID"
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert container["HostConfig"]["Memory"] == 2 * 1024**3
    assert container["HostConfig"]["DeviceRequests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]
    assert file.startswith(f"{container['Entrypoint'][-1]} in it")
    assert {connection[name] for name in ("key", "curve_publickey", "curve_secretkey")} == {"SECRET"}


def test_a_dry_run_of_a_launcher_shows_what_it_is_told(install, capsys):
    assert install("--dry-run", "--handshake", "reported", "--image-name", "elyra/kernel-py") == 0
    _, _, container = shown(capsys).values()
    assert "Entrypoint" not in container
    told = {entry.partition("=")[0] for entry in container["Env"]}
    assert {"KERNEL_ID", "KERNEL_LANGUAGE", "PORT_RANGE", "PUBLIC_KEY", "RESPONSE_ADDRESS"} <= told


def test_a_dry_run_for_a_swarm_shows_the_service(install, capsys):
    parameters = ["--param", "memory_limit=2Gi", "--param", "gpus=2", "--param", "platform=linux/arm64"]
    assert install("--dry-run", "--swarm", *parameters) == 0
    _, _, (title, service), (_, connection) = shown(capsys).items()
    assert title == f"service {service['name']}"
    container = service["task_template"]["ContainerSpec"]
    assert container["Image"] == PYTHON_IMAGE
    assert container["Secrets"][0]["SecretName"] == service["name"]
    task = service["task_template"]
    assert task["Resources"]["Limits"]["MemoryBytes"] == 2 * 1024**3
    gpus = {"DiscreteResourceSpec": {"Kind": "NVIDIA-GPU", "Value": 2}}
    assert task["Resources"]["Reservations"]["GenericResources"] == [gpus]
    assert task["Placement"]["Platforms"] == [{"OS": "linux", "Architecture": "arm64"}]
    assert connection["key"] == "SECRET"


def test_a_dry_run_says_what_the_policy_refuses(install, capsys):
    volume = {"type": "bind", "source": "/etc", "target": "/mnt"}
    assert install("--dry-run", "--param", f"volumes={json.dumps([volume])}") == 0
    assert "A launch would be refused: " in capsys.readouterr().out


def test_its_kind_says_what_the_provider_says():
    assert DOCKER_KIND.lifecycle_manager == DockerKernelProvider.default_lifecycle


def test_config_files_are_read(kernels, install, tmp_path):
    config = tmp_path / "config/jupyter_docker_kernelspec_config.py"
    config.parent.mkdir()
    config.write_text("c.DockerSpecInstall.image_name = 'acme/python:3'\nc.SpecInstall.env = {'A': 'b'}\n")
    assert install() == 0
    folder = kernels / "docker_python"
    assert (lifecycle(folder)["config"], document(folder)["env"]) == ({"image_name": "acme/python:3"}, {"A": "b"})


def test_every_known_image_is_pinned():
    images = [kernel.image for kernel in IMAGE_KERNELS.values() if kernel.image] + [TENSORFLOW_IMAGE]
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["docker-kernelspec", "docker-spec"])
def test_jupyter_finds_the_commands(kernels, command):
    program = [Path(sys.executable).parent / "jupyter", command]
    done = subprocess.run([*program, "install", "--help-all"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--image-name, --image_name=<Unicode>" in done.stdout
    assert f"jupyter {command} install --language R --swarm" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["docker-kernelspec", "docker-spec"])
def test_completion(command):
    pytest.importorskip("argcomplete")
    line = f"jupyter-{command} install --image-n"
    environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    program = f"{Path(sys.executable).parent / f'jupyter-{command}'} 8>&1 9>/dev/null"
    done = subprocess.run(program, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert "--image-name" in done.stdout
