"""For all tests of the repository.

pytest names test modules after their folders. Without these imports it would make `remote_kernel_provider` a package
of the folder of that name, and hide the installed one.
"""

import contextlib
import importlib

for distribution in ("remote_kernel_provider", "docker_kernel_provider", "kubernetes_kernel_provider"):
    with contextlib.suppress(ImportError):  # each is installed alone, too
        importlib.import_module(distribution)

pytest_plugins = ("cluster.fixtures", "engine.fixtures")
