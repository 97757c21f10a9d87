"""`jupyter local-kernelspec install`: what it writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from toy_kernel import PNG, TOY, install, ordinary, read, snapshot

from remote_kernel_provider.kernelspecs.installer.locations import default_kernels_folder
from remote_kernel_provider.local.installer import LOCAL_KIND
from remote_kernel_provider.local.lifecycle import LocalLifecycleManager
from remote_kernel_provider.local.provider import LocalKernelProvider


def test_an_ordinary_kernel_becomes_a_local_one(kernels_folder, capsys):
    assert install(kernels_folder, "--kernel", "toy") == 0
    folder = kernels_folder / "local_toy"
    assert {path.name for path in folder.iterdir()} == {"local_kernel.json", "kernel.json", "logo-64x64.png"}
    spec = read(folder / "local_kernel.json")
    assert spec["argv"] == ["python", f"{kernels_folder}/toy/toy.py", "-f", "{connection_file}", sys.prefix]
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


def test_stock_jupyter_gets_the_bridge_and_never_the_kernels_command(kernels_folder):
    install(kernels_folder, "--kernel", "toy")
    schema = TOY["metadata"]["parameters"]
    assert read(kernels_folder / "local_toy/kernel.json") == {
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


def test_the_provider_and_stock_jupyter_list_it_with_its_logo(kernels_folder):
    install(kernels_folder, "--kernel", "toy", "--launch-timeout", "45")
    spec = LocalKernelProvider().specs()["local_toy"]
    assert spec.file == kernels_folder / "local_toy/local_kernel.json"
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


def test_python3_is_taken_when_no_kernel_is_named(kernels_folder):
    assert install(kernels_folder) == 0
    spec = read(kernels_folder / "local_python3/local_kernel.json")
    assert spec["argv"][-4:] == ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert any(path.name.startswith("logo-") for path in (kernels_folder / "local_python3").iterdir())


@pytest.mark.slow
def test_the_command_on_the_path_installs(kernels_folder, tmp_path):
    command = [Path(sys.executable).parent / "jupyter", "local-kernelspec", "install"]
    done = subprocess.run(
        [*command, "--user", "--kernel", "toy", "--kernel-name", "mine"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data/kernels/mine/local_kernel.json").is_file()
    assert "mine" in LocalKernelProvider().specs()


def isolated(*arguments):
    """Run the command in an environment of its own, where only the Jupyter path and the system have kernels."""
    code = "from remote_kernel_provider.local.installer import main; raise SystemExit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*arguments[:1], "-c", code, *arguments[1:]], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
def test_the_only_ordinary_kernel_is_taken_where_there_is_no_python3(kernels_folder, tmp_path):
    # Runs by another provisioner, and hides what ipykernel offers under that name.
    ordinary(kernels_folder / "python3", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "foreign"}}})
    for system in ("/usr/share/jupyter/kernels", "/usr/local/share/jupyter/kernels"):
        if Path(system).exists() and os.listdir(system):
            pytest.skip(f"{system} has kernels")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    done = isolated(tmp_path / "venv/bin/python", "install", "--user")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "data/kernels/local_toy/kernel.json").is_file()


def test_several_ordinary_kernels_have_to_be_chosen_from(kernels_folder, capsys):
    ordinary(kernels_folder / "python3", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "foreign"}}})
    ordinary(kernels_folder / "toy2", TOY)
    assert install(kernels_folder) == 1
    error = capsys.readouterr().err
    assert "name the kernel to install with --kernel; the kernels are: " in error
    assert "toy, toy2" in error
    assert "python3" not in error


@pytest.mark.parametrize("separator", ["-", "_"])
def test_every_option_has_both_spellings(kernels_folder, separator):
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
    assert install(kernels_folder, "--kernel=toy", f"--authorized{separator}users=cy", "--language=other", *words) == 0
    spec = read(kernels_folder / "chosen/local_kernel.json")
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
    stock = read(kernels_folder / "chosen/kernel.json")
    assert (stock["display_name"], stock["language"], stock["interrupt_mode"]) == ("Chosen", "other", "signal")


def test_parameters_and_environment_become_the_specs_own(kernels_folder):
    pairs = ["--param", "launch_timeout=77", "--param=port_range=33000..34000", "--env", "A=b=c", "--env=EMPTY="]
    assert install(kernels_folder, "--kernel", "toy", *pairs) == 0
    spec = read(kernels_folder / "local_toy/local_kernel.json")
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
def test_a_wrong_parameter_is_one_sentence(kernels_folder, pair, sentence, capsys):
    assert install(kernels_folder, "--kernel", "toy", "--param", pair) == 2
    assert sentence in capsys.readouterr().err
    assert not (kernels_folder / "local_toy").exists()


def test_what_users_are_asked_for_is_a_schema(kernels_folder):
    assert install(kernels_folder, "--kernel", "toy", "--ask", "launch_timeout, uid") == 0
    schema = LocalKernelProvider().specs()["local_toy"].parameter_schema
    assert list(schema["properties"]) == ["launch_timeout", "uid"]
    assert schema["properties"]["launch_timeout"]["type"] == "string"
    assert "Expected: seconds." in schema["properties"]["launch_timeout"]["description"]
    assert read(kernels_folder / "local_toy/kernel.json")["metadata"]["parameters"] == schema


def test_nobody_can_be_asked_for_what_is_no_parameter(kernels_folder, capsys):
    assert install(kernels_folder, "--kernel", "toy", "--ask", "launch_timeot") == 2
    assert "--ask: there is no parameter 'launch_timeot'; did you mean 'launch_timeout'?" in capsys.readouterr().err
    assert not (kernels_folder / "local_toy").exists()


def test_an_empty_list_is_a_choice(kernels_folder):
    assert install(kernels_folder, "--kernel", "toy", "--unauthorized-users", "") == 0
    spec = read(kernels_folder / "local_toy/local_kernel.json")
    assert spec["metadata"]["lifecycle_manager"]["config"] == {"unauthorized_users": []}


def test_a_command_alone_is_enough(kernels_folder):
    command = "/opt/R-4.5/bin/R --slave -e 'IRkernel::main()' --args {connection_file}"
    assert install(kernels_folder, "--kernel-command", command) == 0
    spec = LocalKernelProvider().specs()["local_r"]
    assert spec.argv == ("/opt/R-4.5/bin/R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}")
    assert (spec.display_name, spec.language, spec.interrupt_mode) == ("R (local)", "R", "signal")


def test_a_launcher_reports(kernels_folder):
    command = "python -m kernel_launchers.python --response-address {response_address}"
    assert install(kernels_folder, "--kernel-command", command, "--kernel-name", "derived") == 0
    assert install(kernels_folder, "--kernel-command", "mine", "--handshake", "reported", "--kernel-name", "said") == 0
    specs = LocalKernelProvider().specs()
    assert (specs["derived"].handshake, specs["said"].handshake) == ("reported", "reported")


def test_a_config_file_chooses_for_every_install(kernels_folder, tmp_path):
    config = tmp_path / "config/jupyter_local_kernelspec_config.py"
    config.parent.mkdir()
    config.write_text("c.SpecInstall.launch_timeout = 77\nc.LocalSpecInstall.kernel = 'toy'\n")
    assert install(kernels_folder) == 0
    assert LocalKernelProvider().specs()["local_toy"].config == {"launch_timeout": 77.0}
    other = tmp_path / "other.json"
    other.write_text('{"LocalSpecInstall": {"kernel": "toy", "kernel_name": "other", "authorized_users": ["ada"]}}')
    assert install(kernels_folder, "--config", str(other)) == 0
    assert LocalKernelProvider().specs()["other"].config == {"authorized_users": ("ada",)}


def test_a_dry_run_prints_both_files_and_writes_none(kernels_folder, tmp_path, capsys):
    before = snapshot(tmp_path)
    assert install(kernels_folder, "--kernel", "toy", "--dry-run") == 0
    printed = capsys.readouterr().out
    for file in ("local_kernel.json", "kernel.json"):
        assert f"{kernels_folder}/local_toy/{file}:" in printed
    assert snapshot(tmp_path) == before
    install(kernels_folder, "--kernel", "toy")
    for file in ("local_kernel.json", "kernel.json"):
        assert (kernels_folder / "local_toy" / file).read_text() in printed
    assert install(kernels_folder, "--kernel", "toy", "--dry-run") == 1


def test_the_default_place_is_the_environment_or_the_user(kernels_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    assert default_kernels_folder() == Path(sys.prefix) / "share/jupyter/kernels"
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    if os.geteuid():
        assert default_kernels_folder() in (
            tmp_path / "data/kernels",
            Path("/usr/local/share/jupyter/kernels"),
        )


def test_files_are_as_readable_as_the_umask_says(kernels_folder):
    before = os.umask(0o027)
    try:
        install(kernels_folder, "--kernel", "toy")
    finally:
        os.umask(before)
    folder = kernels_folder / "local_toy"
    assert folder.stat().st_mode & 0o777 == 0o750
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}
