"""`jupyter k8s-kernelspec` and `jupyter k8s-spec`: what they write, print, keep and refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kubernetes_kernel_provider.installer import KUBERNETES_KIND, SPARK_OPTIONS, k8s_spec, main
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from kubernetes_kernel_provider.template_files import PACKAGED_TEMPLATE
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.testing.isolation import own_environment

TEMPLATE = "scripts/kernel-pod.yaml.j2"


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """The kernels folder of a new environment on the Jupyter path."""
    return own_environment(tmp_path, monkeypatch)


@pytest.fixture
def install(kernels):
    """Run `install`."""

    def run(*options, command=main):
        return command(["install", "--prefix", str(kernels.parents[2]), *options])

    return run


def read(file: Path):
    return json.loads(file.read_text())


def files(folder: Path):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_nothing_need_be_said(kernels, install, capsys):
    assert install() == 0
    folder = kernels / "k8skp_python"
    assert files(folder) == {"k8skp_kernel.json", "kernel.json", "logo-64x64.png", TEMPLATE}
    document = read(folder / "k8skp_kernel.json")
    stanza = document["metadata"]["lifecycle_manager"]
    assert (document["display_name"], document["language"]) == ("Kubernetes Python", "python")
    assert document["interrupt_mode"] == "message"
    assert document["argv"] == ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert stanza["class_name"] == "kubernetes_kernel_provider.KubernetesLifecycleManager"
    assert "/base-notebook:" in stanza["config"]["image_name"]
    spec = read_spec(folder / "k8skp_kernel.json", "none")
    assert (spec.lifecycle_manager, spec.handshake) == ("kubernetes", "assigned")
    stock = read(folder / "kernel.json")
    assert stock["metadata"]["kernel_provisioner"]["config"] == {"kernel": "k8skp/k8skp_python"}
    assert stock["argv"][1:3] == ["-m", "remote_kernel_provider.jupyter.bridge"]
    assert (folder / TEMPLATE).read_bytes() == PACKAGED_TEMPLATE.read_bytes()
    assert "Installed k8skp/k8skp_python" in capsys.readouterr().out


def test_its_kind_says_what_the_provider_says():
    assert KUBERNETES_KIND.provider_id == KubernetesKernelProvider.id
    assert KUBERNETES_KIND.spec_file == KubernetesKernelProvider.kernel_file
    assert KUBERNETES_KIND.lifecycle_manager == KubernetesKernelProvider.default_lifecycle
    assert tuple(KUBERNETES_KIND.config_keys) == tuple(KubernetesKernelProvider.config_keys)


def test_the_peers_command_has_the_peers_name(kernels, install):
    assert install(command=k8s_spec) == 0
    folder = kernels / "k8s_python"
    layout = {"kernel.json", "logo-64x64.png", "scripts/launch_kubernetes.py", TEMPLATE}
    assert files(folder) == {*layout, "k8skp_kernel.json"}
    assert read(folder / "kernel.json")["metadata"]["kernel_provisioner"]["config"] == {"kernel": "k8skp/k8s_python"}


@pytest.mark.parametrize("separator", ["-", "_"])
def test_every_option_of_the_peers_in_both_spellings(kernels, install, separator):
    options = {
        "kernel-name": "chosen", "display-name": "Chosen", "image-name": "foo/image:v4", "language": "Python",
        "launch-timeout": "60", "port-range": "33000..34000", "authorized-users": "ada", "unauthorized-users": "bob",
        "ipykernel-subclass-name": "acme.Kernel", "connection-file": "copied", "spark-init-mode": "none",
    }  # fmt: skip
    words = [f"--{name.replace('-', separator)}={value}" for name, value in options.items()]
    assert install(*words, f"--authorized{separator}users=cy", "--param", "memory=48Gi", "--env", "A=b") == 0
    document = read(kernels / "chosen/k8skp_kernel.json")
    assert document["display_name"] == "Chosen"
    assert document["argv"][-1] == "--IPKernelApp.kernel_class=acme.Kernel"
    assert document["env"] == {"A": "b"}
    config = document["metadata"]["lifecycle_manager"]["config"]
    assert sorted(config.pop("authorized_users")) == ["ada", "cy"]
    assert config == {
        "image_name": "foo/image:v4", "launch_timeout": 60, "port_range": "33000..34000", "unauthorized_users": ["bob"],
        "connection_file": "copied", "memory": "48Gi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "name", "image", "first_word"),
    [
        (["--language=R"], "k8skp_r", "/r-notebook:", "R"),
        (["--language", "r", "--image-name=foo/my_r_kernel_image:v4_0"], "k8skp_r", "foo/my_r_kernel_image:v4_0", "R"),
        (["--tensorflow"], "k8skp_python_tensorflow", "/tensorflow-notebook:", "python"),
        (["--language=Scala", "--image-name=foo/toree", "--handshake=reported"], "k8skp_scala", "foo/toree", None),
    ],
)
def test_languages(kernels, install, options, name, image, first_word):
    assert install(*options) == 0
    document = read(kernels / name / "k8skp_kernel.json")
    assert image in document["metadata"]["lifecycle_manager"]["config"]["image_name"]
    assert next(iter(document["argv"]), None) == first_word


@pytest.mark.parametrize("name", ["RKP_IMAGE_NAME", "GP_IMAGE_NAME", "K8SKP_IMAGE_NAME"])
def test_the_image_of_the_environment(kernels, install, monkeypatch, name):
    monkeypatch.setenv(name, "acme/ours:1")
    assert install() == 0
    config = read(kernels / "k8skp_python/k8skp_kernel.json")["metadata"]["lifecycle_manager"]["config"]
    assert config == {"image_name": "acme/ours:1"}


SPARK_VALUES = {
    "spark_home": "/opt/spark", "spark_init_mode": "lazy", "extra_spark_opts": "--conf a=b", "executor_image_name": "x"
}  # fmt: skip


@pytest.mark.parametrize("command", [main, k8s_spec])
@pytest.mark.parametrize("separator", ["-", "_"])
@pytest.mark.parametrize("option", SPARK_OPTIONS)
def test_options_of_spark_say_that_the_spark_part_is_needed(kernels, install, capsys, option, separator, command):
    word = f"--{option.replace('_', separator)}"
    given = [f"{word}={SPARK_VALUES[option]}"] if option in SPARK_VALUES else [word]
    assert install(*given, command=command) == 1
    error = capsys.readouterr().err
    assert f"--{option.replace('_', '-')} needs the Spark part of kubernetes-kernel-provider" in error
    assert not kernels.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--language=Scala"], "there is no default image for the language 'scala'"),
        (["--image-nam=x"], "there is no option --image-nam; did you mean '--image-name'?"),
        (["--param", "memory=lots"], "--param memory is 'lots'; expected a quantity"),
        (["--param", "memry=1Gi"], "there is no parameter 'memry'; did you mean 'memory'?"),
        (["--connection-file=linked"], "--connection-file is 'linked'; expected mounted or copied"),
        (["--spark-init-mode=soon"], "--spark-init-mode"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(kernels, install, capsys, options, message):
    assert install(*options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not kernels.exists()


def test_a_dry_run_prints_the_objects_and_writes_nothing(kernels, install, capsys):
    assert install("--param", "memory=2Gi", "--param", 'volumes=[{"name": "d", "emptyDir": {}}]', "--dry-run") == 0
    assert not kernels.exists()
    printed = capsys.readouterr().out
    for file in ("k8skp_kernel.json", "kernel.json"):
        assert f"{kernels}/k8skp_python/{file}:" in printed
    assert "# It is reached at its pod's address where that answers this host, else by port-forward" in printed
    pod, secret = yaml.safe_load_all(printed[printed.index("# What a launch would create") :])
    assert pod["spec"]["containers"][0]["resources"] == {"requests": {"memory": "2Gi"}}
    assert {"name": "d", "emptyDir": {}} in pod["spec"]["volumes"]
    assert (secret["kind"], set(secret["data"].values())) == ("Secret", {"***"})
    assert secret["metadata"]["name"] == pod["spec"]["volumes"][0]["secret"]["secretName"]


def test_a_dry_run_is_for_who_installs_a_kernel_for_others(kernels, install, capsys):
    assert install("--authorized-users=somebody-else", "--dry-run") == 0
    assert "kind: Pod" in capsys.readouterr().out


def test_a_dry_run_says_what_a_launch_would_be_refused_for(kernels, install, capsys):
    assert install("--param", 'volumes=[{"name": "d", "hostPath": {"path": "/"}}]', "--dry-run") == 1
    assert "volume 'd' is refused: it is a hostPath" in capsys.readouterr().err
    assert install("--param", "gpus=1", "--param", "gpus_limit=2", "--dry-run") == 1
    assert "gpus 1 and gpus_limit 2 differ" in capsys.readouterr().err


def test_an_edited_template_is_kept_unless_it_is_reset(kernels, install, capsys):
    assert install() == 0
    template = kernels / "k8skp_python" / TEMPLATE
    edited = template.read_text().replace("    env: []\n", "    env: [{name: MINE, value: kept}]\n")
    template.write_text(edited)
    assert install() == 1
    assert "exists; replace it with --replace" in capsys.readouterr().err
    assert install("--replace", "--display-name=Again") == 0
    assert template.read_text() == edited
    assert read(kernels / "k8skp_python/kernel.json")["display_name"] == "Again"
    capsys.readouterr()
    assert install("--replace", "--dry-run") == 0
    assert "MINE" in capsys.readouterr().out
    assert install("--replace", "--reset-template", "--dry-run") == 0
    assert "MINE" not in capsys.readouterr().out
    assert template.read_text() == edited
    assert install("--replace", "--reset-template") == 0
    assert template.read_bytes() == PACKAGED_TEMPLATE.read_bytes()


def test_list_show_and_remove(kernels, install, capsys):
    assert install("--param", "memory=2Gi") == 0
    assert main(["show", "k8skp_python"]) == 0
    shown = capsys.readouterr().out
    assert "kernel:         k8skp/k8skp_python" in shown
    assert "memory:         2Gi" in shown
    assert "encryption:     none" in shown
    (kernels / "k8skp_python" / TEMPLATE).write_text("a: {% include 'x' %}")
    assert k8s_spec(["list"]) == 0
    assert "line 1: 'include' cannot be used in a template" in capsys.readouterr().out
    assert main(["remove", "k8skp_python"]) == 0
    assert not (kernels / "k8skp_python").exists()


def test_a_folder_that_is_not_ours_is_left_alone(kernels, install, capsys):
    (kernels / "k8skp_python").mkdir(parents=True)
    (kernels / "k8skp_python/kernel.json").write_text("{}")
    assert install("--replace") == 1
    assert "is left alone" in capsys.readouterr().err
    assert files(kernels) == {"k8skp_python/kernel.json"}


@pytest.mark.parametrize("command", ["k8s-kernelspec", "k8s-spec"])
def test_the_command_completes_its_options(command, tmp_path):
    program = Path(sys.executable).parent / f"jupyter-{command}"
    if not program.exists():
        pytest.skip("the package is not installed")
    line = f"jupyter-{command} install --image"
    answer = tmp_path / "answer"
    environment = {
        **os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "HOME": str(tmp_path),
    }  # fmt: skip
    subprocess.run([program], env=environment, check=True, timeout=60, capture_output=True)
    assert {"--image-name", "--image_name"} <= {word.strip() for word in answer.read_text().split("\x0b")}
