"""Pulling an image: its progress layer by layer, its end, and its cancellation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from docker_kernel_provider.errors import EngineRefusalError
from remote_kernel_provider.lifecycle import KernelStatus, Phase

if TYPE_CHECKING:
    from docker import APIClient

NEWS_INTERVAL = 0.25
"""Seconds between two reports: an engine reports each layer's every few kilobytes."""
_DONE = ("Pull complete", "Already exists")


class Pull:
    """One pull.

    Parameters
    ----------
    image
        Its name.
    platform
        `os/architecture`, or empty.
    report
        Called with each status, in the thread that pulls.
    """

    def __init__(self, image: str, platform: str, report: Callable[[KernelStatus], None]) -> None:
        self._image = image
        self._platform = platform
        self._report = report
        self._cancelled = threading.Event()
        self._stream: Any = None
        self._layers: dict[str, tuple[int, int, bool]] = {}

    def run(self, client: APIClient) -> None:
        """Pull, and block until it is over or cancelled.

        Raises
        ------
        EngineRefusalError
            With the engine's or the registry's words.
        """
        self._stream = _stream(client, self._image, self._platform)
        if self._cancelled.is_set():
            self.cancel()
        told = time.monotonic()
        for step in self._steps():
            if "error" in step:
                raise EngineRefusalError(404, str(step["error"]))
            self._note(step)
            if time.monotonic() - told >= NEWS_INTERVAL:
                told = time.monotonic()
                self._tell(self._progress())

    def cancel(self) -> None:
        """End it; the engine stops when nobody listens any more."""
        self._cancelled.set()
        if self._stream is not None:
            with suppress(Exception):  # it is over already
                self._stream.close()

    def _tell(self, message: str) -> None:
        if not self._cancelled.is_set():
            self._report(KernelStatus(Phase.PULLING, message=message))

    def _steps(self) -> Iterator[Mapping[str, Any]]:
        for step in self._stream:
            if self._cancelled.is_set():
                return
            yield step

    def _note(self, step: Mapping[str, Any]) -> None:
        layer, said = str(step.get("id", "")), str(step.get("status", ""))
        if not layer or said.startswith("Pulling from"):
            return
        detail = step.get("progressDetail") or {}
        current, total, _ = self._layers.get(layer, (0, 0, False))
        if said == "Downloading":
            current, total = int(detail.get("current", current)), int(detail.get("total", total))
        elif said in ("Download complete", "Extracting", *_DONE):
            current = total
        self._layers[layer] = (current, total, said in _DONE)

    def _progress(self) -> str:
        done = sum(complete for _, _, complete in self._layers.values())
        current, total = (sum(layer[place] for layer in self._layers.values()) for place in (0, 1))
        amount = f", {current / 1e6:.0f} of {total / 1e6:.0f} MB" if total else ""
        return f"{begun(self._image)}: {done} of {len(self._layers)} layers{amount}"


def begun(image: str) -> str:
    """Say that an image is on the way."""
    return f"the image '{image}' is being pulled"


def _stream(client: APIClient, image: str, platform: str) -> Any:
    """Begin a pull with the credentials of the Docker command line; the SDK's own way cannot be cancelled."""
    from docker import auth
    from docker.types import CancellableStream
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(image)
    registry, _ = auth.resolve_repository_name(repository)
    client.reload_config()  # somebody may have logged in since
    header = auth.get_config_header(client, registry)
    parameters = {"fromImage": repository, "tag": tag or "latest"} | ({"platform": platform} if platform else {})
    headers = {"X-Registry-Auth": header} if header else {}
    response = client._post(
        client._url("/images/create"), params=parameters, headers=headers, stream=True, timeout=None
    )
    client._raise_for_status(response)
    return CancellableStream(client._stream_helper(response, decode=True), response)
