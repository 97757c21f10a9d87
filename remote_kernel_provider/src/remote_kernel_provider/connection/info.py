"""The values that say where a kernel listens and with which keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

PORT_NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
"""The five channels of Jupyter's messaging protocol, in the order of `ConnectionInfo.ports`."""


@dataclass(frozen=True)
class Route:
    """Where this host reaches the ports of a kernel.

    Parameters
    ----------
    ip
        Address to connect to; with `transport` "ipc" the path's prefix.
    ports
        One for each port that was asked for, in that order.
    transport
        `tcp` or `ipc`.
    """

    ip: str
    ports: tuple[int, ...]
    transport: str = "tcp"


@dataclass(frozen=True)
class ConnectionInfo:
    """What a connection file holds; the keys are left out of the repr.

    Parameters
    ----------
    ip, transport
        Where the kernel listens.
    ports
        In the order of `PORT_NAMES`.
    key
        Of the HMAC that signs every message.
    kernel_name
        Name of the kernel spec.
    curve_publickey, curve_secretkey
        CurveZMQ keys of the kernel, Z85 (40 characters each); None for a connection in the clear.
    """

    ip: str
    ports: tuple[int, int, int, int, int]
    key: str = field(repr=False)
    kernel_name: str = ""
    transport: str = "tcp"
    signature_scheme: str = "hmac-sha256"
    curve_publickey: str | None = field(default=None, repr=False)
    curve_secretkey: str | None = field(default=None, repr=False)

    @property
    def shell_port(self) -> int:
        """Port of the shell channel."""
        return self.ports[0]

    @property
    def encrypted(self) -> bool:
        """Whether the channels are encrypted by CurveZMQ."""
        return self.curve_publickey is not None

    def to_json(self) -> dict[str, Any]:
        """Return the document that is a connection file."""
        document: dict[str, Any] = {
            **dict(zip(PORT_NAMES, self.ports, strict=True)),
            "ip": self.ip,
            "key": self.key,
            "transport": self.transport,
            "signature_scheme": self.signature_scheme,
            "kernel_name": self.kernel_name,
        }
        if self.curve_publickey is not None and self.curve_secretkey is not None:
            document |= {"curve_publickey": self.curve_publickey, "curve_secretkey": self.curve_secretkey}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ConnectionInfo:
        """Read a connection file's document.

        Raises
        ------
        ValueError
            When a port or the key is missing or has the wrong type.
        """
        ports = tuple(_port(document, name) for name in PORT_NAMES)
        key = document.get("key")
        if isinstance(key, bytes):
            key = key.decode()
        if not isinstance(key, str):
            raise ValueError("the connection info has no text 'key'")
        curve = [document.get(name) or None for name in ("curve_publickey", "curve_secretkey")]
        curve = [value.decode() if isinstance(value, bytes) else value for value in curve]
        if any(value is not None and not (isinstance(value, str) and len(value) == 40) for value in curve):
            raise ValueError("the connection info has malformed CURVE keys")
        return cls(
            ip=str(document.get("ip", "")),
            ports=ports,  # type: ignore[arg-type]  # five, as PORT_NAMES
            key=key,
            kernel_name=str(document.get("kernel_name", "")),
            transport=str(document.get("transport", "tcp")),
            signature_scheme=str(document.get("signature_scheme", "hmac-sha256")),
            curve_publickey=curve[0] if curve[1] else None,
            curve_secretkey=curve[1] if curve[0] else None,
        )

    def over(self, route: Route) -> ConnectionInfo:
        """Return the connection info as this host has to use it."""
        return replace(self, ip=route.ip, ports=_five(route.ports), transport=route.transport)


def _port(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"the connection info has no valid '{name}'")
    return value


def _five(ports: Sequence[int]) -> tuple[int, int, int, int, int]:
    shell, iopub, stdin, control, heartbeat = ports
    return shell, iopub, stdin, control, heartbeat
