"""Which cluster, and as whom: what is wrong with a kubeconfig is said."""

import asyncio
import json
import subprocess
import sys

import psutil
import pytest
from api_servers import credential

from kubernetes_kernel_provider.client.configuration import NoClusterError, load_configuration
from kubernetes_kernel_provider.lifecycle import KubernetesLifecycleManager
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.owner import HostIdentity

pytestmark = pytest.mark.usefixtures("no_cluster")


async def test_no_kubeconfig_and_no_pod():
    with pytest.raises(NoClusterError, match="set KUBECONFIG"):
        await load_configuration()


def test_without_a_cluster_nobody_waits_for_its_client(tmp_path):
    code = """
import asyncio, sys
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.host import Host
from remote_kernel_provider.owner import OwnerSelector

async def ask(host):
    manager = host.lifecycle("kubernetes")
    print(await manager.find(OwnerSelector()), await manager.find_abandoned(), await manager.clear(dry_run=True))
    try:
        await manager.describe()
    except ConfigurationError as error:
        print(error)
    await host.close()

asyncio.run(ask(Host(RemoteKernelSettings(data_folder=sys.argv[1]))))
print({"kubernetes", "aiohttp", "jinja2", "yaml"} & set(sys.modules))
"""
    said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    found, error, imported = said.splitlines()
    assert (found, imported) == ("[] [] []", "set()")
    assert error.endswith("; set KUBECONFIG")


async def test_the_kubeconfig_is_read_when_it_is_needed(write_kubeconfig):
    write_kubeconfig()
    loaded = await load_configuration()
    assert (loaded.client.host, loaded.namespace) == ("http://127.0.0.1:9", "team")
    assert "context 'here'" in loaded.source


async def test_the_operator_names_another_context(write_kubeconfig, tmp_path):
    file = write_kubeconfig()
    document = json.loads(file.read_text())
    document["contexts"].append({"name": "there", "context": {"cluster": "c", "user": "u", "namespace": "theirs"}})
    file.write_text(json.dumps(document))
    settings = RemoteKernelSettings(kubernetes_context="there")
    manager = KubernetesLifecycleManager(settings, HostIdentity(tmp_path / "host"))
    assert (await manager._client.configuration()).namespace == "theirs"
    await manager.close()


async def test_a_context_that_does_not_exist(write_kubeconfig):
    write_kubeconfig()
    with pytest.raises(ConfigurationError, match="elsewhere"):
        await load_configuration("elsewhere")


@pytest.mark.parametrize("content", ["", "[]", "{", "clusters: 3\ncontexts: []\nusers: []\n", "current-context: x\n"])
async def test_a_malformed_kubeconfig(write_kubeconfig, content):
    write_kubeconfig().write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await load_configuration()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'log in first' >&2; exit 4", "returned 4.*log in first"),
        ("echo nonsense", "decode"),
        (f"echo '{credential('')[:-2]}'", "decode"),
        (f"echo '{credential(None)}'", "neither a token"),
    ],
)
async def test_an_exec_plugin_that_fails_is_an_error(write_kubeconfig, write_plugin, script, words):
    write_kubeconfig(user=write_plugin(script))
    with pytest.raises(ConfigurationError, match=words):
        await load_configuration()


async def test_an_exec_plugin_that_is_not_there(write_kubeconfig):
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "installHint": "get it"}
    }
    write_kubeconfig(user=user)
    with pytest.raises(ConfigurationError, match=r"no-such-plugin.*get it"):
        await load_configuration()


async def test_an_exec_plugin_that_hangs(write_kubeconfig, write_plugin, monkeypatch):
    monkeypatch.setattr("kubernetes_kernel_provider.client.configuration.PLUGIN_TIMEOUT", 0.2)
    write_kubeconfig(user=write_plugin("exec sleep 1"))
    with pytest.raises(ConfigurationError, match=r"did not end within 0.2 s"):
        await load_configuration()
    # The loader keeps the process, which has to end before this test's loop does.
    await asyncio.to_thread(psutil.wait_procs, psutil.Process().children(), 5)
    await asyncio.sleep(0.1)


async def test_proxies(write_kubeconfig, monkeypatch):
    write_kubeconfig(**{"proxy-url": "socks5://127.0.0.1:1"})
    with pytest.raises(ConfigurationError, match="socks5"):
        await load_configuration()
    write_kubeconfig("https://10.1.2.3:6443", **{"insecure-skip-tls-verify": True})
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert (await load_configuration()).client.client_session_kwargs is None
    monkeypatch.setenv("NO_PROXY", "example.test,10.0.0.0/8")
    assert (await load_configuration()).client.client_session_kwargs == {"trust_env": False}
