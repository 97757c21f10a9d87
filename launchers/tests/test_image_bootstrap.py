"""`jupyter image-bootstrap`: what it puts where, and that it runs there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernel_launchers.image.installer import main

LAUNCHER = "kernel-launchers/python/scripts/launch_ipykernel.py"


def installed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("languages", [[], ["--languages", "python"], ["--languages=Python,PYTHON"]])
def test_it_installs_the_script_and_the_launcher(
    tmp_path: Path, languages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "--folder", str(tmp_path), *languages]) == 0
    assert installed(tmp_path) == {"bootstrap-kernel.sh", LAUNCHER}
    assert all(os.access(tmp_path / name, os.X_OK) for name in installed(tmp_path))
    assert f'ENTRYPOINT ["{tmp_path}/bootstrap-kernel.sh"]' in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--launchers-only", "--launchers_only"])
def test_the_script_can_be_left_out(tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--folder", str(tmp_path), option]) == 0
    assert installed(tmp_path) == {LAUNCHER}
    assert "ENTRYPOINT" not in capsys.readouterr().out


def test_it_can_be_run_again(tmp_path: Path) -> None:
    main(["install", "--folder", str(tmp_path)])
    (tmp_path / "bootstrap-kernel.sh").write_text("an older one")
    assert main(["install", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "bootstrap-kernel.sh").read_text().startswith("#!/bin/bash\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["install", "--languages", "python", "--languages", "r"], "there is no launcher for 'r', only for python; "),
        (["install", "--langages", "python"], "--langages"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_writes_nothing(
    tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *(["--folder", str(tmp_path)] if arguments else [])]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert installed(tmp_path) == set()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["install", "--folder", str(tmp_path / "file")]) == 1
    assert "cannot be written: Not a directory; run this as root, or" in capsys.readouterr().err


@pytest.mark.slow
def test_jupyter_finds_the_command() -> None:
    command = [Path(sys.executable).parent / "jupyter", "image-bootstrap", "install", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--languages" in done.stdout


@pytest.mark.slow
def test_what_it_installs_starts_a_kernel_by_its_environment_alone(tmp_path: Path, host: Any, run: Any) -> None:
    main(["install", "--folder", str(tmp_path)])
    told = {name.replace("-", "_").upper(): value for name, value in host.values().items()}
    kernel = host.start([], program=(tmp_path / "bootstrap-kernel.sh",), KERNEL_LANGUAGE="python", **told)
    kernel.info = host.receive(kernel)  # which fails if another process than the script's had reported
    assert kernel.info["kernel_id"] == told["KERNEL_ID"]
    with kernel.client() as client:
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
        client.shutdown()
    assert kernel.wait() == 0
    assert kernel.leftovers() == []
