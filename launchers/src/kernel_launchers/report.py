"""The launcher's one message to its host: where the kernel listens and with which keys.

Version 1 of the reported handshake of Enterprise Gateway and Gateway Provisioners.
"""

from __future__ import annotations

import base64
import binascii
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from Cryptodome.Cipher import AES, PKCS1_v1_5
from Cryptodome.PublicKey import RSA
from Cryptodome.Random import get_random_bytes
from Cryptodome.Util.Padding import pad

from .errors import LauncherError

VERSION = 1
CONNECT_TIMEOUT = 5.0
"""Seconds that one attempt to reach the host may take."""

PAUSES = (0.2, 1.0, 2.0)
"""Seconds between attempts; with the time-outs they end before a host's usual launch time-out of 30 seconds."""

_MIN_KEY_BITS = 1024


@dataclass(frozen=True)
class Host:
    """The host as its connection shows it: the only one that may command the kernel.

    Parameters
    ----------
    address : str
        IP address at which the host took the report.
    is_this_machine : bool
        Whether that address is one of this machine's own.
    """

    address: str
    is_this_machine: bool

    def is_peer(self, remote: str, local: str) -> bool:
        """Whether a connection from the IP address `remote` to our address `local` comes from the host.

        A host on this machine may take reports at one of the machine's addresses and connect to another:
        its connections then come from the very address that they go to.
        """
        return remote == self.address or (self.is_this_machine and remote == local)


def read_public_key(text: str) -> RSA.RsaKey:
    """Read an RSA SubjectPublicKeyInfo: DER in standard base64, white space ignored.

    Raises
    ------
    ValueError
        If it is anything else, or shorter than 1024 bits.
    """
    try:
        key = RSA.import_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, IndexError, TypeError, binascii.Error) as error:
        raise ValueError("not an RSA public key in base64 (DER, SubjectPublicKeyInfo)") from error
    if key.size_in_bits() < _MIN_KEY_BITS:
        raise ValueError(f"an RSA key of {key.size_in_bits()} bits: at least {_MIN_KEY_BITS} are needed")
    return key


def seal(connection_info: Mapping[str, object], public_key: RSA.RsaKey) -> bytes:
    """Encrypt connection info so that only the host can read it.

    The wire format demands AES-128 in ECB mode; the key is used once, for this message.
    """
    aes_key = get_random_bytes(16)
    plain = json.dumps(connection_info).encode()
    envelope = {
        "version": VERSION,
        "key": _base64(PKCS1_v1_5.new(public_key).encrypt(aes_key)),
        "conn_info": _base64(AES.new(aes_key, AES.MODE_ECB).encrypt(pad(plain, AES.block_size))),
    }
    return base64.b64encode(json.dumps(envelope).encode())


def deliver(message: bytes, address: tuple[str, int]) -> Host:
    """Send the message to the host's response address and return the host.

    Takes at most about 25 seconds. Sending again is harmless: a host expects each kernel once.

    Raises
    ------
    LauncherError
        If the host cannot be reached.
    """
    for pause in (*PAUSES, None):
        try:
            with socket.create_connection(address, timeout=CONNECT_TIMEOUT) as connection:
                remote, local = connection.getpeername()[0], connection.getsockname()[0]
                connection.sendall(message)
                connection.shutdown(socket.SHUT_WR)
                return Host(remote, is_this_machine=remote == local or ip_address(remote).is_loopback)
        except OSError as error:
            cause = error
        if pause is not None:
            time.sleep(pause)
    raise LauncherError(
        f"cannot report to the host at {address[0]}:{address[1]} after {len(PAUSES) + 1} attempts ({cause}): "
        "check that this address can be reached from where the kernel runs"
    ) from cause


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
