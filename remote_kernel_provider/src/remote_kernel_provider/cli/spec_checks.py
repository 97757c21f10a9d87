"""Whether the kernel specs can be read, and what they name exists."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from jupyter_core.paths import jupyter_path

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError, SpecError
from remote_kernel_provider.findings import Finding, ok, problem
from remote_kernel_provider.kernel_mgmt import PROVIDER_GROUP
from remote_kernel_provider.kernelspecs.config_keys import LOCAL
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import STOCK_FILE, kernel_of_file
from remote_kernel_provider.local.command import command_fault
from remote_kernel_provider.parameters.schema import check_schema
from remote_kernel_provider.provider import RemoteKernelProvider


def check_specs(settings: RemoteKernelSettings) -> Iterator[Finding]:
    """Check every spec of every provider of ours, and the stock files beside them."""
    providers = _providers()
    faults = [fault for provider in providers.values() for fault in provider.faults()]
    for fault in dict.fromkeys(faults):
        yield problem("kernel spec", fault, "mend the file, or install the kernel again")
    specs = [(provider, spec) for provider in providers.values() for spec in provider.specs().values()]
    findings = [finding for provider, spec in specs for finding in _spec(provider, spec)]
    findings += _stock_files(providers)
    findings += _profiles(settings, {f"{provider.id}/{spec.name}" for provider, spec in specs})
    if not findings and not faults:
        yield ok("kernel specs", f"{len(specs)} of our providers, all readable")
    yield from findings


def used_lifecycles() -> set[str]:
    """Return the names of the lifecycle managers that kernel specs of our providers need."""
    return {spec.lifecycle_manager for provider in _providers().values() for spec in provider.specs().values()}


def _providers() -> dict[str, RemoteKernelProvider]:
    found = {}
    for point in entry_points(group=PROVIDER_GROUP):
        try:
            provider = point.load()()
        except Exception:  # noqa: BLE001  # another package's code; said among the providers already
            continue
        if isinstance(provider, RemoteKernelProvider):
            found[point.name] = provider
    return found


def _spec(provider: RemoteKernelProvider, spec: KernelSpec) -> Iterator[Finding]:
    name = f"{provider.id}/{spec.name}"
    try:
        check_schema(spec)
    except SpecError as error:
        yield problem(f"kernel {name}", str(error), "mend the schema, or remove it")
    try:
        provider.prepare(spec)
    except RemoteKernelError as error:
        yield problem(f"kernel {name}", str(error), f"mend {spec.file}, or remove the spec")
    if spec.lifecycle_manager == LOCAL and (fault := command_fault(spec)):
        yield problem(f"kernel {name}", fault, f"install it, mend argv in {spec.file}, or remove the spec")


def _stock_files(providers: dict[str, RemoteKernelProvider]) -> Iterator[Finding]:
    """Look for files of ours whose kernel no provider offers."""
    for folder in jupyter_path("kernels"):
        for file in sorted(Path(folder).glob(f"*/{STOCK_FILE}")):
            kernel = kernel_of_file(file)
            if kernel and (fault := _not_offered(kernel, providers)):
                remedy = f"install the kernel again, or remove it: jupyter kernelspec remove {file.parent.name}"
                yield problem(f"stock spec {file.parent.name}", f"{file}: {fault}", remedy)


def _not_offered(kernel: str, providers: dict[str, RemoteKernelProvider]) -> str:
    provider_id, _, name = kernel.partition("/")
    if provider_id not in providers:
        return f"it names '{kernel}', and the provider '{provider_id}' is not there"
    try:
        providers[provider_id].find(name)
    except RemoteKernelError:
        missing = f"{name}/{providers[provider_id].kernel_file}"
        return f"it names '{kernel}', which is not there: {missing} is missing or cannot be read"
    return ""


def _profiles(settings: RemoteKernelSettings, known: set[str]) -> Iterator[Finding]:
    for kernel in settings.profiles:
        if kernel not in known:
            remedy = "mend the name in the setting 'profiles', or remove the entry"
            yield problem("setting profiles", f"there is no kernel '{kernel}'", remedy)
