"""Jupyter folders of a test's own, and no setting from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FROM_OUTSIDE = ("RKP_", "GP_", "EG_", "K8SKP_", "KERNEL_", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH")


def own_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have Jupyter's folders below another one, and nothing else on its path; return the `kernels` folder."""
    for name in list(os.environ):
        if name.startswith(_FROM_OUTSIDE):
            monkeypatch.delenv(name)
    for kind in ("DATA", "RUNTIME", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{kind}_DIR", str(folder / kind.lower()))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    return folder / "data" / "kernels"


def own_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the same, a home, and an environment on Jupyter's path; return the environment's `kernels` folder.

    What an installer takes for `--prefix` is three folders above.
    """
    own_folders(folder, monkeypatch)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "env/share/jupyter"))
    return folder / "env/share/jupyter/kernels"
