"""Finding providers: ours, anybody's, and those that fail."""

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from remote_kernel_provider import host, kernel_mgmt, provider
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import ConfigurationError, NoSuchKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernel_mgmt import PROVIDER_GROUP, KernelFinder, KernelManagerABC, KernelProviderBase
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.provider import load_provider


class Third(KernelProviderBase):
    """Somebody else's provider."""

    id = "third"

    def find_kernels(self):
        yield "one", {"display_name": "One"}

    async def launch(self, name, cwd=None, launch_params=None):
        return {"name": name, "cwd": cwd, "params": launch_params}, None


class RaisesWhenListing(Third):
    id = "listing"

    def find_kernels(self):
        yield "first", {}
        raise OSError("its server is down")


class RaisesWhenMade(Third):
    def __init__(self):
        raise RuntimeError("cannot be made")


@pytest.fixture
def installed(monkeypatch):
    """Pretend that entry points are installed; they are loaded as real ones are."""

    def install(group, **values):
        points = EntryPoints(EntryPoint(name, value, group) for name, value in values.items())
        for module in (kernel_mgmt, host, provider):
            monkeypatch.setattr(module, "entry_points", lambda group: points.select(group=group))

    return install


HERE = f"{__name__}:"


def test_failing_providers_hide_nobody_and_cost_one_warning_each(installed, caplog, write_spec):
    write_spec({"argv": ["x"]})
    installed(
        PROVIDER_GROUP,
        local="remote_kernel_provider.local.provider:LocalKernelProvider",
        listing=f"{HERE}RaisesWhenListing",
        made=f"{HERE}RaisesWhenMade",
        missing="no_such_module:Provider",
        nowhere=f"{HERE}NoSuchClass",
        third=f"{HERE}Third",
    )
    finder = KernelFinder.from_entrypoints()
    names = [name for name, _ in finder.find_kernels()]
    assert {"third/one", "local/good", "listing/first"} <= set(names)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    for name in ("made", "missing", "nowhere"):
        assert sum(f"'{name}'" in line and "cannot be loaded" in line for line in lines) == 1
    assert sum("'listing' cannot list its kernels: its server is down" in line for line in lines) == 1


async def test_launching_by_anybody():
    finder = KernelFinder([Third(), RaisesWhenListing()])
    info, _ = await finder.launch("third/one/two", cwd="/w", launch_params={"a": 1})
    assert info == {"name": "one/two", "cwd": "/w", "params": {"a": 1}}


@pytest.mark.parametrize("name", ["one", "", "/", "nobody/one", "third/", "third"])
async def test_an_unknown_kernel_names_the_known(name):
    with pytest.raises(NoSuchKernelError) as error:
        await KernelFinder([Third()]).launch(name)
    assert str(error.value) == f"there is no kernel '{name}'; the kernels are: third/one"
    assert isinstance(error.value, KeyError)  # what the plain library raises


def test_the_plain_library_finds_ours(write_spec):
    """In a process of its own: nothing but the library's own finder, made to import on this Python."""
    write_spec({"argv": ["x"], "display_name": "Good"})
    script = """
import remote_kernel_provider.kernel_mgmt
from jupyter_kernel_mgmt.discovery import KernelFinder
finder = KernelFinder.from_entrypoints()
print([provider.id for provider in finder.providers if provider.id == "local"])
print(dict(finder.find_kernels())["local/good"]["display_name"])
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout
    assert told == "['local']\nGood\n"


def test_ours_are_the_librarys():
    from jupyter_kernel_mgmt.discovery import KernelProviderBase as Plain

    from remote_kernel_provider.manager import RemoteKernelManager

    assert issubclass(LocalKernelProvider, Plain)
    assert issubclass(RemoteKernelManager, KernelManagerABC)
    assert not hasattr(__import__("asyncio"), "coroutine") or sys.version_info < (3, 11)


class TestLoading:
    def test_ours(self):
        assert isinstance(load_provider("local"), LocalKernelProvider)

    def test_unknown(self):
        with pytest.raises(ConfigurationError, match=r"'nobody' is not installed \(there are: .*local"):
            load_provider("nobody")

    def test_anothers(self, installed):
        installed(PROVIDER_GROUP, third=f"{HERE}Third", missing="no_such_module:X")
        with pytest.raises(ConfigurationError, match="'third' is not one of"):
            load_provider("third")
        with pytest.raises(ConfigurationError, match="'missing' cannot be loaded: No module named"):
            load_provider("missing")

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("kubernetes-like", r"'kubernetes-like' is not installed \(there are: broken, wrong\)"),
            ("docker", r"'docker' is not installed .*; install it: pip install docker-kernel-provider"),
            ("broken", r"'broken' \(no_such_module:X\) cannot be loaded: No module named"),
            ("wrong", r"'wrong' \(builtins:int\) is no LifecycleManager"),
        ],
    )
    def test_lifecycle_managers(self, installed, name, said):
        installed(host.LIFECYCLE_GROUP, broken="no_such_module:X", wrong="builtins:int")
        with pytest.raises(ConfigurationError, match=said):
            Host(load_settings()).lifecycle(name)

    async def test_one_lifecycle_manager_each_by_name_or_class(self):
        own = Host(load_settings())
        by_name = own.lifecycle("local")
        assert own.lifecycle("local") is by_name
        assert own.lifecycles()["local"] is by_name
        by_class = own.lifecycle("remote_kernel_provider.local.lifecycle.LocalLifecycleManager")
        assert type(by_class) is type(by_name)


def test_a_spec_of_ours_is_listed_once(write_spec):
    """The library's own provider finds the `kernel.json` beside it, too."""
    write_spec({"display_name": "Mine", "argv": ["x", "{connection_file}"]}, "mine")
    stanza = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": "local/mine"}}
    stock = {"display_name": "Mine", "argv": ["bridge"], "metadata": {"kernel_provisioner": stanza}}
    write_spec(stock, "mine", "kernel.json")
    write_spec({"display_name": "Other", "argv": ["y", "{connection_file}"]}, "other", "kernel.json")
    listed = [name for name, _ in KernelFinder.from_entrypoints().find_kernels()]
    assert [name for name in listed if name.endswith("/mine")] == ["local/mine"]
    assert sorted(name for name in listed if name.endswith("/other")) == ["local/other", "spec/other"]
