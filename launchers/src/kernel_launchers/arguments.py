"""What a host tells a launcher, on its command line or in its environment."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, cast, get_args

from Cryptodome.PublicKey.RSA import RsaKey

from .errors import UsageError
from .ports import PortRange
from .report import read_public_key

TransportEncryption = Literal["disabled", "auto", "required"]
"""Whether the kernel's sockets use CURVE: never, where both sides can, or not at all without it."""

DEFAULT_KERNEL_CLASS = "ipykernel.ipkernel.IPythonKernel"


@dataclass(frozen=True)
class LauncherArguments:
    """The host's wishes, checked.

    Parameters
    ----------
    kernel_id : str
        The id under which the host expects the report.
    response_address : tuple of str and int
        Where the host takes the report.
    public_key : RsaKey
        The host's key, for sealing the report.
    port_range : PortRange
        The ports that the kernel and its listener may use.
    transport_encryption : {'disabled', 'auto', 'required'}
        The CURVE policy.
    kernel_class_name : str
        Dotted name of the kernel's class.
    """

    kernel_id: str
    response_address: tuple[str, int]
    public_key: RsaKey
    port_range: PortRange
    transport_encryption: TransportEncryption
    kernel_class_name: str


class _Option(NamedTuple):
    name: str
    environment: str | None
    metavar: str
    help: str
    has_old_spelling: bool = False

    @property
    def flags(self) -> list[str]:
        old = [f"--RemoteProcessProxy.{self.name}"] if self.has_old_spelling else []
        return [f"--{self.name}", *old]

    @property
    def variables(self) -> list[str]:
        return [self.environment, f"EG_{self.environment}"] if self.environment else []


_KERNEL_ID = _Option("kernel-id", "KERNEL_ID", "ID", "the id under which the host expects this kernel", True)
_RESPONSE_ADDRESS = _Option(
    "response-address", "RESPONSE_ADDRESS", "IP:PORT", "where the host takes the connection info", True
)
_PUBLIC_KEY = _Option(
    "public-key", "PUBLIC_KEY", "BASE64", "the host's RSA public key, which seals the connection info", True
)
_PORT_RANGE = _Option(
    "port-range", "PORT_RANGE", "LOWER..UPPER", "ports that the kernel may use; 0..0, the default, is any", True
)
_TRANSPORT_ENCRYPTION = _Option(
    "transport-encryption",
    "TRANSPORT_ENCRYPTION",
    "POLICY",
    "CURVE encryption of the kernel's sockets: empty or disabled (the default), auto or required",
)
_KERNEL_CLASS_NAME = _Option(
    "kernel-class-name",
    "KERNEL_CLASS_NAME",
    "NAME",
    f"dotted name of a subclass of ipykernel.kernelbase.Kernel; the default is {DEFAULT_KERNEL_CLASS}",
)
_SPARK_MODE = _Option(
    "spark-context-initialization-mode",
    "KERNEL_SPARK_CONTEXT_INIT_MODE",
    "MODE",
    "none (the default); lazy and eager are refused, because this launcher creates no Spark context yet",
    True,
)
_CLUSTER_TYPE = _Option(
    "cluster-type", None, "TYPE", "none or spark (the default), which ask for nothing here; dask is refused"
)
_OPTIONS = (
    _KERNEL_ID,
    _RESPONSE_ADDRESS,
    _PUBLIC_KEY,
    _PORT_RANGE,
    _TRANSPORT_ENCRYPTION,
    _KERNEL_CLASS_NAME,
    _SPARK_MODE,
    _CLUSTER_TYPE,
)


def parse_arguments(argv: Sequence[str], environ: Mapping[str, str], program: str) -> LauncherArguments:
    """Read a launcher's arguments; what the command line does not give is taken from the environment.

    A placeholder that the host did not fill in, such as ``{public_key}``, counts as not given: kernel specs
    name placeholders that older hosts do not know.

    Parameters
    ----------
    argv
        The arguments, without the program's name.
    environ
        The environment.
    program
        The program's name in its help.

    Raises
    ------
    UsageError
        If something is missing, malformed or not supported.
    """
    given = vars(_parser(program).parse_args(argv))

    def value(option: _Option) -> str | None:
        sources = [given[option.name], *(environ.get(variable) for variable in option.variables)]
        return next((text.strip() for text in sources if text and _is_given(text)), None)

    def required(option: _Option) -> str:
        text = value(option)
        if text is None:
            raise UsageError(f"no {option.name}: give --{option.name} or set {option.environment}")
        return text

    arguments = LauncherArguments(
        kernel_id=_kernel_id(required(_KERNEL_ID)),
        response_address=_response_address(required(_RESPONSE_ADDRESS)),
        public_key=_public_key(required(_PUBLIC_KEY)),
        port_range=PortRange.parse(value(_PORT_RANGE) or "0..0"),
        transport_encryption=_transport_encryption(value(_TRANSPORT_ENCRYPTION) or "disabled"),
        kernel_class_name=value(_KERNEL_CLASS_NAME) or DEFAULT_KERNEL_CLASS,
    )
    _refuse_clusters(value(_SPARK_MODE) or "none", value(_CLUSTER_TYPE) or "spark")
    return arguments


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (--help lists the arguments)")


def _parser(program: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=program,
        description="Start a kernel, and report its ports and keys, encrypted, to the host that asked for it.",
        epilog="Each environment variable is also read with the prefix EG_. The command line wins.",
        allow_abbrev=False,
    )
    for option in _OPTIONS:
        variable = f" [{option.environment}]" if option.environment else ""
        # nargs: a shell script of the host passes the flag alone where its variable is empty.
        parser.add_argument(
            *option.flags, dest=option.name, nargs="?", metavar=option.metavar, help=option.help + variable
        )
    return parser


def _is_given(text: str) -> bool:
    return bool(text.strip()) and re.fullmatch(r"\s*\{\w+\}\s*", text) is None


def _kernel_id(text: str) -> str:
    # The id names the connection file, so it must not lead out of its folder.
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}", text) is None:
        raise UsageError(f"kernel id {text!r}: expected letters, digits, '-', '_' and '.', such as a UUID")
    return text


def _response_address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"([^:\s]+):(\d{1,5})", text, re.ASCII)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise UsageError(f"response address {text!r}: expected IP:PORT, for example 10.0.0.5:8877")
    return match[1], int(match[2])


def _public_key(text: str) -> RsaKey:
    try:
        return read_public_key(text)
    except ValueError as error:
        raise UsageError(f"public key: {error}") from error


def _transport_encryption(text: str) -> TransportEncryption:
    policy = text.lower()
    if policy not in get_args(TransportEncryption):
        raise UsageError(f"transport encryption {text!r}: expected disabled, auto or required")
    return cast(TransportEncryption, policy)


def _refuse_clusters(mode: str, cluster: str) -> None:
    if mode.lower() in ("lazy", "eager"):
        raise UsageError(
            f"Spark context initialization mode {mode!r}: this launcher creates no Spark context; that support "
            "comes in a later version, use none until then"
        )
    if mode.lower() != "none":
        raise UsageError(f"Spark context initialization mode {mode!r}: expected none, lazy or eager")
    if cluster.lower() == "dask":
        raise UsageError(f"cluster type {cluster!r}: this launcher starts no Dask cluster; use none or spark")
    if cluster.lower() not in ("none", "spark"):
        raise UsageError(f"cluster type {cluster!r}: expected none, spark or dask")
