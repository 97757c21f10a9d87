"""A pytest plugin for Jupyter Server's own tests: every server that they start has our extension.

Loaded by test_server_conformance.py, in a pytest process of its own.
"""

import os
import shutil

import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "flaky: Jupyter Server's own mark, of a plugin that is not needed")


@pytest.fixture(autouse=True)
def remote_kernel_provider_is_installed(request, jp_environ, jp_env_config_path):
    """Put our file where a wheel's installation puts it; the server is checked for our classes after the test."""
    from remote_kernel_provider.jupyter.server import extension

    folder = jp_env_config_path / "jupyter_server_config.d"
    folder.mkdir(exist_ok=True)
    shutil.copy(os.environ["EXTENSION_FILE"], folder)
    server = request.getfixturevalue("jp_serverapp") if "jp_serverapp" in request.fixturenames else None
    yield
    if server is not None:
        for row in extension.TABLE:
            used = getattr(server, row.place)
            assert issubclass(used, extension._ours(row.ours)) or not _can_be_ours(used, extension._ours(row.ours))


def _can_be_ours(used: type, ours: type) -> bool:
    return issubclass(used, ours.__base__)
