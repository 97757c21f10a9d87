"""`Notebook`: a blocking client that runs cells on any kernel, and watches a cell while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from remote_kernel_provider.connection.info import ConnectionInfo

CELL_DEADLINE = 30.0
"""Seconds that a cell gets."""
BUSY = "import time\nprint('busy', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)"
"""In one long sleep, a signal that arrives just before it would be noticed only after it."""


@dataclass(frozen=True)
class Outcome:
    """What a cell did.

    Parameters
    ----------
    text
        What it printed.
    error
        Name of the exception that it raised, or empty.
    """

    text: str
    error: str = ""


class Cell:
    """A cell that runs.

    Parameters
    ----------
    client
        Of its kernel; one cell at a time.
    code
        What it runs.
    """

    def __init__(self, client: BlockingKernelClient, code: str) -> None:
        self._client = client
        self._code = code
        # After an error, ipykernel refuses the cells that come within a moment, unless it is told not to.
        self._id = client.execute(code, stop_on_error=False)
        self._text = ""
        self._error = ""
        self._idle = False

    def until_printed(self, text: str, seconds: float = CELL_DEADLINE) -> None:
        """Wait until the cell has printed a text.

        Raises
        ------
        TimeoutError
            When it has not within that time, or has ended without.
        """
        deadline = time.monotonic() + seconds
        while text not in self._text:
            if self._idle:
                raise TimeoutError(
                    f"the cell {self._code!r} ended without printing {text!r}: {self._text!r} {self._error}"
                )
            self._take(deadline)

    def until_printed_anew(self, text: str, seconds: float = CELL_DEADLINE) -> None:
        """Forget what the cell has printed so far, and wait until it prints a text."""
        while self._client.iopub_channel.msg_ready():
            self._take(time.monotonic() + seconds)
        self._text = ""
        self.until_printed(text, seconds)

    def finish(self, seconds: float = CELL_DEADLINE) -> Outcome:
        """Wait for the cell's end.

        Raises
        ------
        TimeoutError
            When it goes on for longer.
        """
        deadline = time.monotonic() + seconds
        while not self._idle:
            self._take(deadline)
        return Outcome(self._text, self._error)

    def _take(self, deadline: float) -> None:
        try:
            message: dict[str, Any] = self._client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            raise TimeoutError(f"the cell {self._code!r} did not go on; it has printed {self._text!r}") from None
        if message["parent_header"].get("msg_id") != self._id:
            return
        content = message["content"]
        if message["msg_type"] == "stream":
            self._text += content["text"]
        elif message["msg_type"] == "error":
            self._error = content["ename"]
        elif message["msg_type"] == "status":
            self._idle = content["execution_state"] == "idle"


class Notebook:
    """A blocking client of one kernel; a context manager.

    Parameters
    ----------
    connection
        As this host reaches the kernel.
    """

    def __init__(self, connection: ConnectionInfo) -> None:
        self._client = BlockingKernelClient()
        self._client.load_connection_info(connection.to_json())  # type: ignore[arg-type]  # a TypedDict of the same

    def __enter__(self) -> Notebook:
        self._client.start_channels(hb=False)
        try:
            self.until_ready()
        except BaseException:  # an interruption included: the channels are closed
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets; the kernel goes on."""
        self._client.stop_channels()
        self._client.context.destroy(linger=0)

    def until_ready(self) -> None:
        """Wait until the kernel answers and its output arrives; again after a restart."""
        self._client.wait_for_ready(timeout=CELL_DEADLINE)

    def begin(self, code: str) -> Cell:
        """Start a cell."""
        return Cell(self._client, code)

    def run(self, code: str, seconds: float = CELL_DEADLINE) -> Outcome:
        """Run a cell to its end."""
        return self.begin(code).finish(seconds)

    def interrupted(self, interrupt: Callable[[], object]) -> Outcome:
        """Run a cell that would go on for a minute, interrupt it when it runs, and return what it did.

        Raises
        ------
        TimeoutError
            When it has not ended ten seconds later.
        """
        busy = self.begin(BUSY)
        busy.until_printed("busy")
        interrupt()
        outcome = busy.finish(10)
        # ipykernel 6.17 can leave what comes right after an interrupt unread until something else comes.
        self.until_ready()
        return outcome
