# PYTHON_ARGCOMPLETE_OK: argcomplete looks for this mark in the module of a console script.
"""`jupyter local-kernelspec`: makes local specs from ordinary kernels."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import PurePath

from traitlets import Unicode

from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, LOCAL
from remote_kernel_provider.kernelspecs.installer import (
    NewSpec,
    SpecInstall,
    SpecKind,
    find_source,
    run_installer,
)
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.local.command import command_fault


def _find_fault(spec: KernelSpec) -> str:
    fault = command_fault(spec)
    return f"{fault}; mend argv in {spec.file}, or install its program" if fault else ""


LOCAL_KIND = SpecKind(
    provider_id="local",
    spec_file="local_kernel.json",
    lifecycle_class="remote_kernel_provider.LocalLifecycleManager",
    command="local-kernelspec",
    config_keys=tuple(key for key in CONFIG_KEYS if LOCAL in key.backends),
    find_fault=_find_fault,
)


class LocalSpecInstall(SpecInstall):
    """Installs a kernel of this machine, made from an ordinary kernel or from a command."""

    kind = LOCAL_KIND
    examples = inspect.cleandoc("""
        jupyter local-kernelspec install
        jupyter local-kernelspec install --kernel ir --user --launch-timeout 60
        jupyter local-kernelspec install --kernel-command 'R -e "IRkernel::main()" --args {connection_file}'
        """)

    kernel = Unicode(
        "", help="The ordinary kernel that it is made from; unless given, python3, else the only one that there is."
    ).tag(config=True, option=True)

    def default_spec(self) -> NewSpec:
        """Return the ordinary kernel as a local one; with a command alone, a spec of that command."""
        if self.kernel_command and not self.kernel:
            return self._spec_of_command()
        source = find_source(self.kernel)
        return NewSpec(
            kernel_name=f"local_{source.name}",
            display_name=_local(source.spec.display_name),
            language=source.spec.language,
            argv=source.argv,
            env=source.spec.env,
            interrupt_mode=source.spec.interrupt_mode,
            metadata=source.metadata,
            files=source.logos(),
        )

    def _spec_of_command(self) -> NewSpec:
        argv = self.command()
        # 'python3.11' says 'python'.
        language = self.language or re.sub(r"[0-9.]+$", "", PurePath(argv[0]).name) or argv[0]
        name = re.sub(r"[^a-z0-9._-]+", "_", language.lower())
        return NewSpec(
            kernel_name=f"local_{name}",
            display_name=_local(language[:1].upper() + language[1:]),
            language=language,
            argv=argv,
        )


def _local(display_name: str) -> str:
    """Tell it apart from the ordinary kernel: `R (local)`, `Python 3 (ipykernel, local)`."""
    if display_name.endswith(")"):
        return f"{display_name[:-1]}, local)"
    return f"{display_name} (local)"


main = partial(run_installer, LocalSpecInstall)
"""`jupyter local-kernelspec`; see `run_installer`."""
