"""The command line without a kernel: help, usage, listing, completion, doctor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from remote_kernel_provider.cli import installation_checks
from remote_kernel_provider.cli.failures import UsageError
from remote_kernel_provider.cli.main import COMMANDS, COMPLETION_VARIABLE, cli
from remote_kernel_provider.cli.offers import Offer, default_offer, named
from remote_kernel_provider.cli.options import passed_environment
from remote_kernel_provider.cli.rendering import age, shortened, size
from remote_kernel_provider.host import system_identity

PYTHON = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture
def invoke():
    """Run the command in this process; only for what makes no host, of which a process has one."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, env=environment, prog_name="jupyter remote-kernel")

    return run


def offer(name: str, language: str = "python") -> Offer:
    return Offer(name, name, language, "local", "", None)


def test_help_imports_nothing_heavy():
    code = """
import sys
from remote_kernel_provider.cli.main import cli
cli.main(["--help"], prog_name="jupyter remote-kernel", standalone_mode=False)
heavy = ("zmq", "nbclient", "nbformat", "jsonschema", "tornado", "jupyter_client")
print([name for name in heavy if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Usage: jupyter remote-kernel ")
    assert said.endswith("[]\n")
    assert all(lazy.summary in " ".join(said.split()) for lazy in COMMANDS.values())


def test_looking_for_kernels_imports_no_client(tmp_path):
    code = """
import sys
from remote_kernel_provider.cli.main import cli
for command in ("ps", "sweep"):
    cli.main([command], prog_name="jupyter remote-kernel", standalone_mode=False)
heavy = ("jupyter_client", "tornado", "nbformat", "jupyter_kernel_mgmt", "kubernetes", "aiohttp", "docker", "requests")
print([name for name in heavy if name in sys.modules])
"""
    environment = os.environ | {"JUPYTER_DATA_DIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_each_command_has_its_summary_and_an_example(name: str):
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    assert found.name == name
    assert str(found.help).splitlines()[0] == COMMANDS[name].summary
    assert "Example:" in str(found.epilog)


def test_is_a_subcommand_of_jupyter():
    folder = str(Path(sys.executable).parent)
    jupyter = shutil.which("jupyter", path=folder)
    assert jupyter is not None
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.run(
        [jupyter, "remote-kernel", "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("jupyter remote-kernel, version ")


def test_list(invoke, write_spec):
    write_spec({"display_name": "Mine", "language": "python", "argv": PYTHON}, name="mine")
    table = invoke("list")
    assert table.exit_code == 0
    assert table.stderr == ""
    rows = [line.split() for line in table.stdout.splitlines()]
    assert rows[0][:2] == ["NAME", "DISPLAY"]
    assert ["local/mine", "Mine", "python", "local"] in rows
    kernels = {kernel["name"]: kernel for kernel in json.loads(invoke("list", "--json").stdout)}
    assert kernels["local/mine"]["where"] == "local"
    assert kernels["local/python3"]["language"] == "python"
    assert kernels["spec/python3"]["where"] == ""


def test_list_names_a_bad_spec_in_one_line(invoke, write_spec):
    write_spec("{", name="broken")
    listed = invoke("list", "--json")
    assert listed.exit_code == 0
    assert listed.stderr.count("\n") == 1
    assert "broken/local_kernel.json" in listed.stderr
    assert "local/python3" in [kernel["name"] for kernel in json.loads(listed.stdout)]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["run", "nosuch.py"], "nosuch.py cannot be read: No such file"),
        (["run", "."], "cannot be read: Is a directory"),
        (["run", "x.py", "-c", "1"], "exclude each other"),
        (["run", "-c", "1", "--param", "memory"], "'memory' is not NAME=VALUE"),
        (["run", "-c", "1", "--env", "=x"], "'=x' is not NAME=VALUE"),
        (["run", "-c", "1", "--output", "no/such/folder/x.ipynb"], "folder of --output does not exist"),
        (["run", "-c", "1", "--timeout", "0"], "--timeout"),
        (["run", "-c", "1", "--kernel", "pyton3"], "did you mean 'python3'?"),
        (["run", "-c", "1", "--kernel", "local/nope"], "there is no kernel 'local/nope'"),
        (["run", "-c", "1", "--kernel", "nope/x"], "provider 'nope' is not installed"),
        (["run", "-c", "1", "--kernel", "spec/python3"], "not one of remote-kernel-provider's"),
        (["start", "nope"], "there is no kernel 'nope'"),
        (["stop"], "Name the kernels to stop, or pass --all"),
        (["stop", "x", "--all"], "Name the kernels to stop, or pass --all"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_is_one_error(invoke, arguments: list[str], fragment: str):
    said = invoke(*arguments)
    assert said.exit_code == 2, said
    assert fragment in said.stderr
    assert "Traceback" not in said.stderr
    assert said.stderr.count("Error: ") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["run", "-c", "1", "--param", "uid=0"], "'uid' of kernel 'python3' is not yours to set"),
        (["start", "local/python3", "--param", "launch_timeout=-1"], "positive number of seconds"),
        (["logs", "abc"], "there is no kernel with the id 'abc'"),
        (["restart", "abc"], "there is no kernel with the id 'abc'"),
    ],
)
def test_what_a_host_refuses_is_one_error(command, arguments: list[str], fragment: str):
    said = command(*arguments)
    assert said.returncode == 2, said
    assert said.stderr.startswith("Error: ")
    assert fragment in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"cells": 3, "nbformat": 4}', '{"cells": [{}], "nbformat": 4}']
)
def test_what_is_not_a_notebook(invoke, tmp_path: Path, content: str):
    file = tmp_path / "bad.ipynb"
    file.write_text(content)
    said = invoke("run", str(file))
    assert said.exit_code == 2, said
    assert f"Error: {file} is not a notebook: " in said.stderr
    assert said.stderr.count("\n") == 1


def test_what_is_not_text(invoke, tmp_path: Path):
    file = tmp_path / "program"
    file.write_bytes(b"\x7fELF\xff\xfe")
    said = invoke("run", str(file))
    assert said.exit_code == 2
    assert "is not text" in said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["list"], ["run", "-c", "1"], ["ps"]])
def test_settings_that_cannot_be_read(command, arguments: list[str]):
    said = command(*arguments, RKP_LAUNCH_TIMEOUT="soon")
    assert said.returncode == 2
    assert said.stderr.startswith("Error: the environment's RKP_LAUNCH_TIMEOUT='soon' cannot be read")
    assert said.stderr.count("\n") == 1


@pytest.mark.slow
def test_debug_shows_the_traceback(command):
    # In a process of its own: it also turns on everybody's debug messages.
    assert "Traceback" in command("--debug", "run", "-c", "1", "--kernel", "nope").stderr


def test_names_of_kernels():
    kernels = [offer("local/python3"), offer("k8skp/python3"), offer("k8skp/ir", "R")]
    assert named("ir", kernels).name == "k8skp/ir"
    assert named("local.python3", kernels).name == "local/python3"
    assert named("k8skp/python3", kernels).name == "k8skp/python3"
    with pytest.raises(UsageError, match=r"'python3' is ambiguous: it can be local/python3, k8skp/python3"):
        named("python3", kernels)


def test_default_kernel():
    kernels = [offer("local/other"), offer("local/python3"), offer("local/ir", "R")]
    assert default_offer("", kernels).name == "local/python3"
    assert default_offer("Python", kernels).name == "local/python3"
    assert default_offer("r", kernels).name == "local/ir"
    assert default_offer("", kernels[:1]).name == "local/other"
    with pytest.raises(UsageError, match="no kernel for julia"):
        default_offer("julia", kernels)
    with pytest.raises(UsageError, match="more than one kernel: local/other, local/ir"):
        default_offer("", [kernels[0], kernels[2]])
    with pytest.raises(UsageError, match="the kernels are: none"):
        default_offer("", [])


def test_what_is_passed_to_a_kernel():
    own = {"KERNEL_MEMORY": "1Gi", "KERNEL_CPUS": "2", "HOME": "/home/x", "KERNEL_ID": "of-another"}
    assert passed_environment({"memory": "4Gi"}, {"HOME": "/home/x", "A": "b=c"}, own) == {
        "KERNEL_MEMORY": "4Gi",
        "KERNEL_CPUS": "2",
        "HOME": "/home/x",
        "A": "b=c",
    }
    user = system_identity().user
    assert passed_environment({}, {}, {"KERNEL_USERNAME": user}) == {}
    assert passed_environment({"KERNEL_USERNAME": "x"}, {}, {"KERNEL_USERNAME": user}) == {"KERNEL_USERNAME": "x"}


def test_words_for_durations_sizes_and_ids():
    assert [age(seconds) for seconds in (-1, 0, 59.9, 60, 7500, 90000, 200000)] == [
        "0s", "0s", "59s", "1m", "2h 5m", "1d 1h", "2d 7h",
    ]  # fmt: skip
    assert [size(count) for count in (0, 999, 1000, 12345, 5_400_000)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "12 kB",
        "5.4 MB",
    ]
    assert shortened("abcdefghij", ["abcdefghij", "zzz"]) == "abcdefgh"
    assert shortened("abcdefghij", ["abcdefghij", "abcdefghik"]) == "abcdefghij"
    assert shortened("abc", ["abc", "abcdef"]) == "abc"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(invoke, shell: str):
    said = invoke("completion", shell)
    assert said.exit_code == 0
    assert COMPLETION_VARIABLE in said.stdout
    assert "jupyter-remote-kernel" in said.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [("jupyter-remote-kernel st", ["start", "stop"]), ("jupyter-remote-kernel run --kernel local/", ["local/python3"])],
)
def test_completion(command, words: str, expected: list[str]):
    environment = {COMPLETION_VARIABLE: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    said = command(**environment)
    assert [line.partition(",")[2] for line in said.stdout.split()] == expected
    assert said.stderr == ""


def test_doctor_finds_nothing_to_fix(invoke):
    said = invoke("doctor")
    assert said.exit_code == 0, said
    assert said.stdout.endswith("Nothing to fix.\n")
    findings = json.loads(invoke("doctor", "--json").stdout)
    assert {finding["subject"] for finding in findings} >= {
        "python", "remote-kernel-provider", "pyzmq", "provider local", "backend local", "settings", "data folder",
    }  # fmt: skip


def stock_file(kernel: str) -> dict:
    stanza = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": kernel}}
    return {"argv": ["x"], "display_name": "x", "language": "python", "metadata": {"kernel_provisioner": stanza}}


def spec_file(*argv: str, **metadata) -> dict:
    return {"argv": list(argv), "display_name": "x", "language": "python", "metadata": metadata}


@pytest.mark.parametrize(
    ("document", "file_name", "fragment"),
    [
        ("{", "local_kernel.json", "is not JSON"),
        (spec_file(*PYTHON, launch_parameter_schema={"type": 3}), "local_kernel.json", "not a JSON Schema"),
        (spec_file("no-such-command", "{connection_file}"), "local_kernel.json", "'no-such-command' does not exist"),
        (spec_file(__file__, "{connection_file}"), "kernel.json", "may not be executed"),
        (stock_file("local/gone"), "kernel.json", "it names 'local/gone', which is not there"),
        (stock_file("nowhere/gone"), "kernel.json", "the provider 'nowhere' is not there"),
    ],
)
def test_doctor_finds_bad_specs(invoke, write_spec, document, file_name: str, fragment: str):
    write_spec(document, name="sick", file_name=file_name)
    said = invoke("doctor", "--json")
    assert said.exit_code == 1
    assert said.stderr == ""
    problems = [finding for finding in json.loads(said.stdout) if finding["state"] == "problem"]
    assert len(problems) == 1
    assert fragment in problems[0]["seen"]
    assert problems[0]["remedy"]
    assert "what to do: " in invoke("doctor").stdout


def test_doctor_finds_bad_settings(invoke):
    said = invoke("doctor", RKP_PORT_RANGE="9..1")
    assert said.exit_code == 1
    assert "RKP_PORT_RANGE" in said.stdout or "port_range" in said.stdout
    assert "1 to fix." in said.stdout


def test_doctor_finds_profiles_of_no_kernel(invoke):
    said = invoke("doctor", RKP_PROFILES='{"local/nope": {"big": {"parameters": {}}}}')
    assert said.exit_code == 1
    assert "there is no kernel 'local/nope'" in said.stdout


def test_doctor_says_whether_jupyterlab_has_our_extension(invoke, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(installation_checks, "jupyter_path", lambda name: [str(tmp_path / name)])
    assert "not built" in invoke("doctor").stdout
    file = tmp_path / "labextensions/remote-kernel-provider-labextension/package.json"
    file.parent.mkdir(parents=True)
    file.write_text('{"version": "7.6.5"}')
    assert f"7.6.5 ({file.parent})" in invoke("doctor").stdout
    file.write_text("[]")
    assert "cannot be read" in invoke("doctor").stdout


def test_doctor_finds_open_folders(invoke, tmp_path: Path):
    folder = tmp_path / "data" / "remote-kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (folder / "host.json").write_text('{"host_id": "x", "secret": "00"}')
    (folder / "host.json").chmod(0o644)
    said = invoke("doctor")
    assert said.exit_code == 1
    assert f"chmod go-w {folder}" in said.stdout
    assert f"chmod 600 {folder}/host.json" in said.stdout


def test_doctor_finds_a_folder_that_cannot_be_made(invoke, tmp_path: Path):
    (tmp_path / "file").write_text("")
    said = invoke("doctor", RKP_DATA_FOLDER=str(tmp_path / "file" / "below"))
    assert said.exit_code == 1
    assert "Traceback" not in said.stderr
    assert "is not writable" in said.stdout
