"""The places of a server in which classes of the server extension stand: over which of the configured ones."""

import pytest

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

import jupyter_server
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets.config import Config

from remote_kernel_provider.jupyter.server import extension
from remote_kernel_provider.jupyter.server.listing import RemoteSpecs

pytestmark = pytest.mark.slow


class TestPlaces:
    @pytest.fixture
    def link(self):
        """Link the extension to a server that is configured so."""

        def link(**settings: object) -> ServerApp:
            server = ServerApp(config=Config(ServerApp=settings))
            extension._link_jupyter_server_extension(server)
            return server

        yield link
        GatewayClient.clear_instance()

    def test_ours_subclass_the_default_classes(self, link):
        server = link()
        for row in extension.TABLE:
            assert issubclass(getattr(server, row.place), extension._ours(row.ours))
        assert issubclass(server.kernel_manager_class, AsyncMappingKernelManager)

    def test_ours_subclass_the_configured_classes(self, link):
        class Own(KernelSpecManager):
            pass

        class OwnMapping(AsyncMappingKernelManager):
            pass

        server = link(kernel_spec_manager_class=Own, kernel_manager_class=OwnMapping)
        assert server.kernel_spec_manager_class.__mro__[1:3] == (RemoteSpecs, Own)
        assert issubclass(server.kernel_manager_class, OwnMapping)
        again = link(kernel_spec_manager_class=server.kernel_spec_manager_class)
        assert again.kernel_spec_manager_class is server.kernel_spec_manager_class

    def test_a_class_that_ours_cannot_stand_on_stays(self, link, caplog):
        from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

        server = link(kernel_manager_class=MappingKernelManager)
        assert server.kernel_manager_class is MappingKernelManager
        assert issubclass(server.kernel_spec_manager_class, RemoteSpecs)

    def test_an_old_server_is_left_alone(self, link, monkeypatch):
        monkeypatch.setattr(jupyter_server, "version_info", (2, 5, 9))
        server = link()
        assert not any(server.trait_has_value(row.place) for row in extension.TABLE)
