"""The command with its four subcommands, and how it ends: a status, and one sentence on standard error."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from jupyter_core.application import NoStart
from traitlets.config import Application

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.kernelspecs.config_keys import nearest
from remote_kernel_provider.kernelspecs.installer.command_line import SpecCommand, StrictApplication, UsageError
from remote_kernel_provider.kernelspecs.installer.install import SpecInstall
from remote_kernel_provider.kernelspecs.installer.listing import SpecList, SpecShow
from remote_kernel_provider.kernelspecs.installer.removal import SpecRemove

FAILED, MISUSED = 1, 2


class SpecApplication(StrictApplication):
    """An installer's command.

    Parameters
    ----------
    install
        The provider's own subcommand; the others follow from its kind.
    """

    flags: dict[str, Any] = {}
    aliases: dict[str, Any] = {}

    def __init__(self, install: type[SpecInstall], **named: Any) -> None:
        self.kind = install.kind
        super().__init__(**named)
        self.name = f"jupyter {self.kind.command}"
        self.description = f"Installs, lists, shows and removes kernel specs of the provider '{self.kind.provider_id}'."
        self.subcommands = {
            cls.subcommand_name: (self._maker(cls), (inspect.getdoc(cls) or "").partition("\n")[0])
            for cls in (install, SpecList, SpecShow, SpecRemove)
        }

    def _maker(self, cls: type[SpecCommand]) -> Callable[[Application], SpecCommand]:
        # A factory, not the class: of a class traitlets would make a singleton, of which a process has but one.
        return lambda parent: cls(self.kind, parent=parent)

    def start(self) -> None:
        """Run the subcommand.

        Raises
        ------
        UsageError
            When there is none, or none of this name.
        """
        if self.subapp is not None:
            self.subapp.start()
            return
        known = ", ".join(self.subcommands)
        if self.extra_args:
            said = self.extra_args[0]
            raise UsageError(f"there is no subcommand '{said}'{nearest(said, self.subcommands)}; they are: {known}")
        raise UsageError(f"say what to do: {known}; --help says more")


def run_installer(install: type[SpecInstall], argv: list[str] | None = None) -> int:
    """Run an installer's command.

    Parameters
    ----------
    install
        The provider's own.
    argv
        By default the process's arguments.

    Returns
    -------
    int
        Exit status: 0, 1 when it could not be done, 2 when the command line is wrong.
    """
    app = SpecApplication(install)
    try:
        app.initialize(argv)
        app.start()
        sys.stdout.flush()
    except NoStart:
        return 0
    except BrokenPipeError:  # whoever reads our output has enough; Python's own last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except RemoteKernelError as error:
        return _complain(app, error, MISUSED if isinstance(error, UsageError) else FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(app, f"{place}{error.strerror or error}", FAILED)
    except (KeyboardInterrupt, EOFError):
        return _complain(app, "interrupted", FAILED)
    except SystemExit as end:  # traitlets' way to end after --help
        return end.code if isinstance(end.code, int) else FAILED
    return 0


def _complain(app: SpecApplication, message: object, status: int) -> int:
    print(f"{app.name}: {message}", file=sys.stderr)
    return status
