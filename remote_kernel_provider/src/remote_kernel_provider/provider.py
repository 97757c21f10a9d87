"""`RemoteKernelProvider`: what a package subclasses to offer kernels of a backend of its own."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import ConfigurationError, NoSuchKernelError, ParameterError
from remote_kernel_provider.files import parse_json
from remote_kernel_provider.host import Host, current_host, system_identity
from remote_kernel_provider.kernel_mgmt import PROVIDER_GROUP, KernelProviderBase
from remote_kernel_provider.kernelspecs.catalog import SpecCatalog, SpecFile
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, ConfigKey
from remote_kernel_provider.kernelspecs.peers import find_stanza
from remote_kernel_provider.kernelspecs.reader import read_spec, spec_from_document
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE
from remote_kernel_provider.launch import LaunchPlan, ProgressCallback, launch
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import DETACHED, Owner
from remote_kernel_provider.parameters.environment import split_parameters
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity, LaunchParameters
from remote_kernel_provider.parameters.policy import allows_kernel
from remote_kernel_provider.parameters.resolve import resolve_parameters
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.sweep import sweep_dead


class RemoteKernelProvider(KernelProviderBase):
    """Finds the kernel specs of one backend, and sequences their launches.

    A subclass names its `id`, its `kernel_file` and its `default_lifecycle`; everything else is here.

    Parameters
    ----------
    host
        By default this process's.
    """

    id: ClassVar[str] = ""  # type: ignore[misc]
    """Prefix of its kernels' names."""
    kernel_file: ClassVar[str] = ""
    """Name of its spec files."""
    default_lifecycle: ClassVar[str] = ""
    """Entry point of the lifecycle manager of a spec that names none."""
    lifecycle_managers: ClassVar[frozenset[str]] = frozenset()
    """Its lifecycle managers: ordinary `kernel.json` files whose peers' stanza names one are its kernels too."""
    config_keys: ClassVar[Sequence[ConfigKey]] = CONFIG_KEYS
    """The keys that a spec's `config` may have."""

    def __init__(self, host: Host | None = None) -> None:
        self._given_host = host
        self._given_settings: RemoteKernelSettings | None = None
        self._catalog = SpecCatalog(
            SpecFile(self.kernel_file, self.read_spec), SpecFile(STOCK_FILE, self.read_ordinary)
        )

    def load_config(self, config: Any = None) -> None:
        """Take the configuration of the application that made the finder."""
        if config:
            self._given_settings = load_settings(config)

    @property
    def host(self) -> Host:
        """This process as a host of kernels."""
        return self._given_host or current_host(self._settings)

    def read_spec(self, file: Path) -> KernelSpec:
        """Read one spec file.

        Raises
        ------
        SpecError
            When it is malformed.
        """
        return read_spec(file, self.default_lifecycle, self.config_keys)

    def read_ordinary(self, file: Path) -> KernelSpec | None:
        """Read a stock `kernel.json`; None when it is not for this provider.

        Raises
        ------
        SpecError
            When it is, and is malformed.
        """
        try:
            document = parse_json(file.read_bytes())
            stanza = find_stanza(document["metadata"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # stock Jupyter says what is wrong with a stock file
        if stanza is None or stanza.lifecycle_manager not in self.lifecycle_managers:
            return None
        return spec_from_document(document, file, self.default_lifecycle, self.config_keys)

    def specs(self) -> dict[str, KernelSpec]:
        """Return the specs by name; unchanged files are not read again."""
        return self._catalog.specs()

    def faults(self) -> list[str]:
        """Return a sentence for each spec file that was left out."""
        return self._catalog.errors()

    def find_kernels(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield `(name, attributes)` of what the operator allows this process's user; see `kernels`."""
        settings, user = self._settings(), system_identity().user
        for name, spec in self.kernels():
            if allows_kernel(f"{self.id}/{name}", user, settings):
                yield name, spec.attributes()

    def kernels(self) -> Iterator[tuple[str, KernelSpec]]:
        """Yield each spec by name, and by `name.profile` each profile that the operator made of it."""
        profiles = self._profiles()
        for name, spec in self.specs().items():
            yield name, spec
            for variant, profile in profiles.get(f"{self.id}/{name}", {}).items():
                display_name = profile.get("display_name", f"{spec.display_name} ({variant})")
                yield f"{name}.{variant}", replace(spec, display_name=display_name)

    def _profiles(self) -> Mapping[str, Mapping[str, Any]]:
        # Listing needs no host: no identity is made and no lock is held for it.
        profiles: Mapping[str, Mapping[str, Any]] = self._settings().profiles
        return profiles

    def _settings(self) -> RemoteKernelSettings:
        if self._given_host is not None:
            return self._given_host.settings
        if self._given_settings is None:
            self._given_settings = load_settings()
        return self._given_settings

    def find(self, name: str) -> tuple[KernelSpec, str]:
        """Return the spec of a name, and the profile that the name asks for, if any.

        Raises
        ------
        NoSuchKernelError
            Names the kernels that there are.
        """
        specs = self.specs()
        if name in specs:
            return specs[name], ""
        base, _, variant = name.rpartition(".")
        if base in specs and variant in self._profiles().get(f"{self.id}/{base}", {}):
            return specs[base], variant
        known = ", ".join(f"{self.id}/{name}" for name, _ in self.find_kernels()) or "none"
        faults = "".join(f"; {error}" for error in self.faults() if f"/{name}/" in error)
        raise NoSuchKernelError(f"there is no kernel '{self.id}/{name}'; the kernels are: {known}{faults}")

    async def launch(
        self, name: str, cwd: str | None = None, launch_params: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], RemoteKernelManager]:
        """Launch a kernel for a client of `jupyter_kernel_mgmt`.

        Parameters
        ----------
        name
            Of a spec, or of a spec's profile.
        cwd
            Working directory that the client would like.
        launch_params
            Parameters by name (`memory` or `KERNEL_MEMORY`), and `env`, `transport_encryption`, `kernel_id`.

        Returns
        -------
        tuple
            Connection info, and the kernel's manager.
        """
        spec, profile = self.find(name)
        request = _request_of(launch_params or {}, cwd, profile)
        manager = await self.start(spec, request)
        return manager.connection.to_json(), manager

    async def start(
        self,
        spec: KernelSpec,
        request: ClientRequest,
        *,
        replaces: ConnectionInfo | None = None,
        detached: bool = False,
        progress: ProgressCallback | None = None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> RemoteKernelManager:
        """Launch a kernel for any face of ours; from any loop.

        Parameters
        ----------
        spec
            What to launch.
        request
            What the client asks for.
        replaces
            The connection that clients hold already; see `LaunchPlan`.
        detached
            See `LaunchPlan`.
        progress
            Called on the private loop at each step.
        log
            Where the kernel's death will be logged.

        Raises
        ------
        RemoteKernelError
            See the launch and `resolve_parameters`.
        """
        plan = partial(self.plan, spec, request, replaces=replaces, detached=detached)
        return await PRIVATE_LOOP.call(self._start(plan, progress, log), undo=RemoteKernelManager.kill)

    def plan(
        self,
        spec: KernelSpec,
        request: ClientRequest,
        *,
        replaces: ConnectionInfo | None = None,
        detached: bool = False,
    ) -> LaunchPlan:
        """Resolve and check all that a launch needs, without any side effect."""
        spec = self.prepare(spec)
        parameters = resolve_parameters(self.id, spec, request, self.host.settings)
        self.check(spec, parameters, self.host.settings)
        arguments = {
            "provider": self.id,
            "spec": spec.name,
            "interrupt_mode": spec.interrupt_mode,
            "request": asdict(request),
            "limits": parameters.limits,
        }
        return LaunchPlan(spec, parameters, arguments, replaces, detached)

    def prepare(self, spec: KernelSpec) -> KernelSpec:
        """Return a spec as its backend understands it; by default as it is.

        Raises
        ------
        SpecError
            When it does not.
        """
        return spec

    def check(self, spec: KernelSpec, parameters: LaunchParameters, settings: RemoteKernelSettings) -> None:
        """Check the merged parameters against what only this backend knows; by default nothing.

        Raises
        ------
        ParameterError
            When a value is malformed or, as a RefusedError, when the operator's policy forbids it.
        """

    async def _start(
        self,
        make_plan: Callable[[], LaunchPlan],
        progress: ProgressCallback | None,
        log: logging.Logger | logging.LoggerAdapter[Any] | None,
    ) -> RemoteKernelManager:
        # In a thread, as the first schema that is checked imports its validator, which can take seconds.
        plan = await asyncio.to_thread(make_plan)
        host = self.host
        if host.settings.sweep and not host.has_launched:
            host.in_background(sweep_dead(host))
        user = plan.parameters.identity.user
        owner = Owner(user, host.identity.host_id, DETACHED) if plan.detached else host.owner(user)
        launched = await launch(plan, host, owner, progress)
        return RemoteKernelManager(launched, plan.spec.interrupt_mode, host.settings.delete_grace, log)


def load_provider(provider_id: str, host: Host | None = None) -> RemoteKernelProvider:
    """Return a provider of ours by its id.

    Raises
    ------
    ConfigurationError
        When it is not installed, cannot be loaded, or is somebody else's.
    """
    return _provider_class(provider_id)(host)


@cache  # finding entry points reads the files of every installed distribution
def _provider_class(provider_id: str) -> type[RemoteKernelProvider]:
    points = {point.name: point for point in entry_points(group=PROVIDER_GROUP)}
    if provider_id not in points:
        known = ", ".join(sorted(points))
        raise ConfigurationError(
            f"the kernel provider '{provider_id}' is not installed (there are: {known}); install it"
        )
    try:
        loaded = points[provider_id].load()
    except Exception as error:  # another package's import can fail in any way
        raise ConfigurationError(f"the kernel provider '{provider_id}' cannot be loaded: {error}") from error
    if not (isinstance(loaded, type) and issubclass(loaded, RemoteKernelProvider)):
        raise ConfigurationError(f"the kernel provider '{provider_id}' is not one of remote-kernel-provider's")
    return loaded


def _request_of(launch_params: Mapping[str, Any], cwd: str | None, profile: str) -> ClientRequest:
    """Read what a kernel-mgmt client says."""
    params = dict(launch_params)
    passed = params.pop("env", {})
    if not isinstance(passed, Mapping) or not all(isinstance(value, str) for value in passed.values()):
        raise ParameterError("launch_params['env'] must be an object of texts")
    # These clients know no CURVE: without their word the channels stay in the clear.
    encryption = str(params.pop("transport_encryption", "disabled"))
    kernel_id = str(params.pop("kernel_id", "") or uuid.uuid4())
    from_environment, environment = split_parameters(passed)
    as_variables, by_name = split_parameters(params)
    values: dict[str, Any] = {**from_environment, **as_variables, **by_name}
    return ClientRequest(
        kernel_id=str(values.get("id") or kernel_id),
        identity=claimed_identity(values),
        values=values,
        environment=environment,
        working_dir=cwd,
        profile=profile,
        encryption=encryption,
    )


def claimed_identity(values: Mapping[str, Any]) -> Identity:
    """Return who a client claims to be, else the operating system's user who runs this host."""
    claimed = values.get("username")
    return Identity(str(claimed), "claimed") if claimed else system_identity()
