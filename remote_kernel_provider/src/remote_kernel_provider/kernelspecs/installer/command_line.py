"""What every command of an installer does alike: options in both spellings, strict parsing, errors of one sentence."""

from __future__ import annotations

import inspect
import re
import sys
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from jupyter_core.application import JupyterApp
from traitlets import Bool, TraitError, Unicode
from traitlets.config import Application, Config
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader

from remote_kernel_provider._version import __version__
from remote_kernel_provider.errors import ConfigurationError, RemoteKernelError
from remote_kernel_provider.kernelspecs.config_keys import nearest
from remote_kernel_provider.kernelspecs.installer.documents import SpecKind
from remote_kernel_provider.kernelspecs.installer.locations import (
    default_kernels_folder,
    jupyter_kernels_folders,
    kernels_folder_of,
    user_kernels_folder,
)
from remote_kernel_provider.kernelspecs.installer.options import aliases_of, flags_of, spelling

_OPTION = re.compile(r"(--?[A-Za-z][^\s=]*)(=.*)?", re.DOTALL)
_ALWAYS = ("-h", "--help", "--help-all", "-V", "--version")


class UsageError(ConfigurationError):
    """The command line is wrong."""


class _Loader(KVArgParseConfigLoader):
    """Parses as traitlets does, with our errors in place of a usage line and an exit."""

    def load_config(self, *args: Any, **named: Any) -> Config:
        try:
            return super().load_config(*args, **named)
        except ArgumentError as error:
            raise UsageError(_in_our_spelling(str(error))) from None

    def _create_parser(self) -> None:
        super()._create_parser()
        self.parser.error = _refuse  # type: ignore[method-assign]


def _refuse(message: str) -> NoReturn:
    raise UsageError(_in_our_spelling(message))


def _in_our_spelling(message: str) -> str:
    """Name the option rather than the trait that traitlets makes of it."""
    message = re.sub(r"^The '(\w+)' trait of an? \w+ instance", lambda match: spelling(match[1]), message)
    return re.sub(r"(--|\b)[A-Z]\w*\.([a-z_]+)", lambda match: spelling(match[2]), message)


class StrictApplication(Application):
    """An application that refuses what it does not understand, in one sentence."""

    version = __version__

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Parse the command line.

        Raises
        ------
        UsageError
            When an option is unknown or lacks its value.
        """
        if argv is not None and not self._names_subcommand(argv):
            self._check_options(argv)
        super().parse_command_line(argv)

    def update_config(self, config: Config) -> None:
        """Take configuration; a wrong value is an error of ours."""
        try:
            super().update_config(config)
        except TraitError as error:
            raise UsageError(_in_our_spelling(str(error))) from None

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _Loader(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)

    def _names_subcommand(self, argv: list[str]) -> bool:
        return bool(argv) and argv[0] in self.subcommands

    def _check_options(self, argv: list[str]) -> None:
        known = set(self._known_options())
        for word in argv[: argv.index("--")] if "--" in argv else argv:
            match = _OPTION.fullmatch(word)
            if match and match[1] not in known:
                ours = [option for option in known if "_" not in option]
                raise UsageError(f"there is no option {match[1]}{nearest(match[1].replace('_', '-'), ours)}")

    def _known_options(self) -> Iterator[str]:
        yield from _ALWAYS
        spellings: list[Any] = [*self.aliases, *self.flags]
        for names in spellings:
            for name in names if isinstance(names, tuple) else (names,):
                yield f"--{name}" if len(name) > 1 else f"-{name}"
        for cls in self._classes_with_config_traits():
            for trait in cls.class_traits(config=True):
                yield f"--{cls.__name__}.{trait}"


class SpecCommand(StrictApplication, JupyterApp):
    """One subcommand of an installer.

    Its options are its traits that are tagged `option=True`.

    Parameters
    ----------
    kind
        Whose specs.
    """

    subcommand_name = ""
    """As the user types it."""

    user = Bool(False, help="In the user's own kernels folder.").tag(config=True, option=True)
    sys_prefix = Bool(
        False, help="In the kernels folder of the environment whose Python runs this command."
    ).tag(config=True, option=True)  # fmt: skip
    prefix = Unicode("", help="In the kernels folder of an environment: PREFIX/share/jupyter/kernels.").tag(
        config=True, option=True
    )

    aliases: dict[Any, Any] = {("log-level", "log_level"): "Application.log_level", "config": "JupyterApp.config_file"}
    flags: dict[Any, Any] = {name: JupyterApp.flags[name] for name in ("debug", "show-config", "generate-config")}

    def __init__(self, kind: SpecKind, **named: Any) -> None:
        self.kind = kind
        self.description = (inspect.getdoc(type(self)) or "").partition("\n\n")[0]
        self.name = f"jupyter-{kind.command}-{self.subcommand_name}"
        self.aliases = {**self.aliases, **aliases_of(type(self))}
        self.flags = {**self.flags, **flags_of(type(self))}
        super().__init__(**named)
        # One file for all subcommands, so that a folder is chosen once.
        self.config_file_name = f"jupyter_{kind.command.replace('-', '_')}_config"

    def _find_subcommand(self, name: str) -> str:
        # JupyterApp would run a program that happens to be called like the first argument.
        return ""

    def migrate_config(self) -> None:
        """Leave the user's files of IPython 3 alone; a dry run writes nothing."""

    def load_config_file(self, suppress_errors: bool = False) -> None:  # type: ignore[override]  # JupyterApp's
        """Load the config files.

        Raises
        ------
        ConfigurationError
            When one cannot be read.
        """
        if self.config_file and not Path(self.config_file).exists():
            raise UsageError(f"the config file {self.config_file} does not exist; mend --config")
        self.raise_config_file_errors = True
        try:
            super().load_config_file(suppress_errors=False)
        except RemoteKernelError:
            raise
        except Exception as error:  # a config file is a program of the user's: anything can happen in it
            raise ConfigurationError(f"a config file cannot be read: {error}; --debug names the files") from error

    def start(self) -> None:
        """Do what is asked."""
        super().start()
        self.run()

    @abstractmethod
    def run(self) -> None:
        """Do it."""

    def install_location(self) -> Path:
        """Return the `kernels` folder that was chosen, else the default one."""
        chosen = self._chosen_locations()
        return chosen[0] if chosen else default_kernels_folder()

    def search_locations(self) -> list[Path]:
        """Return the `kernels` folder that was chosen, else all that Jupyter searches."""
        return self._chosen_locations() or jupyter_kernels_folders()

    def _chosen_locations(self) -> list[Path]:
        chosen = []
        if self.user:
            chosen.append(user_kernels_folder())
        if self.sys_prefix:
            chosen.append(kernels_folder_of(sys.prefix))
        if self.prefix:
            chosen.append(kernels_folder_of(self.prefix))
        if len(chosen) > 1:
            raise UsageError("--user, --sys-prefix and --prefix exclude each other; give one of them")
        return chosen

    def refuse_arguments(self) -> None:
        """Check that nothing was given but options."""
        if self.extra_args:
            raise UsageError(f"the argument '{self.extra_args[0]}' is not understood; options begin with --")

    def kernel_names(self) -> list[str]:
        """Return the kernels that were named, with or without the provider's prefix."""
        if not self.extra_args:
            raise UsageError(f"name a kernel: jupyter {self.kind.command} {self.subcommand_name} NAME")
        return [name.removeprefix(self.kind.kernel("")) for name in self.extra_args]
