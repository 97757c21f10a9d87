"""A kernel's process that takes its time to start, or fails; `StagedLifecycleManager` reports what it says of itself.

``python -m remote_kernel_provider.testing.stages SCRIPT COMMAND… {connection_file}`` goes through the stages in the
JSON file SCRIPT and then becomes COMMAND, or ends::

    {"stages": [{"phase": "pulling", "message": "2 of 5 layers", "seconds": 3}],
     "failure": {"reason": "ImagePullBackOff", "message": "there is no image 'x'"}}

A stage without `seconds` lasts until the file is written anew without it. The file is read at each start, so that each
launch of one spec can go another way.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from remote_kernel_provider.files import write_private

STAGE = "stage.json"
"""Beside the connection file: where the launch is."""

INTERVAL = 0.02
"""Seconds between two looks at a file."""


def main(script: str, *command: str) -> None:
    """Go through the stages, then become the kernel."""
    file = Path(command[-1]).with_name(STAGE)
    plan = _read(script)
    for number, stage in enumerate(plan.get("stages", ())):
        _write(file, stage)
        time.sleep(stage.get("seconds", 0))
        while "seconds" not in stage and stage in _read(script).get("stages", ())[number:]:
            time.sleep(INTERVAL)
    failure = _read(script).get("failure")
    if failure is not None:
        _write(file, {"phase": "failed", **failure})
        sys.exit(failure.get("exit_code", 1))
    _write(file, {"phase": "running"})
    os.execvp(command[0], command)


def _read(script: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(script).read_bytes())
    return document


def _write(file: Path, stage: dict[str, Any]) -> None:
    write_private(file, json.dumps(stage).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
