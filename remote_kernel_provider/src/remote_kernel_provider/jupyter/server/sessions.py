"""Sessions that survive a restart: which notebook has which kernel, in a file that only its user can read.

The file is stock Jupyter's own (`SessionManager.database_filepath`), which is in memory unless somebody sets it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from remote_kernel_provider.files import make_private_folder


def keep_sessions(server: Any, folder: Path, instance: str) -> None:
    """Let the server keep its sessions in a file, unless the operator chose something or a session is there already.

    Parameters
    ----------
    server
        Which has not listened yet.
    folder
        The user's private folder.
    instance
        The server's name after its restart, too.
    """
    sessions = server.session_manager
    if not sessions.has_trait("database_filepath") or sessions._connection is not None or _is_configured(sessions):
        return
    file = folder / "sessions" / f"{instance}.sqlite"
    try:
        make_private_folder(file.parent)
        _make_usable(file, server.log)
        sessions.database_filepath = str(file)
    except (OSError, sqlite3.Error) as error:
        server.log.warning("Sessions are not kept for the server's next run: %s: %s", file, error)


def _is_configured(sessions: Any) -> bool:
    return "database_filepath" in sessions._find_my_config(sessions.config)


def _make_usable(file: Path, log: Any) -> None:
    """Make the file, with mode 0600 (what SQLite adds beside it gets the same), or replace one that is damaged."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    file.chmod(0o600)
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA quick_check").fetchall()
    except sqlite3.DatabaseError as error:
        log.warning("The file of the last run's sessions is damaged (%s) and begun anew: %s", error, file)
        file.unlink()
        _make_usable(file, log)
