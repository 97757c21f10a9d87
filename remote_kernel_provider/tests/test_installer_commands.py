"""`jupyter local-kernelspec list`, `show` and `remove`, and the command line that all installers share."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from remote_kernel_provider.kernelspecs.installer import SpecApplication
from remote_kernel_provider.local.installer import LocalSpecInstall, main

COMMAND = f"{sys.executable} {{connection_file}}"


@pytest.fixture
def spec(kernels_folder, capsys):
    """The folder of an installed spec."""
    options = ["--kernel-name", "one", "--display-name", "One", "--language", "toy", "--launch-timeout", "60"]
    assert main(["install", "--prefix", str(kernels_folder.parents[2]), "--kernel-command", COMMAND, *options]) == 0
    capsys.readouterr()
    return kernels_folder / "one"


def listed(capsys, *options):
    assert main(["list", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def faults(capsys):
    return [spec["faults"] for spec in listed(capsys)]


def edit(file, **fields):
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_list_shows_name_display_name_and_folder(spec, capsys):
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == ["one", "One", str(spec)]
    assert listed(capsys) == [
        {
            "name": "one",
            "kernel": "local/one",
            "display_name": "One",
            "language": "toy",
            "folder": str(spec),
            "faults": [],
        }
    ]


def test_list_of_nothing_says_how_to_install(kernels_folder, capsys):
    assert main(["list"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "'jupyter local-kernelspec install' installs one" in output.err
    assert listed(capsys) == []


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda folder: (folder / "local_kernel.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "kernel.json").unlink(), "stock Jupyter does not see it"),
        (lambda folder: (folder / "kernel.json").write_text("{"), "was not written for the provider 'local'"),
        (
            lambda folder: edit(folder / "kernel.json", argv=["/gone/python", "-m", "x"]),
            "the Python of its kernel.json, /gone/python, is no longer there",
        ),
        (lambda folder: edit(folder / "local_kernel.json", display_name="Two"), "do not say the same of display_name"),
        (lambda folder: edit(folder / "local_kernel.json", argv=["nowhere"]), "'nowhere' does not exist"),
        (lambda folder: edit(folder / "local_kernel.json", argv=[]), "'argv' is empty"),
    ],
)
def test_list_says_what_is_wrong(spec, damage, fault, capsys):
    damage(spec)
    (found,) = faults(capsys)
    assert fault in " ".join(found)
    assert main(["list"]) == 0
    assert f"  ! {found[0]}" in capsys.readouterr().out


def test_a_renamed_folder_is_a_fault_and_still_ours(spec, kernels_folder, capsys):
    spec.rename(kernels_folder / "two")
    assert "do not say the same of argv, metadata" in str(faults(capsys))
    assert main(["remove", "-y", "two"]) == 0


def test_a_hidden_spec_is_listed_as_hidden(spec, capsys):
    assert main(["install", "--user", "--kernel-command", COMMAND, "--kernel-name", "one"]) == 0
    assert "It is hidden by" in capsys.readouterr().err
    first, second = listed(capsys)
    assert first["folder"] == str(spec)
    assert first["faults"] == []
    assert second["faults"] == [f"it is hidden by {spec}, which Jupyter finds first"]
    assert [found["folder"] for found in listed(capsys, "--user")] == [second["folder"]]


def test_show_says_what_the_files_say(spec, capsys):
    assert main(["show", "local/one"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    shown = {name: value.strip() for name, value in lines.items()}
    assert shown == {
        "kernel": "local/one",
        "folder": str(spec),
        "display name": "One",
        "language": "toy",
        "command": f"{sys.executable} '{{connection_file}}'",
        "handshake": "assigned",
        "encryption": 'none: metadata.supported_encryption does not say "curve"',
        "interrupt mode": "signal",
        "launch_timeout": "60.0",
    }
    assert main(["show", "one", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    for file in ("local_kernel.json", "kernel.json"):
        assert document["files"][file] == json.loads((spec / file).read_text())


def test_remove_removes_only_what_is_ours(spec, kernels_folder, capsys):
    (spec / "notes").mkdir()
    assert main(["remove", "one"]) == 0
    assert capsys.readouterr().out == f"Removed local/one from {kernels_folder}\n"
    assert [path.name for path in kernels_folder.iterdir()] == ["toy"]


def test_remove_leaves_a_foreign_folder(spec, capsys):
    edit(spec / "kernel.json", metadata={})
    assert main(["remove", "-y", "one"]) == 1
    assert f"{spec} is not a spec of local-kernelspec and is left alone" in capsys.readouterr().err
    assert (spec / "local_kernel.json").exists()


def test_remove_of_several_removes_none_when_one_is_unknown(spec, capsys):
    assert main(["remove", "-y", "one", "two"]) == 1
    assert "there is no spec 'two' of local-kernelspec; the specs are: one" in capsys.readouterr().err
    assert spec.exists()


def test_remove_of_a_link_leaves_what_it_leads_to(spec, kernels_folder, tmp_path):
    spec.rename(tmp_path / "one")
    spec.symlink_to(tmp_path / "one")
    assert main(["remove", "-y", "one"]) == 0
    assert [path.name for path in kernels_folder.iterdir()] == ["toy"]
    assert (tmp_path / "one/local_kernel.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "status"), [(b"n\n", 1), (b"\n", 1), (b"\x04", 1), (b"y\n", 0)])
def test_remove_asks_on_a_terminal(spec, answer, status):
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).parent / "jupyter-local-kernelspec", "remove", "one"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        os.write(ours, answer)
        output = process.communicate(timeout=60)[0].decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status, output
    assert f"Remove local/one with the folder {spec}? [y/N]" in output
    assert "Traceback" not in output
    assert spec.exists() == bool(status)


@pytest.mark.parametrize(
    ("argv", "status", "sentence"),
    [
        ([], 2, "say what to do: install, list, show, remove"),
        (["instal"], 2, "there is no subcommand 'instal'; did you mean 'install'?"),
        (["--user"], 2, "there is no option --user"),
        (["install", "--kernelname=x"], 2, "there is no option --kernelname; did you mean '--kernel-name'?"),
        (["install", "--repl"], 2, "there is no option --repl; did you mean '--replace'?"),
        (["install", "--LocalSpecInstall.nam=x"], 2, "there is no option --LocalSpecInstall.nam"),
        (["install", "-x"], 2, "there is no option -x"),
        (["install", "python3"], 2, "the argument 'python3' is not understood"),
        (["install", "--kernel-name"], 2, "argument --kernel-name: expected one argument"),
        (["install", "--prefix=a", "--prefix=b"], 2, "--prefix"),
        (["install", "--user", "--sys-prefix"], 2, "exclude each other"),
        (["install", "--user", "--launch-timeout=soon"], 2, "--launch-timeout is 'soon'; expected a number of seconds"),
        (["install", "--user", "--port-range=9"], 2, "--port-range is '9'; expected lower..upper"),
        (["install", "--user", "--handshake=firm"], 2, "--handshake is 'firm'; expected assigned or reported"),
        (["install", "--user", "--interrupt-mode=x"], 2, "--interrupt-mode is 'x'; expected signal or message"),
        (["install", "--user", "--kernel-command=R 'x"], 2, "cannot be split into words: No closing quotation"),
        (["install", "--user", "--kernel-command= "], 2, "--kernel-command is blank"),
        (["install", "--user", "--kernel-command=R"], 1, "has no {connection_file}"),
        (
            ["install", "--user", "--kernel-command=R {response_address}", "--handshake=assigned"],
            1,
            "has no {connection_file}",
        ),
        (["install", "--user", "--kernel=nosuch"], 1, "there is no kernel 'nosuch'; the kernels are: "),
        (["install", "--config=/no/such.py"], 2, "the config file /no/such.py does not exist"),
        (["list", "--log-level=LOUD"], 2, "--log-level"),
        (["list", "one"], 2, "the argument 'one' is not understood"),
        (["show"], 2, "name a kernel: jupyter local-kernelspec show NAME"),
        (["show", "on"], 1, "there is no spec 'on' of local-kernelspec; did you mean 'one'?"),
        (["remove", "two", "--prefix=/no/such"], 1, "there is no spec 'two' of local-kernelspec; the specs are: none"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_a_status(spec, tmp_path, argv, status, sentence, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(argv) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("jupyter local-kernelspec: ")
    assert output.err.count("\n") == 1
    assert sentence in output.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", ["c.LocalSpecInstall.launch_timeout = 'soon'", "1 / 0", "c ="])
def test_a_bad_config_file_is_one_sentence(kernels_folder, tmp_path, content, capsys):
    config = tmp_path / "mine.py"
    config.write_text(content)
    assert main(["install", "--user", f"--config={config}"]) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.startswith("jupyter local-kernelspec: ")


@pytest.mark.parametrize("subcommand", ["install", "list", "show", "remove"])
def test_help_and_class_options(subcommand, kernels_folder, capsys):
    assert main([subcommand, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--sys-prefix, --sys_prefix" in text
    assert "A Jupyter Application" not in text
    assert main([subcommand, "--help-all"]) == 0
    assert "Class options" in capsys.readouterr().out


def test_help_of_the_command_names_the_subcommands(kernels_folder, capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for subcommand in ("install", "list", "show", "remove"):
        assert f"\n{subcommand}\n" in text


def test_it_runs_beside_another_jupyter_application(kernels_folder, spec, capsys):
    # Inside a server a singleton of traitlets exists already; a second one would be an error.
    app = SpecApplication.instance(LocalSpecInstall)
    try:
        assert [found["name"] for found in listed(capsys)] == ["one"]
    finally:
        app.clear_instance()


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(spec):
    code = "from remote_kernel_provider.local.installer import main; raise SystemExit(main(['show', '--json', 'one']))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.slow
def test_completion(spec):
    pytest.importorskip("argcomplete")
    line = "jupyter-local-kernelspec install --kernel-n"
    environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    command = f"{Path(sys.executable).parent / 'jupyter-local-kernelspec'} 8>&1 9>/dev/null"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)
    assert "--kernel-name" in done.stdout
