"""bootstrap-kernel.sh: what it makes of its environment and its arguments, without an engine."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

BOOTSTRAP = Path(str(files("kernel_launchers.image"))) / "bootstrap-kernel.sh"
RECORDER = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid(), "ran": __file__}))
"""
TOLD = {
    "KERNEL_ID": "an-id",
    "RESPONSE_ADDRESS": "10.0.0.5:8877",
    "PUBLIC_KEY": "MIGf+/==",
    "KERNEL_LANGUAGE": "python",
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with what an image has: the script, and a launcher that says what it was told."""
    script = tmp_path / "bin" / "bootstrap-kernel.sh"
    launcher = tmp_path / "bin" / "kernel-launchers" / "python" / "scripts" / "launch_ipykernel.py"
    launcher.parent.mkdir(parents=True)
    script.write_bytes(BOOTSTRAP.read_bytes())
    script.chmod(0o755)
    launcher.write_text(f"#!{sys.executable}\n{RECORDER}")
    launcher.chmod(0o755)
    (tmp_path / "home").mkdir()
    return script.parent


def bootstrap(image: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [image / "bootstrap-kernel.sh", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(image.parent / "home"), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def launched(image: Path, **environment: str) -> Any:
    done = bootstrap(image, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def options(argv: list[str]) -> dict[str, str]:
    return dict(zip(argv[::2], argv[1::2], strict=True))


def test_the_launcher_is_told_what_the_host_said(image: Path) -> None:
    seen = launched(
        image,
        **TOLD,
        PORT_RANGE="30000..31000",
        KERNEL_CLASS_NAME="a.b.C",
        KERNEL_SPARK_CONTEXT_INIT_MODE="lazy",
        TRANSPORT_ENCRYPTION="auto",
        KERNEL_OWN="two words",
    )
    assert options(seen["argv"]) == {
        "--kernel-id": "an-id",
        "--port-range": "30000..31000",
        "--response-address": "10.0.0.5:8877",
        "--public-key": "MIGf+/==",
        "--spark-context-initialization-mode": "lazy",
        "--kernel-class-name": "a.b.C",
        "--transport-encryption": "auto",
    }
    assert seen["env"]["KERNEL_OWN"] == "two words"


def test_what_the_host_does_not_say_has_a_default(image: Path) -> None:
    told = options(launched(image, **TOLD, TRANSPORT_ENCRYPTION="")["argv"])
    assert told["--port-range"] == "0..0"
    assert told["--spark-context-initialization-mode"] == "none"
    assert not told.keys() & {"--kernel-class-name", "--transport-encryption"}


def test_the_old_spellings_count_where_the_new_ones_are_missing(image: Path) -> None:
    told = launched(
        image,
        KERNEL_ID="an-id",
        KERNEL_LANGUAGE="Python",
        RESPONSE_ADDRESS="10.0.0.5:1",
        EG_RESPONSE_ADDRESS="10.9.9.9:9",
        EG_PUBLIC_KEY="old",
        EG_PORT_RANGE="40000..41000",
    )
    assert options(told["argv"]) | {"--spark-context-initialization-mode": "none"} == {
        "--kernel-id": "an-id",
        "--port-range": "40000..41000",
        "--response-address": "10.0.0.5:1",
        "--public-key": "old",
        "--spark-context-initialization-mode": "none",
    }


def test_values_are_never_taken_for_shell_or_split(image: Path, tmp_path: Path) -> None:
    odd = f"$(touch {tmp_path}/touched) * ;`id`"
    told = options(launched(image, **{**TOLD, "KERNEL_ID": odd}, KERNEL_CLASS_NAME=odd)["argv"])
    assert (told["--kernel-id"], told["--kernel-class-name"]) == (odd, odd)
    assert not (tmp_path / "touched").exists()


def test_the_launcher_takes_the_place_of_the_script(image: Path) -> None:
    process = subprocess.Popen(
        [image / "bootstrap-kernel.sh"], env={"PATH": os.environ["PATH"], "HOME": "/", **TOLD}, stdout=subprocess.PIPE
    )
    output, _ = process.communicate(timeout=30)
    assert json.loads(output)["pid"] == process.pid


def test_a_stale_parent_does_not_reach_the_kernel(image: Path) -> None:
    assert "JPY_PARENT_PID" not in launched(image, **TOLD, JPY_PARENT_PID="1")["env"]


def test_launchers_of_others_are_run_by_the_python_on_the_path(image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    launcher = folder / "python" / "scripts" / "launch_ipykernel.py"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(RECORDER)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "python").symlink_to(sys.executable)
    path = f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}"
    seen = launched(image, **TOLD, KERNEL_LAUNCHERS_DIR=str(folder), PATH=path)
    assert seen["ran"] == str(launcher)
    assert options(seen["argv"])["--kernel-id"] == "an-id"


def test_a_command_is_run_as_it_is(image: Path) -> None:
    command = [sys.executable, "-c", RECORDER.replace("__file__", "''"), "two words", "$HOME", ""]
    done = bootstrap(image, *command, KERNEL_ID="an-id")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["argv"] == ["two words", "$HOME", ""]
    assert bootstrap(image, "sh", "-c", "exit 7", **TOLD).returncode == 7
    assert bootstrap(image, "no-such-command").returncode == 127


@pytest.mark.parametrize("arguments", [(), (sys.executable, "-c", RECORDER.replace("__file__", "''"))])
def test_a_home_that_cannot_be_written_to_is_replaced(image: Path, arguments: tuple[str, ...]) -> None:
    done = bootstrap(image, *arguments, **TOLD, HOME="/no/such/home")
    assert json.loads(done.stdout)["env"]["HOME"] == pwd.getpwuid(os.getuid()).pw_dir


@pytest.mark.parametrize("missing", TOLD)
def test_what_is_missing_is_named(image: Path, missing: str) -> None:
    done = bootstrap(image, **{name: value for name, value in TOLD.items() if name != missing})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bootstrap-kernel.sh: {missing} is not set; ")
    assert len(done.stderr.splitlines()) == 1


def test_a_language_without_a_launcher_is_named(image: Path) -> None:
    done = bootstrap(image, **{**TOLD, "KERNEL_LANGUAGE": "scala"})
    assert done.returncode == 2
    assert "no launcher for KERNEL_LANGUAGE 'scala'" in done.stderr


def test_an_image_without_launchers_says_how_to_get_them(image: Path) -> None:
    done = bootstrap(image, **TOLD, KERNEL_LAUNCHERS_DIR="/no/such/folder")
    assert done.returncode == 2
    assert (
        "/no/such/folder/python/scripts/launch_ipykernel.py is not there; run 'jupyter image-bootstrap" in done.stderr
    )
