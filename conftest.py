"""For all tests of the repository.

pytest names test modules after their folders. Without these imports it would make `remote_kernel_provider` a package
of the folder of that name, and hide the installed one.
"""

import contextlib
import importlib
import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell has it for what it runs in the background: the programs that tests interrupt would ignore it, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

for distribution in ("remote_kernel_provider", "docker_kernel_provider", "kubernetes_kernel_provider"):
    with contextlib.suppress(ImportError):  # each is installed alone, too
        importlib.import_module(distribution)

ALONE = "test_kubernetes_faults_outages"
"""The test module that has the cluster for itself: before anybody else uses it, so that nobody waits."""
LONG = (
    ALONE,
    "test_lab_extension",
    "test_distributions",
    "test_docs",
    "test_swarm_contract",
    "test_server_survival",
    "test_engine_faults",
    "test_docker_others",
    "test_python_image",
    "test_stock_clients",
    "test_lab_docker",
    "test_local_contract",
    "test_docker_contract",
    "test_host_in_a_pod",
    "test_kubernetes_contract",
    "test_kubernetes_port_forward",
    "test_kubernetes_clients",
    "test_lab_kubernetes",
    "test_kubernetes_faults_launches",
    "test_kubernetes_faults",
    "test_kubernetes_owners",
    "test_kubernetes_hosts",
    "test_kubernetes_namespaces",
    "test_gateway_provisioners_launcher",
    "test_gateway_provisioners",
    "test_python_launcher",
    "test_server_rest",
    "test_swarm",
    "test_lab_launches",
    "test_lab",
    "test_frontends",
)
"""The test modules that take longest, in the order in which test processes are to begin them."""
CLUSTER_COMES = "TEST_CLUSTER_COMES"
"""Environment variable by which test processes agree whether tests on the cluster come `first` or `last`."""
SECONDS = 180
"""For a test, as in setup.cfg."""

# Each before those that import it, so that pytest sees to its assertions.
pytest_plugins = (
    "cluster.fixtures",
    "engine.fixtures",
    "jupyter_homes",
    "pods",
    "browsers",
    "jupyter_servers",
    "kernel_sockets",
    "staged_servers",
    "environments",
)


def pytest_configure() -> None:
    """See whether the cluster has to be built first, before the test processes start."""
    from cluster.building import Built

    os.environ.setdefault(CLUSTER_COMES, "first" if Built().binary.exists() else "last")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: whoever has ended early then finds something short to do.

    While the cluster is built, what needs it comes last: it would keep a process that could test something else. What
    is alone on the cluster comes while there are short tests for the others.
    What cluster and engine need to be built has limits of its own, and does not count as the time of who waits for it.
    """
    places = {name: place for place, name in enumerate(LONG)}
    awaited = {item.path for item in items if os.environ[CLUSTER_COMES] == "last" and _needs("cluster", item)}

    def order(item: pytest.Item) -> tuple[int, int]:
        place = places.get(item.path.stem, len(LONG))
        if item.path in awaited:
            return (1 if item.path.stem == ALONE else 3), place
        return (0 if place < len(LONG) else 2), place

    items.sort(key=order)
    for item in items:
        if _needs("cluster", item) or _needs("shared_engine", item):
            given = item.get_closest_marker("timeout")
            item.add_marker(pytest.mark.timeout(given.args[0] if given else SECONDS, func_only=True), append=False)


def _needs(fixture: str, item: pytest.Item) -> bool:
    return fixture in getattr(item, "fixturenames", ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why tests were run again: what fails now and then is to be mended, too."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"run again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
