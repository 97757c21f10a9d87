from __future__ import annotations

import base64

import pytest
from Cryptodome.PublicKey import RSA

from kernel_launchers.arguments import LauncherArguments, parse_arguments
from kernel_launchers.errors import UsageError
from kernel_launchers.ports import PortRange

KERNEL_ID = "e8a2b1a0-5a35-4a0e-9c53-2f8a8b8d5e11"


@pytest.fixture(scope="module")
def public_key(rsa_key: RSA.RsaKey) -> str:
    return base64.b64encode(rsa_key.public_key().export_key("DER")).decode()


@pytest.fixture
def given(public_key: str) -> dict[str, str]:
    return {"kernel-id": KERNEL_ID, "response-address": "10.0.0.5:8877", "public-key": public_key}


def parse(given: dict[str, str], prefix: str = "--", **environ: str) -> LauncherArguments:
    return parse_arguments([part for name in given for part in (prefix + name, given[name])], environ, "launcher")


def test_defaults(given: dict[str, str], rsa_key: RSA.RsaKey) -> None:
    arguments = parse(given)
    assert arguments.kernel_id == KERNEL_ID
    assert arguments.response_address == ("10.0.0.5", 8877)
    assert arguments.public_key == rsa_key.public_key()
    assert arguments.port_range == PortRange()
    assert arguments.transport_encryption == "disabled"
    assert arguments.kernel_class_name == "ipykernel.ipkernel.IPythonKernel"


def test_old_spellings(given: dict[str, str]) -> None:
    old = {**given, "port-range": "40000..41000", "spark-context-initialization-mode": "none"}
    assert parse(old, "--RemoteProcessProxy.").port_range == PortRange(40000, 41000)
    assert parse(old, "--RemoteProcessProxy.") == parse(old)


@pytest.mark.parametrize("prefix", ["", "EG_"])
def test_environment_is_a_fallback(given: dict[str, str], prefix: str) -> None:
    values = {
        "KERNEL_ID": KERNEL_ID,
        "RESPONSE_ADDRESS": "10.0.0.5:8877",
        "PUBLIC_KEY": given["public-key"],
        "PORT_RANGE": "40000..41000",
        "TRANSPORT_ENCRYPTION": "auto",
        "KERNEL_CLASS_NAME": "some.Kernel",
        "KERNEL_SPARK_CONTEXT_INIT_MODE": "none",
    }
    environ = {prefix + name: value for name, value in values.items()}
    arguments = parse({}, **environ)
    assert arguments == parse(
        {**given, "port-range": "40000..41000", "transport-encryption": "auto", "kernel-class-name": "some.Kernel"}
    )
    assert parse({"kernel-id": "other"}, **environ).kernel_id == "other"


def test_plain_variables_win_over_prefixed_ones(given: dict[str, str]) -> None:
    del given["kernel-id"]
    assert parse(given, KERNEL_ID="plain", EG_KERNEL_ID="prefixed").kernel_id == "plain"


@pytest.mark.parametrize("nothing", ["", " ", "{transport_encryption}"])
def test_placeholders_and_empty_values_are_not_given(given: dict[str, str], nothing: str) -> None:
    assert parse({**given, "transport-encryption": nothing}).transport_encryption == "disabled"
    assert parse({**given, "transport-encryption": nothing}, TRANSPORT_ENCRYPTION="auto").transport_encryption == "auto"
    with pytest.raises(UsageError, match="no public-key: give --public-key or set PUBLIC_KEY"):
        parse({**given, "public-key": nothing}, PUBLIC_KEY="{public_key}")


def test_a_flag_alone_is_not_given(given: dict[str, str]) -> None:
    argv = ["--port-range", *(part for name in given for part in (f"--{name}", given[name])), "--transport-encryption"]
    assert parse_arguments(argv, {}, "launcher") == parse(given)


@pytest.mark.parametrize("cluster", ["none", "spark"])
def test_clusters_that_ask_for_nothing(given: dict[str, str], cluster: str) -> None:
    assert parse({**given, "cluster-type": cluster}) == parse(given)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kernel-id", "../../etc/passwd", "kernel id"),
        ("response-address", "10.0.0.5", "expected IP:PORT"),
        ("response-address", "10.0.0.5:0", "expected IP:PORT"),
        ("response-address", "10.0.0.5:65536", "expected IP:PORT"),
        ("response-address", "fe80::1:8877", "expected IP:PORT"),
        ("public-key", "rubbish!", "not an RSA public key"),
        ("public-key", "AAAA", "not an RSA public key"),
        ("port-range", "40000", "expected lower..upper"),
        ("transport-encryption", "maybe", "expected disabled, auto or required"),
        ("spark-context-initialization-mode", "lazy", "later version"),
        ("spark-context-initialization-mode", "eager", "later version"),
        ("spark-context-initialization-mode", "soon", "expected none, lazy or eager"),
        ("cluster-type", "dask", "starts no Dask cluster"),
        ("cluster-type", "slurm", "expected none, spark or dask"),
        ("surprise", "1", "unrecognized arguments"),
        ("kernel", "1", "unrecognized arguments"),
    ],
)
def test_refusals(given: dict[str, str], name: str, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse({**given, name: value})
    assert caught.value.exit_status == 2


def test_spark_mode_of_the_environment_is_refused_too(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="later version"):
        parse(given, KERNEL_SPARK_CONTEXT_INIT_MODE="lazy")
