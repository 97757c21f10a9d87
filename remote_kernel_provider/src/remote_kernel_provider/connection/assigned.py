"""The assigned handshake: the host chooses ports and keys and hands them to the kernel as a connection file."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

import zmq

from remote_kernel_provider.connection.info import ConnectionInfo
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.kernelspecs.spec import KernelSpec


def assign_connection(
    spec: KernelSpec, ip: str, ports: Sequence[int], encryption: str, keys: ConnectionInfo | None = None
) -> ConnectionInfo:
    """Make the connection info of a kernel that is about to be created.

    Parameters
    ----------
    spec
        Says by `metadata.supported_encryption` whether the kernel takes CURVE keys.
    ip
        Address that the kernel binds to.
    ports
        Five, in the order of `PORT_NAMES`.
    encryption
        `auto`, `required` or `disabled`.
    keys
        Whose keys to use, where a client holds some already; by default fresh ones are made.

    Raises
    ------
    LaunchError
        When encryption is required and impossible.
    """
    check_encryption(spec, encryption)
    shell, iopub, stdin, control, heartbeat = ports
    info = ConnectionInfo(
        ip=ip,
        ports=(shell, iopub, stdin, control, heartbeat),
        key=secrets.token_hex(32) if keys is None else keys.key,
        kernel_name=spec.name,
        signature_scheme="hmac-sha256" if keys is None else keys.signature_scheme,
    )
    if encryption == "disabled" or _obstacle(spec):
        return info
    if keys is not None and keys.encrypted:
        return replace(info, curve_publickey=keys.curve_publickey, curve_secretkey=keys.curve_secretkey)
    return with_curve_keys(info)


def check_encryption(spec: KernelSpec, encryption: str) -> None:
    """Check that required encryption is possible.

    Raises
    ------
    LaunchError
        When it is required and is not.
    """
    if encryption == "required" and (obstacle := _obstacle(spec)):
        raise LaunchError(f"kernel '{spec.name}': transport encryption is required, and {obstacle}")


def with_curve_keys(info: ConnectionInfo) -> ConnectionInfo:
    """Return the connection info with a fresh CurveZMQ key pair."""
    public, secret = zmq.curve_keypair()
    return replace(info, curve_publickey=public.decode(), curve_secretkey=secret.decode())


def _obstacle(spec: KernelSpec) -> str:
    if not zmq.has("curve"):
        return "this host's libzmq has no CURVE; install pyzmq from its wheel"
    if not spec.supports_curve:
        return 'the spec does not say metadata.supported_encryption: ["curve"] (ipykernel 7.3 and later can)'
    return ""
