"""`CountingRelay`: a socket before an engine's own, which counts what is asked."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

PIECE = 64 * 1024


class CountingRelay:
    """Forwards connections to an engine; a context manager.

    Parameters
    ----------
    engine
        The engine's socket.
    path
        Of the relay's own.
    """

    def __init__(self, engine: Path, path: Path) -> None:
        self._engine = engine
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self.path = path
        self.bytes_to_engine = 0

    def __enter__(self) -> CountingRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Only this ends a thread that accepts.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(str(self._engine))
                threading.Thread(target=self._forward, args=(client, engine, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(engine, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if counts:
                    self.bytes_to_engine += len(piece)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
