"""The end points under `remote-kernels/`, described in `openapi.yaml` beside this module.

Who may use them is decided as for Jupyter Server's own `api/kernels`; what they do is in `forms` and `running`.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.files import parse_json
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.jupyter.server.forms import Form, listed_kernel
from remote_kernel_provider.jupyter.server.mapping import RemoteMapping
from remote_kernel_provider.jupyter.server.models import launch_model
from remote_kernel_provider.jupyter.server.refusal import RefusalError
from remote_kernel_provider.jupyter.server.running import RunningKernels
from remote_kernel_provider.jupyter.server.survival import host_of
from remote_kernel_provider.jupyter.server.waiting import EXPIRY
from remote_kernel_provider.jupyter.users import authenticated_user, current_user
from remote_kernel_provider.parameters.launch_parameters import Identity

ROOT = "remote-kernels"

OPENAPI_FILE = Path(__file__).with_name("openapi.yaml")

LONGEST_BODY = 64 * 1024
"""Bytes of a request."""

MOST_PARAMETERS = 100

MOST_LINES = 10_000

Answering = Callable[..., Awaitable[None]]


def answering(method: Answering) -> Any:
    """Serve a method as Jupyter Server's own handlers are, and answer errors of ours as refusals."""

    @wraps(method)
    async def answer(self: RemoteKernelsHandler, *args: str) -> None:
        try:
            await method(self, *args)
        except RemoteKernelError as error:
            raise RefusalError.of(error) from None

    return web.authenticated(authorized(answer))


class RemoteKernelsHandler(APIHandler):
    """What all our end points share.

    Parameters
    ----------
    server
        The server application.
    running
        Its kernels, and others'.
    """

    auth_resource = "kernels"

    def initialize(self, server: Any, running: RunningKernels) -> None:
        """Take the server's parts."""
        self.server = server
        self.running = running

    @property
    def mapping(self) -> RemoteMapping:
        """The server's kernels."""
        return cast(RemoteMapping, self.kernel_manager)

    def form(self, name: str) -> Form:
        """Return the form of a kernel for the user who asks."""
        user = authenticated_user()
        identity = Identity(user, "authenticated") if user else system_identity()
        return Form(host_of(self.server), listed_kernel(self.kernel_spec_manager, name), identity)

    def body(self, **fields: tuple[type, Any]) -> dict[str, Any]:
        """Return the fields of the request's body.

        Parameters
        ----------
        fields
            The type of each, and what it is when it is left out; `...` = it must not be.
        """
        if len(self.request.body) > LONGEST_BODY:
            raise RefusalError(413, f"the body is too long; at most {LONGEST_BODY} bytes are taken")
        try:
            document = parse_json(self.request.body or b"{}")
        except ValueError:
            raise RefusalError(400, "the body is not JSON; expected an object") from None
        if not isinstance(document, dict):
            raise RefusalError(400, f"the body is a {type(document).__name__}; expected an object")
        unknown = sorted(document.keys() - fields.keys())
        if unknown:
            raise RefusalError(400, f"the body has '{unknown[0][:100]}'; expected {', '.join(fields) or 'nothing'}")
        found = {}
        for name, (kind, default) in fields.items():
            found[name] = document.get(name, default)
            if not isinstance(found[name], kind):
                raise RefusalError(400, f"'{name}' in the body must be {_KINDS[kind]}")
        return found

    def answer(self, document: Any, status: int = 200) -> None:
        """Send an answer."""
        self.set_status(status)
        self.finish(json.dumps(document))

    def nothing(self) -> None:
        """Send that it is done."""
        self.set_status(204)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send why a request is refused."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if not isinstance(error, RefusalError):
            super().write_error(status_code, **kwargs)
            return
        document: dict[str, Any] = {"message": error.sentence, "reason": None}
        if error.errors is not None:
            document["errors"] = dict(error.errors)
        self.finish(json.dumps(document))


_KINDS = {str: "a text", dict: "an object", bool: "true or false"}


class ParametersHandler(RemoteKernelsHandler):
    """The form of one kernel."""

    @answering
    async def get(self, name: str) -> None:
        """Describe the parameters."""
        self.answer(await asyncio.to_thread(self.form(name).describe))

    @answering
    async def delete(self, name: str) -> None:
        """Forget the user's last values."""
        try:
            await asyncio.to_thread(self.form(name).forget)
        except OSError as error:
            raise RefusalError(500, f"the values cannot be forgotten: {error.strerror}") from None
        self.nothing()


class LaunchesHandler(RemoteKernelsHandler):
    """The launches under way."""

    @answering
    async def get(self) -> None:
        """List the user's."""
        paths, user = await self.running.paths(), current_user()
        launches = [launch for launch in self.mapping.launches.under_way() if launch.subject.user == user]
        self.answer([launch_model(launch, paths.get(launch.subject.id, "")) for launch in launches])


class LaunchHandler(RemoteKernelsHandler):
    """One launch, to come or under way."""

    @answering
    async def post(self, kernel_id: str) -> None:
        """Take the values of a launch to come."""
        kernel_id = _checked_id(kernel_id)
        asked = self.body(name=(str, ...), parameters=(dict, {}), remember=(bool, False))
        name, values = asked["name"], asked["parameters"]
        if len(values) > MOST_PARAMETERS:
            raise RefusalError(400, f"there are {len(values)} parameters; expected at most {MOST_PARAMETERS}")
        if kernel_id in self.kernel_manager:
            raise RefusalError(409, "this id is a kernel's already; make another")
        form = self.form(name)
        await asyncio.to_thread(form.check, kernel_id, values)
        if not self.mapping.waiting.put(kernel_id, current_user(), name, values):
            raise RefusalError(409, "this id is taken; make another")
        if asked["remember"]:
            try:
                await asyncio.to_thread(form.remember, values)
            except OSError as error:  # the launch does not depend on it
                self.log.warning("The values of '%s' are not remembered: %s", name, error)
        self.answer({"id": kernel_id, "name": name, "expires_in": int(EXPIRY)}, 201)

    @answering
    async def delete(self, kernel_id: str) -> None:
        """Cancel a launch under way, or forget the values of one to come."""
        user = current_user()
        launch = self.mapping.launches.get(kernel_id)
        if launch is not None and launch.subject.user == user:
            await self.mapping.shutdown_kernel(kernel_id)
        elif not self.mapping.waiting.forget(kernel_id, user):
            raise RefusalError(404, "there is no such launch of yours under way; it may be over")
        self.nothing()


class KernelsHandler(RemoteKernelsHandler):
    """The running kernels."""

    @answering
    async def get(self) -> None:
        """List the user's."""
        self.answer(await self.running.listed(current_user()))


class KernelHandler(RemoteKernelsHandler):
    """One running kernel."""

    @answering
    async def delete(self, kernel_id: str) -> None:
        """End it."""
        await self.running.delete(current_user(), kernel_id)
        self.nothing()


class LogsHandler(RemoteKernelsHandler):
    """The output of one kernel."""

    @answering
    async def get(self, kernel_id: str) -> None:
        """Return its end."""
        tail = self.get_query_argument("tail", "200")
        if not tail.isascii() or not tail.isdecimal() or not 1 <= len(tail) <= 5 or not 1 <= int(tail) <= MOST_LINES:
            raise RefusalError(400, f"'tail' must be a number of lines from 1 to {MOST_LINES}")
        self.answer(await self.running.logs(current_user(), kernel_id, int(tail)))


class AdoptionHandler(RemoteKernelsHandler):
    """What a dead program left."""

    @answering
    async def post(self, kernel_id: str) -> None:
        """Take it over."""
        self.body()
        self.answer(await self.running.adopt(current_user(), kernel_id))


class SweepHandler(RemoteKernelsHandler):
    """All that dead programs left."""

    @answering
    async def post(self) -> None:
        """Remove it, or say what would be removed."""
        dry_run = self.body(dry_run=(bool, False))["dry_run"]
        self.answer(await self.running.sweep(current_user(), dry_run=dry_run))


class OpenAPIHandler(RemoteKernelsHandler):
    """The description of all end points."""

    @answering
    async def get(self) -> None:
        """Return it as JSON."""
        self.answer(openapi())


HANDLERS: tuple[tuple[str, type[RemoteKernelsHandler]], ...] = (
    ("/specs/{name}/parameters", ParametersHandler),
    ("/launches", LaunchesHandler),
    ("/launches/{kernel_id}", LaunchHandler),
    ("/kernels", KernelsHandler),
    ("/kernels/{kernel_id}", KernelHandler),
    ("/kernels/{kernel_id}/logs", LogsHandler),
    ("/kernels/{kernel_id}/adopt", AdoptionHandler),
    ("/sweep", SweepHandler),
    ("/openapi.json", OpenAPIHandler),
)
"""Paths below `ROOT`, as the OpenAPI file writes them, and who answers there."""


async def serve(server: Any) -> None:
    """Answer under `remote-kernels/`, where the server's mapping kernel manager is ours."""
    if not isinstance(server.kernel_manager, RemoteMapping):
        return
    parts = {"server": server, "running": RunningKernels(server)}
    base = url_path_join(server.base_url, ROOT)
    rules = [(base + _pattern(path), handler, parts) for path, handler in HANDLERS]
    server.web_app.add_handlers(".*$", rules)


def _pattern(path: str) -> str:
    """Return the regular expression of a path."""
    return path.replace(".", r"\.").replace("{name}", "([^/]+)").replace("{kernel_id}", "([^/]+)")


@cache
def openapi() -> dict[str, Any]:
    """Return the content of the OpenAPI file."""
    import yaml

    document: dict[str, Any] = yaml.safe_load(OPENAPI_FILE.read_bytes())
    return document


def _checked_id(kernel_id: str) -> str:
    """Return the id of a launch to come, which has to be a UUID in its usual form."""
    try:
        if str(uuid.UUID(kernel_id)) == kernel_id:
            return kernel_id
    except ValueError:
        pass
    raise RefusalError(400, "the id of a launch must be a UUID such as '0b6e…': 36 characters, in lower case")
