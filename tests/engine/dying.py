"""Hosts that are killed at a step of a launch, as programs of their own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

_LAUNCHING = """
import os, signal, uuid
from importlib import import_module
from remote_kernel_provider.host import system_identity
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP
provider = getattr(import_module({module!r}), {name!r})()
def launch():
    return provider.start(provider.find("tiny")[0], ClientRequest(str(uuid.uuid4()), system_identity()))
"""
_KILLED_BEFORE = """
owner = getattr(import_module({module!r}), {name!r})
step = getattr(owner, {method!r})
def die(*arguments, **named):
    if {word!r} in str(arguments) and not ({word!r} == "" and "-look" in str(arguments)):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments, **named)
setattr(owner, {method!r}, die)
PRIVATE_LOOP.run(launch())
"""
SECONDS = 60.0
STEPS_OF = "docker:APIClient"


def launching(provider: str) -> str:
    """Return the beginning of a program that can `launch()` the kernel `tiny` of a provider, `module:name`."""
    module, _, name = provider.partition(":")
    return _LAUNCHING.format(module=module, name=name)


def killed_before(step: str, provider: str, owner: str = STEPS_OF) -> None:
    """Have a program launch the kernel `tiny`, which ends by SIGKILL where it would do a step.

    Parameters
    ----------
    step
        Name of a method, and perhaps a word that is among its arguments; without one, it is not a look into an image.
    provider
        `module:name`.
    owner
        `module:class` whose method it is.
    """
    module, _, name = owner.partition(":")
    method, _, word = step.partition(" ")
    code = launching(provider) + _KILLED_BEFORE.format(module=module, name=name, method=method, word=word)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},  # a provider of the tests is there
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
