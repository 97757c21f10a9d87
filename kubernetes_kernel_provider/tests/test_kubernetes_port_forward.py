"""The contract of all backends, over pods that are reached through the API server."""

import pytest
from test_kubernetes_contract import TestKubernetes as OverPods


@pytest.mark.slow
class TestOverPortForward(OverPods):
    @pytest.fixture(autouse=True)
    def by_port_forward(self, in_a_namespace, monkeypatch):
        monkeypatch.setenv("RKP_KUBERNETES_ROUTE", "port-forward")
