"""`jupyter image-bootstrap`: puts `bootstrap-kernel.sh` and launchers where images of the gateway family have them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from ..errors import LauncherError, UsageError

BOOTSTRAP = "bootstrap-kernel.sh"
LAUNCHERS = "kernel-launchers"
DEFAULT_FOLDER = Path("/usr/local/bin")

_SCRIPTS = {"python": Path("python/scripts/launch_ipykernel.py")}
"""The launcher of each language, below the folder of the launchers."""

_PYTHON_LAUNCHER = """\
#!{python}
# Written by jupyter image-bootstrap; the first line is the Python that remote-kernel-launchers is installed for.
import sys

del sys.path[0]  # this folder, in which nothing is to be imported from

from kernel_launchers.python.__main__ import main  # noqa: E402

sys.exit(main())
"""


def install(languages: Sequence[str], folder: Path, *, launchers_only: bool = False) -> list[Path]:
    """Write the bootstrap script and the launchers.

    Parameters
    ----------
    languages
        Each in any case.
    folder
        Where `bootstrap-kernel.sh` and the folder `kernel-launchers` go.
    launchers_only
        Whether the bootstrap script is left out.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UsageError
        For a language without a launcher; nothing is written then.
    LauncherError
        When something cannot be written.
    """
    unknown = [language for language in languages if language.lower() not in _SCRIPTS]
    if unknown:
        raise UsageError(
            f"there is no launcher for '{unknown[0]}', only for {', '.join(_SCRIPTS)}; hosts of remote-kernel-provider "
            "need none: they start any kernel by its command"
        )
    contents = {folder / LAUNCHERS / _SCRIPTS[language.lower()]: _python_launcher() for language in languages}
    if not launchers_only:
        contents[folder / BOOTSTRAP] = files(__package__).joinpath(BOOTSTRAP).read_bytes()
    try:
        for file, content in contents.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o755)
    except OSError as error:
        raise LauncherError(
            f"{error.filename or folder} cannot be written: {error.strerror}; run this as root, or choose another "
            "place with --folder"
        ) from None
    return list(contents)


def _python_launcher() -> bytes:
    return _PYTHON_LAUNCHER.format(python=sys.executable).encode()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (--help lists the options)")


def command_line() -> argparse.ArgumentParser:
    """Return the parser of `jupyter image-bootstrap`."""
    parser = _Parser(
        prog="jupyter image-bootstrap",
        description="Prepares a kernel image for hosts that want to be told where its kernel listens.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    installing = commands.add_parser(
        "install",
        help="Install the bootstrap script and the launchers.",
        description="Installs bootstrap-kernel.sh, which is to be the image's command, and the launchers that it runs.",
        epilog="Example: jupyter image-bootstrap install --languages python",
        allow_abbrev=False,
    )
    installing.add_argument(
        "--languages",
        action="append",
        metavar="LANGUAGE",
        help="language of the image's kernel; repeat the option, or separate by commas (default: python)",
    )
    installing.add_argument(
        "--launchers-only",
        "--launchers_only",
        action="store_true",
        help=f"leave {BOOTSTRAP} out",
    )
    installing.add_argument(
        "--folder",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help=f"where {BOOTSTRAP} and the folder {LAUNCHERS} go (default: %(default)s)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jupyter image-bootstrap`.

    Parameters
    ----------
    argv
        By default the process's arguments.

    Returns
    -------
    int
        Exit status: 0; 1 when something cannot be written, 2 when the command line is wrong.
    """
    try:
        options = command_line().parse_args(argv)
        words = [word.strip() for given in options.languages or ["python"] for word in given.split(",")]
        written = install(words, options.folder, launchers_only=options.launchers_only)
    except LauncherError as error:
        print(f"jupyter image-bootstrap: {error}", file=sys.stderr)
        return error.exit_status
    for file in written:
        print(f"Installed {file}")
    if not options.launchers_only:
        print(f'The image\'s Dockerfile should say: ENTRYPOINT ["{options.folder / BOOTSTRAP}"]')
    return 0
