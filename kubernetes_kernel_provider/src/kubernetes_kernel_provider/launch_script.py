"""What `scripts/launch_kubernetes.py` does: one pod of a spec, whose launcher reports to whoever asked for it.

The command line is that of the gateway family's script of this name, so a person can try a spec, and a host of that
family can run it. As there, parameters come as `KERNEL_…` in the environment; nothing else of it reaches the pod.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kubernetes_kernel_provider.installer import KUBERNETES_KIND
from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place, to_yaml
from remote_kernel_provider.configuration import RemoteKernelSettings, load_settings
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.config_keys import KUBERNETES
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.lifecycle import KernelRequest, KernelResource
from remote_kernel_provider.owner import DETACHED, Owner
from remote_kernel_provider.parameters.environment import split_parameters
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.parameters.resolve import resolve_parameters
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.provider import claimed_identity

_OPTIONS = (
    ("kernel-id", "KERNEL_ID", "Id of the kernel; by default a fresh one."),
    ("port-range", "PORT_RANGE", "Range lower..upper of the kernel's ports."),
    ("response-address", "RESPONSE_ADDRESS", "IP:PORT at which the launcher inside reports the kernel's connection."),
    ("public-key", "PUBLIC_KEY", "Key to which it encrypts its report."),
    ("kernel-class-name", "KERNEL_CLASS_NAME", "Subclass of ipykernel's kernel."),
    ("spark-context-initialization-mode", "KERNEL_SPARK_CONTEXT_INIT_MODE", "When a Spark context is made."),
    ("transport-encryption", "TRANSPORT_ENCRYPTION", "Whether the channels are encrypted by CurveZMQ."),
)


def main(script: str, argv: Sequence[str] | None = None) -> int:
    """Create a pod, or with `--pod-template` write down its objects.

    Parameters
    ----------
    script
        File of the script; the spec is in the folder above its own.
    argv
        By default the process's arguments.

    Returns
    -------
    int
        Exit status: 0, 1 when it could not be done, 2 when the command line is wrong.
    """
    arguments = _parser(Path(script)).parse_args(argv)
    told = {name: getattr(arguments, name) for _, name, _ in _OPTIONS if getattr(arguments, name)}
    try:
        settings = load_settings()
        spec = _reporting(read_spec(_spec_file(script), KUBERNETES, KUBERNETES_KIND.config_keys))
        host = Host(settings)
        request = _request(spec, told, host)
        if arguments.pod_template:
            arguments.pod_template.write_text(_objects(request, settings))
            return 0
        resource = PRIVATE_LOOP.run(_create(request, host))
    except (RemoteKernelError, OSError) as error:
        print(f"{Path(script).name}: {error}", file=sys.stderr)
        return 1
    print(f"Created pod {resource.data['namespace']}/{resource.data['pod']}")
    return 0


def _parser(script: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        script.name, description="Creates the pod of a kernel of this spec; its image needs a launcher."
    )
    for option, name, text in _OPTIONS:
        required = option in ("response-address", "public-key")
        parser.add_argument(f"--{option}", f"--RemoteProcessProxy.{option}", dest=name, required=required, help=text)
    parser.add_argument(
        "--pod-template", type=Path, metavar="FILE", help="Write the objects into a file, and create nothing."
    )
    return parser


def _spec_file(script: str) -> Path:
    return Path(script).absolute().parents[1] / KUBERNETES_KIND.spec_file


def _reporting(spec: KernelSpec) -> KernelSpec:
    """Return a spec whose image's own command is run, and reports."""
    return replace(spec, argv=(), config={**spec.config, "handshake": "reported"})


def _request(spec: KernelSpec, told: dict[str, str], host: Host) -> KernelRequest:
    # The environment may be a client's word; the command line is the caller's own.
    values, _ = split_parameters(os.environ)
    kernel_id = told.get("KERNEL_ID") or values.get("id") or uuid.uuid4()
    client = ClientRequest(str(kernel_id), claimed_identity(values), values)
    parameters = resolve_parameters(KUBERNETES_KIND.provider_id, spec, client, host.settings)
    return KernelRequest(
        spec=spec,
        parameters=parameters,
        owner=Owner(client.identity.user, host.identity.host_id, DETACHED),
        generation=secrets.token_hex(6),
        substitutions={},
        environment={**parameters.environment, **told},
        memory=None,
    )


def _objects(request: KernelRequest, settings: RemoteKernelSettings) -> str:
    placement = place(request, settings, HostAccount("default"))
    manifests = make_manifests(request, placement, settings)
    return to_yaml([manifests.pod.document, *(other.document for other in manifests.others)])


async def _create(request: KernelRequest, host: Host) -> KernelResource:
    try:
        return await host.lifecycle(KUBERNETES).create(request)
    finally:
        await host.close()
