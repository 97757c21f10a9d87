"""The installer as another provider package uses it: a kind, an option of its own, and a template."""

from toy_kernel import DOCKER_KIND, read

from remote_kernel_provider.kernelspecs.installer import (
    ConfigValue,
    NewSpec,
    SpecInstall,
    provider_document,
    run_installer,
    stock_document,
)
from remote_kernel_provider.local.installer import LOCAL_KIND


class DockerInstall(SpecInstall):
    """Installs as a sibling package would: a kind, an option of its own, and a template."""

    kind = DOCKER_KIND
    image_name = ConfigValue("image_name")

    def default_spec(self):
        return NewSpec(
            kernel_name="docker_python",
            display_name="Docker Python",
            language="python",
            argv=(),
            config={"image_name": "quay.io/acme/base"},
            files={"scripts/start.py": b"new"},
            editable_files={"scripts/pod.yaml.j2": b"new"},
        )


def test_a_sibling_declares_only_what_is_its_own(kernels_folder):
    prefix = f"--prefix={kernels_folder.parents[2]}"
    assert run_installer(DockerInstall, ["install", prefix]) == 0
    folder = kernels_folder / "docker_python"
    spec = read(folder / "docker_kernel.json")
    assert spec["metadata"]["lifecycle_manager"] == {
        "class_name": DOCKER_KIND.lifecycle_class,
        "config": {"image_name": "quay.io/acme/base"},
    }
    assert read(folder / "kernel.json")["metadata"]["kernel_provisioner"]["config"] == {
        "kernel": "docker/docker_python"
    }
    for name in ("start.py", "pod.yaml.j2"):
        (folder / "scripts" / name).write_text("edited")
    assert run_installer(DockerInstall, ["install", prefix, "--replace", "--image_name", "other:2"]) == 0
    assert read(folder / "docker_kernel.json")["metadata"]["lifecycle_manager"]["config"] == {"image_name": "other:2"}
    assert (folder / "scripts/start.py").read_text() == "new"
    assert (folder / "scripts/pod.yaml.j2").read_text() == "edited"
    assert run_installer(DockerInstall, ["remove", "-y", "docker/docker_python", prefix]) == 0
    assert not folder.exists()


def test_what_a_kept_link_leads_to_is_not_overwritten(kernels_folder, tmp_path):
    prefix = f"--prefix={kernels_folder.parents[2]}"
    run_installer(DockerInstall, ["install", prefix])
    outside = tmp_path / "outside.py"
    outside.write_text("mine")
    script = kernels_folder / "docker_python/scripts/start.py"
    script.unlink()
    script.symlink_to(outside)
    assert run_installer(DockerInstall, ["install", prefix, "--replace"]) == 0
    assert (script.read_text(), outside.read_text()) == ("new", "mine")


def test_both_files_come_from_one_value():
    spec = NewSpec("x", "X", "r", ("R", "{connection_file}"), metadata={"launch_parameter_schema": {"type": "object"}})
    provided, stock = provider_document(spec, LOCAL_KIND), stock_document(spec, LOCAL_KIND)
    for field in ("display_name", "language", "interrupt_mode"):
        assert provided[field] == stock[field]
    assert stock["metadata"]["parameters"] == provided["metadata"]["launch_parameter_schema"]
