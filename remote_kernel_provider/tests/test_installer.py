"""`jupyter local-kernelspec install`: what it writes, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from remote_kernel_provider.kernelspecs.installer import (
    ConfigValue,
    NewSpec,
    SpecInstall,
    SpecKind,
    provider_document,
    run_installer,
    stock_document,
)
from remote_kernel_provider.kernelspecs.installer.locations import default_kernels_folder
from remote_kernel_provider.local.installer import LOCAL_KIND, main
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.local.provider import LocalKernelProvider

PNG = b"\x89PNG not really"
TOY = {
    "display_name": "Toy (tiny)",
    "language": "toy",
    "argv": ["python", "{resource_dir}/toy.py", "-f", "{connection_file}", "{prefix}"],
    "env": {"TOYS": "$HOME/toys"},
    "interrupt_mode": "message",
    "metadata": {
        "debugger": True,
        "supported_encryption": ["curve"],
        "parameters": {"type": "object", "properties": {"memory": {"type": "string"}}},
    },
}


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """The kernels folder of a new environment on the Jupyter path, with one ordinary kernel in it."""
    for name in ("HOME", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "env/share/jupyter"))
    folder = tmp_path / "env/share/jupyter/kernels"
    ordinary(folder / "toy", TOY)
    return folder


def ordinary(folder, document):
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(document))
    (folder / "logo-64x64.png").write_bytes(PNG)
    (folder / "toy.py").write_text("")


def install(kernels, *options):
    return main(["install", "--prefix", str(kernels.parents[2]), *options])


def read(file):
    return json.loads(file.read_text())


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_an_ordinary_kernel_becomes_a_local_one(kernels, capsys):
    assert install(kernels, "--kernel", "toy") == 0
    folder = kernels / "local_toy"
    assert {path.name for path in folder.iterdir()} == {"local_kernel.json", "kernel.json", "logo-64x64.png"}
    spec = read(folder / "local_kernel.json")
    assert spec["argv"] == ["python", f"{kernels}/toy/toy.py", "-f", "{connection_file}", sys.prefix]
    assert spec["display_name"] == "Toy (tiny, local)"
    assert spec["metadata"].pop("lifecycle_manager") == {
        "class_name": "remote_kernel_provider.LocalLifecycleManager",
        "config": {},
    }
    for field in ("language", "env", "interrupt_mode", "metadata"):
        assert spec[field] == TOY[field]
    assert capsys.readouterr().out.splitlines() == [
        f"Installed local/local_toy in {folder}",
        "Run something on it with 'jupyter remote-kernel run --kernel local/local_toy …', "
        "or pick 'Toy (tiny, local)' in JupyterLab",
    ]


def test_stock_jupyter_gets_the_bridge_and_never_the_kernels_command(kernels):
    install(kernels, "--kernel", "toy")
    schema = TOY["metadata"]["parameters"]
    assert read(kernels / "local_toy/kernel.json") == {
        "display_name": "Toy (tiny, local)",
        "language": "toy",
        "argv": [
            *(sys.executable, "-m", "remote_kernel_provider.jupyter.bridge"),
            *("--kernel", "local/local_toy", "-f", "{connection_file}"),
        ],
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "supported_encryption": ["curve"],
            "parameters": schema,
            "launch_parameter_schema": schema,
            "kernel_provisioner": {
                "provisioner_name": "remote-kernel-provisioner",
                "config": {"kernel": "local/local_toy"},
            },
        },
    }


def test_the_provider_and_stock_jupyter_list_it_with_its_logo(kernels):
    install(kernels, "--kernel", "toy", "--launch-timeout", "45")
    spec = LocalKernelProvider().specs()["local_toy"]
    assert spec.file == kernels / "local_toy/local_kernel.json"
    assert spec.lifecycle_manager == LocalLifecycleManager.name
    assert spec.config == {"launch_timeout": 45.0}
    assert spec.handshake == "assigned"
    assert spec.supports_curve
    stock = KernelSpecManager().get_all_specs()["local_toy"]
    assert stock["spec"]["display_name"] == spec.display_name
    assert (Path(stock["resource_dir"]) / "logo-64x64.png").read_bytes() == PNG


def test_its_kind_says_what_the_provider_says():
    assert LOCAL_KIND.provider_id == LocalKernelProvider.id
    assert LOCAL_KIND.spec_file == LocalKernelProvider.kernel_file
    assert LOCAL_KIND.lifecycle_manager == LocalKernelProvider.default_lifecycle
    assert tuple(LOCAL_KIND.config_keys) == tuple(LocalKernelProvider.config_keys)


def test_python3_is_taken_when_no_kernel_is_named(kernels):
    assert install(kernels) == 0
    spec = read(kernels / "local_python3/local_kernel.json")
    assert spec["argv"][-4:] == ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert any(path.name.startswith("logo-") for path in (kernels / "local_python3").iterdir())


@pytest.mark.slow
def test_the_command_on_the_path_installs(kernels, tmp_path):
    command = [Path(sys.executable).parent / "jupyter", "local-kernelspec", "install"]
    done = subprocess.run(
        [*command, "--user", "--kernel", "toy", "--kernel-name", "mine"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "jupyter_data_dir/kernels/mine/local_kernel.json").is_file()
    assert "mine" in LocalKernelProvider().specs()


def isolated(*arguments):
    """Run the command in an environment of its own, where only the Jupyter path and the system have kernels."""
    code = "from remote_kernel_provider.local.installer import main; raise SystemExit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*arguments[:1], "-c", code, *arguments[1:]], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
def test_the_only_ordinary_kernel_is_taken_where_there_is_no_python3(kernels, tmp_path):
    # Runs by another provisioner, and hides what ipykernel offers under that name.
    ordinary(kernels / "python3", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "foreign"}}})
    for system in ("/usr/share/jupyter/kernels", "/usr/local/share/jupyter/kernels"):
        if Path(system).exists() and os.listdir(system):
            pytest.skip(f"{system} has kernels")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    done = isolated(tmp_path / "venv/bin/python", "install", "--user")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "jupyter_data_dir/kernels/local_toy/kernel.json").is_file()


def test_several_ordinary_kernels_have_to_be_chosen_from(kernels, capsys):
    ordinary(kernels / "python3", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "foreign"}}})
    ordinary(kernels / "toy2", TOY)
    assert install(kernels) == 1
    error = capsys.readouterr().err
    assert "name the kernel to install with --kernel; the kernels are: " in error
    assert "toy, toy2" in error
    assert "python3" not in error


@pytest.mark.parametrize("separator", ["-", "_"])
def test_every_option_has_both_spellings(kernels, separator):
    options = {
        "kernel-name": "chosen",
        "display-name": "Chosen",
        "launch-timeout": "90.5",
        "port-range": "33000..34000",
        "authorized-users": "ada, bob",
        "unauthorized-users": "eve",
        "interrupt-mode": "signal",
        "kernel-command": 'toy "two words" -f {connection_file}',
    }
    words = [f"--{name.replace('-', separator)}={value}" for name, value in options.items()]
    assert install(kernels, "--kernel=toy", f"--authorized{separator}users=cy", "--language=other", *words) == 0
    spec = read(kernels / "chosen/local_kernel.json")
    assert spec["display_name"] == "Chosen"
    assert spec["language"] == "other"
    assert spec["interrupt_mode"] == "signal"
    assert spec["argv"] == ["toy", "two words", "-f", "{connection_file}"]
    assert spec["metadata"]["lifecycle_manager"]["config"] == {
        "launch_timeout": 90.5,
        "port_range": "33000..34000",
        "authorized_users": ["cy", "ada", "bob"],
        "unauthorized_users": ["eve"],
    }
    provided = LocalKernelProvider().specs()["chosen"]
    assert provided.config["port_range"] == (33000, 34000)
    stock = read(kernels / "chosen/kernel.json")
    assert (stock["display_name"], stock["language"], stock["interrupt_mode"]) == ("Chosen", "other", "signal")


def test_parameters_and_environment_become_the_specs_own(kernels):
    pairs = ["--param", "launch_timeout=77", "--param=port_range=33000..34000", "--env", "A=b=c", "--env=EMPTY="]
    assert install(kernels, "--kernel", "toy", *pairs) == 0
    spec = read(kernels / "local_toy/local_kernel.json")
    config = spec["metadata"]["lifecycle_manager"]["config"]
    assert config == {"launch_timeout": 77, "port_range": "33000..34000"}
    assert spec["env"] == {**TOY["env"], "A": "b=c", "EMPTY": ""}
    assert LocalKernelProvider().specs()["local_toy"].config["launch_timeout"] == 77.0


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("launch_timeot=7", "--param: there is no parameter 'launch_timeot'; did you mean 'launch_timeout'?"),
        ("memory=2Gi", "--param: there is no parameter 'memory'"),
        ("launch_timeout=soon", "--param launch_timeout is 'soon'; expected a number of seconds"),
        ("launch_timeout", "--param is ['launch_timeout']; expected NAME=VALUE"),
        ("=7", "--param is ['=7']; expected NAME=VALUE"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(kernels, pair, sentence, capsys):
    assert install(kernels, "--kernel", "toy", "--param", pair) == 2
    assert sentence in capsys.readouterr().err
    assert not (kernels / "local_toy").exists()


def test_what_users_are_asked_for_is_a_schema(kernels):
    assert install(kernels, "--kernel", "toy", "--ask", "launch_timeout, uid") == 0
    schema = LocalKernelProvider().specs()["local_toy"].parameter_schema
    assert list(schema["properties"]) == ["launch_timeout", "uid"]
    assert schema["properties"]["launch_timeout"]["type"] == "string"
    assert "Expected: seconds." in schema["properties"]["launch_timeout"]["description"]
    assert read(kernels / "local_toy/kernel.json")["metadata"]["parameters"] == schema


def test_nobody_can_be_asked_for_what_is_no_parameter(kernels, capsys):
    assert install(kernels, "--kernel", "toy", "--ask", "launch_timeot") == 2
    assert "--ask: there is no parameter 'launch_timeot'; did you mean 'launch_timeout'?" in capsys.readouterr().err
    assert not (kernels / "local_toy").exists()


def test_an_empty_list_is_a_choice(kernels):
    assert install(kernels, "--kernel", "toy", "--unauthorized-users", "") == 0
    spec = read(kernels / "local_toy/local_kernel.json")
    assert spec["metadata"]["lifecycle_manager"]["config"] == {"unauthorized_users": []}


def test_a_command_alone_is_enough(kernels):
    command = "/opt/R-4.5/bin/R --slave -e 'IRkernel::main()' --args {connection_file}"
    assert install(kernels, "--kernel-command", command) == 0
    spec = LocalKernelProvider().specs()["local_r"]
    assert spec.argv == ("/opt/R-4.5/bin/R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}")
    assert (spec.display_name, spec.language, spec.interrupt_mode) == ("R (local)", "R", "signal")


def test_a_launcher_reports(kernels):
    command = "python -m kernel_launchers.python --response-address {response_address}"
    assert install(kernels, "--kernel-command", command, "--kernel-name", "derived") == 0
    assert install(kernels, "--kernel-command", "mine", "--handshake", "reported", "--kernel-name", "said") == 0
    specs = LocalKernelProvider().specs()
    assert (specs["derived"].handshake, specs["said"].handshake) == ("reported", "reported")


def test_a_config_file_chooses_for_every_install(kernels, tmp_path):
    config = tmp_path / "jupyter_config_dir/jupyter_local_kernelspec_config.py"
    config.parent.mkdir()
    config.write_text("c.SpecInstall.launch_timeout = 77\nc.LocalSpecInstall.kernel = 'toy'\n")
    assert install(kernels) == 0
    assert LocalKernelProvider().specs()["local_toy"].config == {"launch_timeout": 77.0}
    other = tmp_path / "other.json"
    other.write_text('{"LocalSpecInstall": {"kernel": "toy", "kernel_name": "other", "authorized_users": ["ada"]}}')
    assert install(kernels, "--config", str(other)) == 0
    assert LocalKernelProvider().specs()["other"].config == {"authorized_users": ("ada",)}


def test_a_dry_run_prints_both_files_and_writes_none(kernels, tmp_path, capsys):
    before = snapshot(tmp_path)
    assert install(kernels, "--kernel", "toy", "--dry-run") == 0
    printed = capsys.readouterr().out
    for file in ("local_kernel.json", "kernel.json"):
        assert f"{kernels}/local_toy/{file}:" in printed
    assert snapshot(tmp_path) == before
    install(kernels, "--kernel", "toy")
    for file in ("local_kernel.json", "kernel.json"):
        assert (kernels / "local_toy" / file).read_text() in printed
    assert install(kernels, "--kernel", "toy", "--dry-run") == 1


def test_the_default_place_is_the_environment_or_the_user(kernels, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    assert default_kernels_folder() == Path(sys.prefix) / "share/jupyter/kernels"
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    if os.geteuid():
        assert default_kernels_folder() in (
            tmp_path / "jupyter_data_dir/kernels",
            Path("/usr/local/share/jupyter/kernels"),
        )


def test_files_are_as_readable_as_the_umask_says(kernels):
    before = os.umask(0o027)
    try:
        install(kernels, "--kernel", "toy")
    finally:
        os.umask(before)
    folder = kernels / "local_toy"
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}


def test_an_existing_spec_is_replaced_only_on_request(kernels, capsys):
    install(kernels, "--kernel", "toy")
    before = snapshot(kernels)
    assert install(kernels, "--kernel", "toy", "--display-name", "New") == 1
    assert f"{kernels}/local_toy exists; replace it with --replace" in capsys.readouterr().err
    assert snapshot(kernels) == before
    assert install(kernels, "--kernel", "toy", "--display-name", "New", "--replace") == 0
    assert LocalKernelProvider().specs()["local_toy"].display_name == "New"
    assert sorted(path.name for path in kernels.iterdir()) == ["local_toy", "toy"]


def test_a_replaced_folder_keeps_what_the_user_put_there_and_no_old_logo(kernels):
    install(kernels, "--kernel", "toy")
    folder = kernels / "local_toy"
    (folder / "notes").mkdir()
    (folder / "notes/why.txt").write_text("mine")
    (folder / "logo-svg.svg").write_text("<svg/>")
    install(kernels, "--kernel", "toy", "--replace")
    assert (folder / "notes/why.txt").read_text() == "mine"
    assert not (folder / "logo-svg.svg").exists()
    assert (folder / "logo-64x64.png").read_bytes() == PNG


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda folder: None, id="ordinary"),
        pytest.param(lambda folder: (folder / "local_kernel.json").write_text("{}"), id="spec beside a stock kernel"),
        pytest.param(lambda folder: (folder / "kernel.json").unlink(), id="no kernel at all"),
        pytest.param(
            lambda folder: [
                (folder / "local_kernel.json").write_text("{}"),
                (folder / "kernel.json").write_text(
                    json.dumps(stock_document(NewSpec("toy", "Toy", "toy", ()), DOCKER_KIND))
                ),
            ],
            id="a sibling's",
        ),
        pytest.param(
            lambda folder: [
                (folder / "local_kernel.json").write_text("{}"),
                (folder / "kernel.json").write_text('{"metadata": []}'),
            ],
            id="not readable as ours",
        ),
    ],
)
def test_a_foreign_folder_is_never_touched(kernels, prepare, capsys):
    ordinary(kernels / "foreign", TOY)
    prepare(kernels / "foreign")
    before = snapshot(kernels)
    for more in ([], ["--replace"]):
        assert install(kernels, "--kernel", "toy", "--kernel-name", "foreign", *more) == 1
        assert f"{kernels}/foreign is not a spec of local-kernelspec and is left alone" in capsys.readouterr().err
    assert snapshot(kernels) == before


def test_names_that_differ_only_in_case_are_refused(kernels, capsys):
    assert install(kernels, "--kernel", "toy", "--kernel-name", "TOY") == 1
    assert "does not tell capital letters from small ones" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "a/b", "..", ".hidden", "käse", "a\n"])
def test_bad_kernel_names_are_refused(kernels, tmp_path, name, capsys):
    before = snapshot(tmp_path)
    assert install(kernels, "--kernel", "toy", f"--kernel-name={name}") == 1
    assert "may hold only letters, digits, '.', '_' and '-'" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["python", "Python"])
def test_the_name_that_jupyter_takes_for_its_own_kernel_is_refused(kernels, tmp_path, name, capsys):
    before = snapshot(tmp_path)
    assert install(kernels, "--kernel", "toy", f"--kernel-name={name}") == 1
    assert "means the ordinary kernel of this machine" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_a_logo_that_cannot_be_read_leaves_nothing(kernels, tmp_path, capsys):
    (kernels / "toy/logo-32x32.png").mkdir()
    before = snapshot(tmp_path)
    assert install(kernels, "--kernel", "toy") == 1
    assert "logo-32x32.png cannot be read: Is a directory" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_an_install_that_fails_half_way_leaves_not_even_the_folders_on_the_way(kernels, tmp_path, capsys):
    before = snapshot(tmp_path)
    # Too long for a file system; noticed only when the folder is made.
    assert main(["install", "--kernel", "toy", f"--prefix={tmp_path}/new/env", "--kernel-name", "n" * 256]) == 1
    assert "cannot be written: File name too long" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_a_replacement_that_fails_leaves_the_old_spec(kernels, capsys):
    install(kernels, "--kernel", "toy")
    os.mkfifo(kernels / "local_toy/pipe")  # a file that cannot be copied
    names = sorted(path.name for path in kernels.rglob("*"))
    spec = (kernels / "local_toy/local_kernel.json").read_text()
    assert install(kernels, "--kernel", "toy", "--display-name", "New", "--replace") == 1
    assert "pipe" in capsys.readouterr().err
    assert sorted(path.name for path in kernels.rglob("*")) == names
    assert (kernels / "local_toy/local_kernel.json").read_text() == spec


def test_a_folder_that_may_not_be_written_is_one_sentence(kernels, capsys):
    kernels.chmod(0o555)
    if os.access(kernels, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert install(kernels, "--kernel", "toy") == 1
    assert "cannot be written: Permission denied; choose another place with --user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"kernel_provisioner": {"provisioner_name": "remote-kernel-provisioner"}}, "'remote-kernel-provisioner'"),
        ({"kernel_provisioner": {"provisioner_name": "kubernetes-provisioner"}}, "'kubernetes'"),
        ({"process_proxy": {"class_name": "acme.Proxy"}}, "metadata.process_proxy names 'acme.Proxy'"),
    ],
)
def test_a_kernel_that_somebody_else_runs_is_no_source(kernels, metadata, what, capsys):
    ordinary(kernels / "peer", {**TOY, "metadata": metadata})
    assert install(kernels, "--kernel", "peer") == 1
    error = capsys.readouterr().err
    assert "the kernel 'peer' is no ordinary kernel" in error
    assert what in error
    assert not (kernels / "local_peer").exists()


def test_the_stock_provisioner_by_name_is_ordinary(kernels):
    ordinary(kernels / "plain", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}})
    assert install(kernels, "--kernel", "plain") == 0
    spec = read(kernels / "local_plain/local_kernel.json")
    assert list(spec["metadata"]) == ["lifecycle_manager"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [("{", "is not JSON"), ("[]", "must hold a JSON object"), ('{"argv": "x"}', "'argv' must be"), ("{}", "is empty")],
)
def test_a_malformed_source_is_one_sentence(kernels, document, sentence, capsys):
    (kernels / "toy/kernel.json").write_text(document)
    assert install(kernels, "--kernel", "toy") == 1
    error = capsys.readouterr().err
    assert f"{kernels}/toy/kernel.json" in error
    assert sentence in error
    assert error.count("\n") == 1


def test_a_place_where_jupyter_does_not_look_is_pointed_out(kernels, tmp_path, capsys):
    assert main(["install", "--kernel", "toy", f"--prefix={tmp_path}/aside"]) == 0
    assert f"Jupyter does not look in {tmp_path}/aside/share/jupyter/kernels" in capsys.readouterr().err


def test_a_kernel_that_hides_another_is_pointed_out(kernels, capsys):
    assert main(["install", "--kernel", "toy", "--user", "--kernel-name", "toy"]) == 0
    assert f"is hidden by {kernels}/toy" in capsys.readouterr().err


DOCKER_KIND = SpecKind("docker", "docker_kernel.json", "docker_kernel_provider.DockerLifecycleManager", "docker-spec")


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


def test_a_sibling_declares_only_what_is_its_own(kernels):
    prefix = f"--prefix={kernels.parents[2]}"
    assert run_installer(DockerInstall, ["install", prefix]) == 0
    folder = kernels / "docker_python"
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


def test_what_a_kept_link_leads_to_is_not_overwritten(kernels, tmp_path):
    prefix = f"--prefix={kernels.parents[2]}"
    run_installer(DockerInstall, ["install", prefix])
    outside = tmp_path / "outside.py"
    outside.write_text("mine")
    script = kernels / "docker_python/scripts/start.py"
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
