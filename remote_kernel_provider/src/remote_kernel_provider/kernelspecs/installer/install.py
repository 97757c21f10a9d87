"""`install`: from the options to a folder with the two files."""

from __future__ import annotations

import shlex
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

from traitlets import Bool, Unicode

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import nearest
from remote_kernel_provider.kernelspecs.installer.command_line import SpecCommand, UsageError
from remote_kernel_provider.kernelspecs.installer.documents import (
    NewSpec,
    SpecKind,
    provider_document,
    stock_document,
    to_text,
)
from remote_kernel_provider.kernelspecs.installer.folders import check_destination, check_kernel_name, write_folder
from remote_kernel_provider.kernelspecs.installer.locations import jupyter_kernels_folders
from remote_kernel_provider.kernelspecs.installer.options import ConfigValue, ConfigValues, Pairs, json_form
from remote_kernel_provider.kernelspecs.reader import spec_from_document
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE

INTERRUPT_MODES = ("signal", "message")


class SpecInstall(SpecCommand):
    """Installs a kernel spec: the provider's file, a `kernel.json` for stock Jupyter, and the logos.

    A subclass says what it would install if no option were given; the options that all installers have are applied to
    that here.
    """

    subcommand_name = "install"
    kind: SpecKind
    """Whose specs; in a subclass."""

    kernel_name = Unicode(
        "", help="Name of the spec's folder, and of the kernel; unless given, made from what is installed."
    ).tag(config=True, option=True)
    display_name = Unicode("", help="Name that clients show; unless given, made from what is installed.").tag(
        config=True, option=True
    )
    language = Unicode("", help="Language of the kernel; unless given, that of what is installed.").tag(
        config=True, option=True
    )
    kernel_command = Unicode(
        "",
        help="""The kernel's command, quoted as in a shell, with {connection_file} in it:
        'R --slave -e "IRkernel::main()" --args {connection_file}'.""",
    ).tag(config=True, option=True)
    interrupt_mode = Unicode(
        "", help="How the kernel is interrupted, signal or message; unless given, as the kernel says, else signal."
    ).tag(config=True, option=True)
    replace = Bool(False, help="Replace a spec that this command installed earlier.").tag(config=True, option=True)
    dry_run = Bool(
        False, help="Print the files that would be written, and what a launch would create; write nothing."
    ).tag(config=True, option=True)  # fmt: skip
    param = Pairs(
        "what a launch gets that does not say otherwise, such as memory=4Gi (the reference of parameters has the names)"
    )
    ask = Unicode(
        "",
        help="""Parameters that users may set at a launch, and for which JupyterLab asks then, separated by commas:
        memory,cpus. Unless given, JupyterLab asks nothing, and clients may set what the reference calls free.""",
    ).tag(config=True, option=True)
    env = Pairs("a variable of the kernel's environment")
    launch_timeout = ConfigValue("launch_timeout")
    port_range = ConfigValue("port_range")
    handshake = ConfigValue("handshake")
    authorized_users = ConfigValues("authorized_users")
    unauthorized_users = ConfigValues("unauthorized_users")

    @abstractmethod
    def default_spec(self) -> NewSpec:
        """Return what is installed if none of the base's options is given.

        Called once, when the options have been read.

        Raises
        ------
        RemoteKernelError
            When there is nothing that it could be made from.
        """

    def run(self) -> None:
        """Install."""
        self.refuse_arguments()
        folder = self.install_location()
        spec = self.chosen_spec()
        check_kernel_name(spec.kernel_name)
        folder = folder / spec.kernel_name
        read = self._check(spec, folder)
        check_destination(folder, self.kind, self.replace)
        if self.dry_run:
            for name, document in (
                (self.kind.spec_file, provider_document(spec, self.kind)),
                (STOCK_FILE, stock_document(spec, self.kind)),
            ):
                print(f"{folder / name}:\n{to_text(document)}")
            print(self.preview(read), end="")
            return
        write_folder(spec, self.kind, folder)
        self.report(spec, folder)

    def preview(self, spec: KernelSpec) -> str:
        """Return what a launch of the spec would create, as text of whole lines; for `--dry-run`.

        Parameters
        ----------
        spec
            As the provider would read it; its file is not there.
        """
        return ""

    def chosen_spec(self) -> NewSpec:
        """Return the default spec with the options applied."""
        spec = self.default_spec()
        if self.interrupt_mode and self.interrupt_mode not in INTERRUPT_MODES:
            raise UsageError(f"--interrupt-mode is '{self.interrupt_mode}'; expected {' or '.join(INTERRUPT_MODES)}")
        return replace(
            spec,
            kernel_name=self.kernel_name or spec.kernel_name,
            display_name=self.display_name or spec.display_name,
            language=self.language or spec.language,
            argv=self.command() or spec.argv,
            interrupt_mode=self.interrupt_mode or spec.interrupt_mode,
            metadata={**spec.metadata, **self._schema()},
            config={**spec.config, **self._chosen_config(), **self._parameters()},
            env={**spec.env, **self.env},
        )

    def command(self) -> tuple[str, ...]:
        """Return the words of `--kernel-command`; none when it was not given.

        Raises
        ------
        UsageError
            When it is not quoted as in a shell.
        """
        try:
            words = tuple(shlex.split(self.kernel_command))
        except ValueError as error:
            raise UsageError(f"--kernel-command cannot be split into words: {error}; quote it as in a shell") from None
        if self.kernel_command and not words:
            raise UsageError("--kernel-command is blank; give the kernel's command, with {connection_file} in it")
        return words

    def _chosen_config(self) -> dict[str, Any]:
        options = self.traits(option=True)
        values = {
            trait.key.name: getattr(self, name) for name, trait in options.items() if isinstance(trait, ConfigValue)
        }
        return {name: value for name, value in values.items() if value is not None}

    def _parameters(self) -> dict[str, Any]:
        """Return what `--param` sets, by the table's keys."""
        keys = self.kind.config_keys
        known = {key.name: key for key in keys} | {key.parameter: key for key in keys if key.parameter}
        values = {}
        for name, text in self.param.items():
            key = known.get(name)
            if key is None:
                raise UsageError(f"--param: there is no parameter '{name}'{nearest(name, known)}")
            try:
                values[key.name] = json_form(key, text)
            except ValueError as error:
                raise UsageError(f"--param {name} is '{text}'; expected {error}") from None
        return values

    def _schema(self) -> dict[str, Any]:
        """Return the schema of what `--ask` names: texts, as in the environment; the table checks them."""
        names = [name.strip() for name in self.ask.split(",") if name.strip()]
        if not names:
            return {}
        known = {key.parameter: key for key in self.kind.config_keys if key.parameter}
        for name in names:
            if name not in known:
                raise UsageError(f"--ask: there is no parameter '{name}'{nearest(name, known)}")
        properties = {
            name: {"type": "string", "description": f"{known[name].meaning} Expected: {known[name].expected}."}
            for name in names
        }
        return {"launch_parameter_schema": {"type": "object", "properties": properties}}

    def _check(self, spec: NewSpec, folder: Path) -> KernelSpec:
        """Check that the provider will read what is about to be written, and that the kernel can be talked to."""
        file = folder / self.kind.spec_file
        document = provider_document(spec, self.kind)
        read = spec_from_document(document, file, self.kind.lifecycle_manager, self.kind.config_keys)
        words = " ".join(read.argv)
        if not read.argv or "{connection_file}" in words:
            return read
        chosen = read.config.get("handshake")
        if chosen == "assigned" or (chosen is None and "{response_address}" not in words):
            raise SpecError(
                f"the command '{shlex.join(read.argv)}' has no {{connection_file}}, so the kernel would not learn its "
                "ports; add it to --kernel-command, or say --handshake reported if the command is a launcher"
            )
        return read

    def report(self, spec: NewSpec, folder: Path) -> None:
        """Say where the spec was installed, and what stands in its way."""
        kernel = self.kind.kernel(spec.kernel_name)
        print(f"Installed {kernel} in {folder}")
        print(
            f"Run something on it with 'jupyter remote-kernel run --kernel {kernel} …', "
            f"or pick '{spec.display_name}' in JupyterLab"
        )
        searched = jupyter_kernels_folders()
        if folder.parent not in searched:
            self.log.warning("Jupyter does not look in %s; add %s to JUPYTER_PATH", folder.parent, folder.parent.parent)
            return
        for other in searched[: searched.index(folder.parent)]:
            if (other / folder.name).exists():
                self.log.warning("It is hidden by %s, which Jupyter finds first", other / folder.name)
        for other in searched[searched.index(folder.parent) + 1 :]:
            if (other / folder.name).exists():
                self.log.warning("It hides %s, which Jupyter finds later", other / folder.name)
