"""A host in a process of its own, for tests that end it.

``python -m remote_kernel_provider.testing.other_host PROVIDER KERNEL INSTANCE CODE`` launches a kernel, runs a cell on
it, writes the kernel's handle as one line of JSON and stays until its standard input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from types import TracebackType

from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.host import Host, system_identity
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import load_provider
from remote_kernel_provider.testing.client import Notebook


class OtherHost:
    """A host in a process of its own; a context manager that ends it by force.

    Parameters
    ----------
    provider, kernel
        Id of the provider and name of the spec that it launches.
    instance
        Its owner instance; empty = a client program's.
    code
        What it runs on the kernel.
    """

    def __init__(self, provider: str, kernel: str, instance: str = "", code: str = "") -> None:
        command = [sys.executable, "-m", __name__, provider, kernel, instance, code]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def resource(self) -> KernelResource:
        """Wait for its kernel and return the handle.

        Raises
        ------
        RuntimeError
            When it ended without one.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the other host ended with exit code {self._process.wait()} and no kernel")
        return KernelResource.from_json(json.loads(line))

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> OtherHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def main(provider_id: str, kernel: str, instance: str, code: str) -> None:
    """Be the other host."""
    provider = load_provider(provider_id, Host(load_settings(), instance))
    spec, _ = provider.find(kernel)
    request = ClientRequest(str(uuid.uuid4()), system_identity())
    manager = PRIVATE_LOOP.run(provider.start(spec, request))
    if code:
        with Notebook(manager.connection) as notebook:
            notebook.run(code)
    print(json.dumps(manager.resource.to_json()), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
