"""What a form needs before a launch: the parameters' schema, the last values, and what is wrong with new ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jupyter_client.kernelspec import NoSuchKernel

from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.host import Host
from remote_kernel_provider.jupyter.server.refusal import RefusalError
from remote_kernel_provider.jupyter.server.remembered import RememberedValues
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import kernel_behind
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.parameters.policy import authorize, check_kernel
from remote_kernel_provider.parameters.resolve import IDENTITY_PARAMETERS, profile_values
from remote_kernel_provider.parameters.schema import schema_with_defaults
from remote_kernel_provider.provider import RemoteKernelProvider, load_provider


@dataclass(frozen=True)
class ListedKernel:
    """A kernel of ours that stock Jupyter lists.

    Parameters
    ----------
    name, display_name
        As it is listed.
    kernel
        `provider/name`, or `provider/name.profile`.
    """

    name: str
    display_name: str
    kernel: str


def listed_kernel(specs: Any, name: str) -> ListedKernel:
    """Return a kernel of ours by its name in the server.

    Raises
    ------
    RefusalError
        404, when there is none of this name, or it is an ordinary one.
    """
    try:
        spec = specs.get_kernel_spec(name)
    except (NoSuchKernel, ValueError, OSError):  # a name that no file can have included
        raise RefusalError(404, f"there is no kernel '{name[:100]}'; reload the list of kernels") from None
    kernel = kernel_behind(spec.metadata)
    if not kernel:
        raise RefusalError(404, f"kernel '{name}' is an ordinary one: it takes no parameters")
    return ListedKernel(name, spec.display_name, kernel)


@dataclass(frozen=True)
class Form:
    """The parameters of one kernel for one user; every method blocks and belongs into a thread.

    Parameters
    ----------
    host
        With the operator's settings.
    listed
        The kernel.
    user
        Who asks.
    """

    host: Host
    listed: ListedKernel
    user: Identity

    def describe(self) -> dict[str, Any]:
        """Return the schema with the defaults of this kernel, and the user's last values.

        Raises
        ------
        RemoteKernelError
            When the user may not launch this kernel, or its spec is wrong.
        """
        provider, spec, profile = self._find()
        authorize(self.user, spec, self.host.settings)
        check_kernel(self.listed.kernel, self.user.user, self.host.settings)
        values = profile_values(f"{provider.id}/{spec.name}", profile, self.host.settings)
        return {
            "name": self.listed.name,
            "display_name": self.listed.display_name,
            "kernel": self.listed.kernel,
            "schema": schema_with_defaults(spec, values),
            "values": self._remembered.last(self.user.user, self.listed.kernel),
        }

    def check(self, kernel_id: str, values: Mapping[str, Any]) -> None:
        """Check values as their launch would.

        Raises
        ------
        RefusalError
            With a sentence for each field that is wrong.
        RemoteKernelError
            When no values could help.
        """
        errors = {name: _reserved(name) for name in values if name.lower() in IDENTITY_PARAMETERS}
        rest = {name: value for name, value in values.items() if name not in errors}
        plan = self._planner(kernel_id)
        # A launch stops at its first fault; without the field that has it, the next plan comes to the next one.
        while (fault := plan(rest)) is not None:
            field = next((name for name in rest if name.lower() == fault.parameter.lower()), fault.parameter)
            if not field and not errors:
                raise RefusalError.of(fault) if isinstance(fault, RefusedError) else RefusalError(400, str(fault), {})
            if not field or field in errors:
                break  # it is missing by now
            errors[field] = str(fault)
            if field not in rest:
                break  # the spec's own value is at fault, and stays
            del rest[field]
        if errors:
            raise RefusalError(400, next(iter(errors.values())), errors)

    def _planner(self, kernel_id: str) -> Callable[[Mapping[str, Any]], ParameterError | None]:
        """Return what plans the launch with some values, and returns what is wrong with them."""
        provider, spec, profile = self._find()
        request = ClientRequest(kernel_id, self.user, profile=profile)

        def plan(values: Mapping[str, Any]) -> ParameterError | None:
            try:
                provider.plan(spec, replace(request, values=values))
            except ParameterError as error:
                return error
            except RecursionError:
                return ParameterError(f"the parameters of kernel '{spec.name}' are nested too deep; expected less")
            return None

        return plan

    def remember(self, values: Mapping[str, Any]) -> None:
        """Remember values as the user's last ones.

        Raises
        ------
        OSError
            When they cannot be written.
        """
        _, spec, _ = self._find()
        self._remembered.remember(self.user.user, self.listed.kernel, values, spec.parameter_schema)

    def forget(self) -> None:
        """Forget the user's last values.

        Raises
        ------
        OSError
            When the file cannot be written.
        """
        self._remembered.forget(self.user.user, self.listed.kernel)

    def _find(self) -> tuple[RemoteKernelProvider, KernelSpec, str]:
        provider_id, _, name = self.listed.kernel.partition("/")
        provider = load_provider(provider_id, self.host)
        return provider, *provider.find(name)

    @property
    def _remembered(self) -> RememberedValues:
        return RememberedValues(self.host.identity.folder / "values")


def _reserved(name: str) -> str:
    return f"parameter '{name}' says whose or which kernel it is, which the server knows; leave it out"
