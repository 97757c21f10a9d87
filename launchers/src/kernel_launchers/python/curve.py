"""CURVE keys for a kernel that can use them."""

from __future__ import annotations

import logging
import re
from importlib import metadata

import zmq

from ..arguments import TransportEncryption
from ..errors import LauncherError

log = logging.getLogger(__name__)


def make_keys(policy: TransportEncryption) -> dict[str, bytes]:
    """Return a fresh key pair as keyword arguments of `IPKernelApp`; empty for a kernel in the clear.

    Parameters
    ----------
    policy
        'auto' goes without encryption where it is impossible, and says so in the log.

    Raises
    ------
    LauncherError
        If the policy is 'required' and encryption is impossible.
    """
    if policy == "disabled":
        return {}
    obstacle = _obstacle()
    if obstacle is None:
        public, secret = zmq.curve_keypair()
        return {"curve_publickey": public, "curve_secretkey": secret}
    if policy == "required":
        raise LauncherError(f"transport encryption is required, but {obstacle}")
    log.warning("the kernel's connections are not encrypted: %s", obstacle)
    return {}


def _obstacle() -> str | None:
    # The attributes of IPKernelApp would deceive: jupyter_client defines them for kernels that ignore them.
    if not zmq.has("curve"):
        return "the ZeroMQ library was built without CURVE"
    for distribution, needed in (("ipykernel", "7.3"), ("jupyter_client", "8.9")):
        installed = metadata.version(distribution)
        if _release(installed) < _release(needed):
            return f"{distribution} {installed} knows no encryption: {needed} or later is needed"
    return None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
