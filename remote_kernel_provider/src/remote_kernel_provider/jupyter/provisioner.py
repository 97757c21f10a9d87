"""The kernel provisioner: kernels of our providers for JupyterLab, Jupyter Server, nbclient and papermill, unchanged.

`jupyter_client` calls it as documented in its `KernelProvisionerBase`; who calls what, and what the base class must not
be asked for, is on the site's page for contributors.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from remote_kernel_provider.adoption import adopt
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.connection.keepalive import keep_alive
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host, current_host
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.observing import LAUNCH_OBSERVER
from remote_kernel_provider.jupyter.users import authenticated_user
from remote_kernel_provider.kernelspecs.config_keys import LOCAL
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import KernelResource, KernelStatus
from remote_kernel_provider.manager import RemoteKernelManager
from remote_kernel_provider.owner import server_instance
from remote_kernel_provider.parameters.environment import passed_by_client, split_parameters
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import RemoteKernelProvider, claimed_identity, load_provider


class RemoteKernelProvisioner(KernelProvisionerBase):
    """Delegates the life of one kernel to the provider that its `kernel.json` names."""

    kernel = Unicode(
        help="""The provider and its kernel, such as 'local/python'; written by the provider's installer into the
        kernel.json beside the provider's own spec file.""",
    ).tag(config=True)

    _manager: RemoteKernelManager | None = None
    _waited_for = False
    _working_dir: str | None = None
    _mirrored = False
    _user: Identity | None = None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and its end was not yet waited for."""
        return self._manager is not None and not self._waited_for

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its exit code; from memory."""
        if self._manager is None:
            return 0
        status = self._manager.status
        if not status.phase.ended:
            return None
        return 1 if status.exit_code is None else status.exit_code

    async def wait(self) -> int | None:
        """Wait for the kernel's end; the manager stays, for `cleanup`."""
        if self._manager is not None:
            await self._manager.wait()
            self._waited_for = True
        return await self.poll()

    async def ended(self) -> None:
        """Return when the kernel has ended, by whatever cause; waiting costs nothing."""
        if self._manager is not None:
            await self._manager.wait()

    @property
    def death(self) -> str:
        """Why the kernel ended, as a sentence; empty while it runs, and once it was cleaned up."""
        if self._manager is None or not self._manager.status.phase.ended:
            return ""
        return self._manager.status.sentence()

    @property
    def user(self) -> str:
        """Whose the kernel is; empty before its first launch."""
        return self._user.user if self._user is not None else ""

    @property
    def status(self) -> KernelStatus | None:
        """What the backend said last of the kernel; None when there is none."""
        return None if self._manager is None else self._manager.status

    async def last_output(self, lines: int) -> str:
        """Return the last lines of the kernel's output; they may hold secrets of its user."""
        return "" if self._manager is None else await self._manager.logs(lines)

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel's process; a dead one takes none."""
        if self._manager is not None:
            request = self._manager.signal(signum)
            # The interrupt with which jupyter_client begins a shutdown.
            await (self._if_possible(request) if getattr(self.parent, "shutting_down", False) else request)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel by force."""
        if self._manager is not None:
            await self._manager.kill()

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel's process to end."""
        if self._manager is not None:
            await self._if_possible(self._manager.terminate())

    async def _if_possible(self, request: Awaitable[None]) -> None:
        """Await a step of a shutdown; where it fails, the next ones end the kernel by force."""
        try:
            await request
        except RemoteKernelError as error:  # a container may have ended, and its backend not know it yet
            self.log.info("Kernel %s goes on to its end although: %s", self.kernel_id, error)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Note that the kernel's end is wanted."""
        if self._manager is not None:
            self._manager.expect_end()

    async def cleanup(self, restart: bool = False) -> None:
        """Remove all that is left of the kernel."""
        if self._manager is not None:
            await self._manager.cleanup()
            self._manager = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of `launch_kernel`.

        The base class's method is not called: it would add the host's whole environment.
        """
        return {**kwargs, "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Launch the kernel and return its connection info.

        Raises
        ------
        LaunchHTTPError
            With one sentence; nothing is left of the launch.
        """
        try:
            provider, spec, profile = self._find(kwargs.get("extra_arguments") or [])
            request = self._request(kwargs, profile)
            self._manager = await provider.start(
                spec, request, replaces=self._held(), progress=LAUNCH_OBSERVER.get(), log=self.log
            )
        except RemoteKernelError as error:
            failure = LaunchHTTPError(error, in_dialog=_server_of(self.parent) is not None)
            if failure.log_tail:
                self.log.error("%s Its last output:\n%s", failure, failure.log_tail)
            # Clients log the whole chain, twice: where in our code it was refused is no news.
            raise failure from error.with_traceback(None)
        self._waited_for = False
        self._working_dir = request.working_dir
        self._mirrored = spec.lifecycle_manager == LOCAL
        self._take(self._manager.connection)
        return dict(self.connection_info)

    def _find(self, extra_arguments: list[str]) -> tuple[RemoteKernelProvider, KernelSpec, str]:
        provider_id, _, name = self.kernel.partition("/")
        provider = load_provider(provider_id, self._host())
        spec, profile = provider.find(name)
        if extra_arguments:
            spec = replace(spec, argv=(*spec.argv, *extra_arguments))
        return provider, spec, profile

    def _host(self) -> Host:
        server = _server_of(self.parent)
        instance = server_instance(server.port, server.base_url) if server else ""
        return current_host(lambda: load_settings(self.config), instance)

    def _request(self, kwargs: Mapping[str, Any], profile: str) -> ClientRequest:
        passed = passed_by_client(kwargs.get("env") or {}, os.environ)
        from_environment, environment = split_parameters(passed)
        as_variables, by_name = split_parameters(kwargs.get("launch_params") or {})
        values = {**from_environment, **as_variables, **by_name}
        return ClientRequest(
            kernel_id=str(self.kernel_id),
            identity=self._identity(values),
            values=values,
            environment=environment,
            working_dir=_text(kwargs.get("cwd")),
            profile=profile,
            encryption=_encryption(self.parent),
            listed_as=str(getattr(self.parent, "kernel_name", "")),
        )

    def _identity(self, values: Mapping[str, Any]) -> Identity:
        """Return whose kernel it is: whoever restarts it later, it stays theirs."""
        if self._user is None:
            user = authenticated_user()
            self._user = Identity(user, "authenticated") if user else claimed_identity(values)
        return self._user

    def _take(self, connection: ConnectionInfo) -> None:
        """Hand a kernel's connection to the kernel manager, whose sockets are to stay connected."""
        self.connection_info = _for_jupyter_client(connection)  # type: ignore[assignment]
        if self.parent is not None:
            keep_alive(self.parent.context)

    def _held(self) -> ConnectionInfo | None:
        """Return the connection that clients of a kernel that is restarted hold already."""
        return ConnectionInfo.from_json(self.connection_info) if self.connection_info else None

    async def get_provisioner_info(self) -> dict[str, Any]:
        """Return what another process needs to manage the kernel: JSON, with its keys."""
        info = await super().get_provisioner_info()
        info["connection_info"] = ConnectionInfo.from_json(self.connection_info).to_json()
        if self._manager is not None:
            info["resource"] = self._manager.resource.to_json()
            info["working_dir"] = self._working_dir
        return info

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """Take over the kernel that `get_provisioner_info` described.

        Raises
        ------
        KernelGoneError
            When it has ended.
        """
        await super().load_provisioner_info(provisioner_info)
        resource = KernelResource.from_json(provisioner_info["resource"])
        self._manager = await PRIVATE_LOOP.call(adopt(self._host(), resource, self.log), undo=RemoteKernelManager.leave)
        self._user = Identity(resource.owner.user, "authenticated")  # at its launch
        self._waited_for = False
        self._working_dir = provisioner_info.get("working_dir")
        self._mirrored = resource.lifecycle == LOCAL
        self._take(self._manager.connection)

    async def leave(self) -> None:
        """Let go of the kernel, which runs on: another process, or this one, may take it over."""
        if self._manager is not None:
            manager, self._manager = self._manager, None
            await manager.leave()

    def resolve_path(self, path: str) -> str | None:
        """Return a path as the kernel sees it, where kernel and host share their files; None elsewhere."""
        if not self._mirrored:
            return None
        resolved = (Path(self._working_dir or "") / Path(path).expanduser()).resolve()
        return resolved.as_posix() if resolved.exists() else None


def _text(path: str | os.PathLike[str] | None) -> str | None:
    """Return a path as a text; `jupyter execute` gives a `Path`."""
    return None if path is None else os.fspath(path)


def _for_jupyter_client(connection: ConnectionInfo) -> dict[str, Any]:
    return {**connection.to_json(), "key": connection.key.encode()}


def _encryption(kernel_manager: Any) -> str:
    """Ask for encryption where the kernel manager's clients can take part (jupyter_client 8.9 and later)."""
    if not hasattr(kernel_manager, "curve_publickey"):
        return "disabled"
    # Its own default, "disabled", is no decision of anybody's: our settings decide then.
    return "required" if kernel_manager.transport_encryption == "required" else "auto"


def _server_of(configurable: Any) -> Any:
    """Return the server application above a kernel manager, or None under a program that does not come back."""
    while configurable is not None and not (hasattr(configurable, "base_url") and hasattr(configurable, "port")):
        configurable = getattr(configurable, "parent", None)
    return configurable
