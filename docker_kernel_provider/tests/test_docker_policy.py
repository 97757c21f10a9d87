"""What needs no engine: the operator's lists, statuses, users of images, and where an engine is."""

import platform
import subprocess
import sys

import pytest

from docker_kernel_provider.container import networks_of
from docker_kernel_provider.engine import EngineFacts
from docker_kernel_provider.errors import EngineRefusalError
from docker_kernel_provider.image import Account, Image, Wanted, _user
from docker_kernel_provider.labels import labels_of, resource_of_labels
from docker_kernel_provider.location import EngineLocation, locate
from docker_kernel_provider.mounts import Mount, check_mounts, parse_mounts
from docker_kernel_provider.provider import DockerKernelProvider, DockerSwarmAlias
from docker_kernel_provider.route import way_to
from docker_kernel_provider.status import explain_refusal, status_of
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ConfigurationError, ParameterError, RefusedError
from remote_kernel_provider.lifecycle import KernelResource, Phase
from remote_kernel_provider.owner import Owner
from remote_kernel_provider.testing.kernels import Kernels


class TestMounts:
    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ("data:/data", Mount("volume", "data", "/data")),
            ("data:/data:ro", Mount("volume", "data", "/data", True)),
            ("/srv/data:/data:rw", Mount("bind", "/srv/data", "/data")),
            ({"type": "tmpfs", "target": "/scratch", "size": "1Ki"}, Mount("tmpfs", "", "/scratch", size=1024)),
            ({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}, Mount("bind", "/a", "/b", True)),
        ],
    )
    def test_what_is_read(self, entry, expected):
        assert parse_mounts([entry]) == [expected]

    @pytest.mark.parametrize(
        "entry",
        [
            "data", "data:", ":/data", "data:data", "data:/data:x", "../etc:/data", "/srv/../etc:/data", "/srv//a:/b",
            "data:/data/../etc", "data:/run", "data:/run/remote-kernel/private", "data:/", 5, {"target": "/x"},
            {"type": "bind", "source": "name", "target": "/x"}, {"type": "npipe", "source": "a", "target": "/x"},
            {"source": "a", "target": "/x", "more": 1}, {"type": "tmpfs", "target": "/x", "size": "many"},
        ],
    )  # fmt: skip
    def test_what_is_no_mount(self, entry):
        with pytest.raises(ParameterError, match="volumes"):
            parse_mounts([entry])

    @pytest.mark.parametrize(
        ("entry", "allowed"),
        [
            ("data:/data", ["data"]), ("data:/data:ro", ["data:ro"]), ("home-ada:/home", ["home-{username}"]),
            ("/srv/a:/b", ["/srv/*"]), ("/run/docker.sock:/s", ["/run/docker.sock"]), ("/:/host", ["/"]),
            ({"type": "tmpfs", "target": "/x"}, []),
        ],
    )  # fmt: skip
    def test_what_the_operator_allows(self, entry, allowed):
        check_mounts(parse_mounts([entry]), allowed, "ada")

    @pytest.mark.parametrize(
        ("entry", "allowed"),
        [
            ("data:/data", []), ("data:/data", ["data:ro"]), ("data:/data", ["other"]), ("/srv/a:/b", ["*"]),
            ("srv:/b", ["/*"]), ("/etc:/b", ["/srv/*"]), ("home-bob:/home", ["home-{username}"]),
            # What leads to the engine's socket, whatever a wildcard says.
            ("/run/docker.sock:/s", ["/*"]), ("/var/run:/s", ["/var/*"]), ("/run:/s", ["/*"]), ("/:/host", ["/*"]),
        ],
    )  # fmt: skip
    def test_what_the_operator_refuses(self, entry, allowed):
        with pytest.raises(RefusedError, match="docker_volumes allows"):
            check_mounts(parse_mounts([entry]), allowed, "ada")

    @pytest.mark.parametrize("user", ["*", "../ada", "a/b", ""])
    def test_a_users_name_is_no_pattern(self, user):
        with pytest.raises(RefusedError):
            check_mounts(parse_mounts(["/home/bob:/home"]), ["/home/{username}"], user)


NOBODY = Wanted(None, None, frozenset({0}), frozenset({0}))
ACCOUNTS = [Account("root", 0, 0, "/root"), Account("ada", 1234, 50, "/home/ada"), Account("toor", 0, 0, "/")]


class TestUsersOfImages:
    @pytest.mark.parametrize(
        ("said", "wanted", "expected"),
        [
            ("", NOBODY, (1000, 100, "1000:100")),
            ("root", NOBODY, (1000, 100, "1000:100")),
            ("toor", NOBODY, (1000, 100, "1000:100")),
            ("0:0", NOBODY, (1000, 100, "1000:100")),
            ("ada", NOBODY, (1234, 50, "ada")),
            ("ada:users", NOBODY, (1234, 100, "ada:users")),
            ("ada:root", NOBODY, (1234, 100, "1234:100")),
            ("1234", NOBODY, (1234, 50, "1234")),
            ("999", NOBODY, (999, 100, "999:100")),
            ("ada", Wanted(2000, None, frozenset({0}), frozenset({0})), (2000, 100, "2000:100")),
            ("", Wanted(1234, None, frozenset({0}), frozenset({0})), (1234, 50, "1234:50")),
            ("ada", Wanted(None, 7, frozenset(), frozenset()), (1234, 7, "1234:7")),
            ("", Wanted(0, 0, frozenset(), frozenset()), (0, 0, "0:0")),
            ("999", Wanted(None, None, frozenset(), frozenset()), (999, 0, "999")),
        ],
    )
    def test_as_whom_a_kernel_runs(self, said, wanted, expected):
        assert _user(Image("sha256:1", said, {}, ""), wanted, ACCOUNTS, {"root": 0, "users": 100}) == expected

    def test_a_prohibited_user(self):
        wanted = Wanted(None, None, frozenset({1234}), frozenset())
        with pytest.raises(RefusedError, match="uid 1234, the image's own, is refused"):
            _user(Image("sha256:1", "ada", {}, ""), wanted, ACCOUNTS, {})


class TestStatuses:
    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            ("pull access denied for x/y, repository does not exist or may require 'docker login'", "PullDenied"),
            ("manifest for debian:nothing not found: manifest unknown: manifest unknown", "ImageNotFound"),
            ("write /var/lib/docker/tmp/x: no space left on device", "DiskFull"),
            ("network kernels not found", "NetworkNotFound"),
            ("driver failed programming external connectivity: Bind for 127.0.0.1:80 failed: port is already "
             "allocated", "PortTaken"),
            ("dial tcp: lookup registry.invalid: no such host", "RegistryUnreachable"),
            ("exec: \"/etc/passwd\": permission denied: unknown", "CommandNotExecutable"),
            ("denied: requested access to the resource", "PullDenied"),
            ("something else", "EngineRefused"),
        ],
    )  # fmt: skip
    def test_the_engines_words(self, words, reason):
        status = explain_refusal(words)
        assert (status.phase, status.reason) == (Phase.FAILED, reason)
        assert words in status.message

    @pytest.mark.parametrize(
        ("state", "phase", "reason", "code"),
        [
            ({"Status": "running"}, Phase.RUNNING, "", None),
            ({"Status": "created"}, Phase.STARTING, "", None),
            ({"Status": "exited", "ExitCode": 0}, Phase.SUCCEEDED, "Completed", 0),
            ({"Status": "exited", "ExitCode": 3}, Phase.FAILED, "Error", 3),
            ({"Status": "exited", "ExitCode": 137}, Phase.FAILED, "SIGKILL", -9),
            ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, Phase.FAILED, "OOMKilled", -9),
            ({"Status": "exited", "ExitCode": 127}, Phase.FAILED, "CommandNotFound", 127),
            ({"Status": "removing"}, Phase.GONE, "Gone", None),
        ],
    )
    def test_states_of_containers(self, state, phase, reason, code):
        status = status_of({"State": state, "HostConfig": {"Init": True}})
        assert (status.phase, status.reason, status.exit_code) == (phase, reason, code)

    def test_a_refusal_says_what_the_engine_said(self):
        assert "no such thing" in str(EngineRefusalError(404, "no such thing"))


def test_labels_lead_back_to_the_kernel():
    resource = KernelResource("docker", "name", "id", "docker/python", "gen", Owner("ada", "host", "server-1"), 12.5)
    assert resource_of_labels("name", labels_of(resource)) == resource
    assert resource_of_labels("name", {"app": "remote-kernel-provider"}) is None


class TestLocation:
    def test_the_setting_beats_the_environment(self):
        said = locate("tcp://far:2375", {"DOCKER_HOST": "unix:///here.sock"})
        assert (said.host, said.source, said.machine) == ("tcp://far:2375", "the setting docker_host", "far")

    def test_the_environment_beats_the_context(self):
        said = locate("", {"DOCKER_HOST": "unix:///not/there.sock", "DOCKER_CONTEXT": "nowhere"})
        assert (said.source, said.machine, said.is_absent) == ("DOCKER_HOST", "", True)

    def test_nothing_says_where_it_is(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("DOCKER_CONFIG", raising=False)
        assert locate("", {}).source == "the default"
        with pytest.raises(ConfigurationError, match="no Docker context 'lab'"):
            locate("", {"DOCKER_CONTEXT": "lab"})

    def test_the_persons_own_context(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        file = tmp_path / "config.json"
        file.write_text("{}")
        assert locate("", {}).source == "the default"
        from docker.context import ContextAPI

        ContextAPI.create_context("lab", host="tcp://lab:2375")
        file.write_text('{"currentContext": "lab"}')
        assert locate("", {}).source == "the Docker context 'lab'"
        assert locate("", {"DOCKER_CONTEXT": "default"}).source == "the default"

    def test_certificates(self, tmp_path):
        (tmp_path / "ca.pem").touch()
        for name in ("cert.pem", "key.pem"):
            (tmp_path / name).touch()
        said = locate("tcp://far:2376", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})
        assert said.tls.ca_cert == str(tmp_path / "ca.pem")
        assert locate("tcp://far:2376", {"DOCKER_TLS_VERIFY": ""}).tls is None
        with pytest.raises(ConfigurationError, match="cannot be read"):
            locate("tcp://far:2376", {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "nowhere")})

    def test_without_an_engine_nobody_waits_for_its_client(self, tmp_path):
        code = """
import asyncio, sys
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.owner import OwnerSelector

async def ask(host):
    for name in ("docker", "docker-swarm"):
        print(await host.lifecycle(name).find(OwnerSelector()))
        try:
            await host.lifecycle(name).describe()
        except RemoteKernelError as error:
            print(error)
    await host.close()

asyncio.run(ask(Host(RemoteKernelSettings(data_folder=sys.argv[1]))))
print({"docker", "requests", "urllib3"} & set(sys.modules))
"""
        said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
        *answers, imported = said.stdout.splitlines()
        assert imported == "set()"
        for found, error in (answers[:2], answers[2:]):
            assert found == "[]"
            assert "docker.sock (DOCKER_HOST) cannot be reached (No such file or directory); start it" in error

    def test_a_context(self, tmp_path, monkeypatch):
        (tmp_path / "config.json").write_text("{}")
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        from docker.context import ContextAPI

        ContextAPI.create_context("lab", host="ssh://ada@lab")
        said = locate("", {"DOCKER_CONTEXT": "lab"})
        assert (said.host, said.source, said.machine) == ("ssh://ada@lab:22", "the Docker context 'lab'", "lab")


def test_the_networks_of_a_kernel():
    assert networks_of({}, RemoteKernelSettings()) == ("bridge",)
    settings = RemoteKernelSettings(docker_network="team")
    assert networks_of({}, settings) == ("team",)
    assert networks_of({"networks": ("own", "team")}, settings) == ("own", "team")


HERE = ("127.0.0.0/8",)
"""Addresses of which this host has one, as it has in the networks of an engine that shares its kernel."""
SOCKET = "unix:///run/docker.sock"


class TestWays:
    """The operating system's word decides, of the engine and of this host; nobody's name does."""

    @pytest.mark.parametrize(
        ("host", "facts", "subnets", "publish_ip", "words"),
        [
            (SOCKET, {}, HERE, "", "this host has the address 127.0.0.1 in the network"),
            (SOCKET, {}, ("203.0.113.0/24",), "127.0.0.1", "this host has no address in the network"),
            # As behind Docker Desktop and its like, whatever networks this host happens to have.
            (SOCKET, {"kernel": "6.10.14-linuxkit"}, HERE, "127.0.0.1", "runs on the kernel 6.10.14-linuxkit and this"),
            (SOCKET, {"rootless": True}, HERE, "127.0.0.1", "runs without root, in a network of its own"),
            ("tcp://127.0.0.1:2375", {}, HERE, "127.0.0.1", "is not reached by a socket"),
            ("tcp://192.0.2.7:2375", {}, HERE, "192.0.2.7", "on another machine, 192.0.2.7"),
            ("ssh://no-such-machine", {}, HERE, "127.0.0.1", "ssh leads to the engine"),
        ],
    )
    def test_chosen_by_itself(self, host, facts, subnets, publish_ip, words):
        way = way_to(self.facts(host, **facts), "bridge", subnets, RemoteKernelSettings())
        assert way.publish_ip == publish_ip
        assert words in way.reason

    @pytest.mark.parametrize(
        ("host", "settings", "publish_ip"),
        [
            (SOCKET, {"docker_route": "published"}, "127.0.0.1"),
            ("tcp://192.0.2.7:2375", {"docker_route": "address"}, ""),
            ("ssh://no-such-machine", {"docker_route": "address"}, ""),
            ("tcp://192.0.2.7:2375", {"docker_publish_ip": "192.0.2.8"}, "192.0.2.8"),
            ("ssh://192.0.2.7", {"docker_publish_ip": "192.0.2.8"}, "192.0.2.8"),
        ],
    )
    def test_overridden(self, host, settings, publish_ip):
        assert way_to(self.facts(host), "bridge", HERE, RemoteKernelSettings(**settings)).publish_ip == publish_ip

    @staticmethod
    def facts(host: str, **facts) -> EngineFacts:
        location = EngineLocation(host, "a test")
        said = {"kernel": platform.release(), "rootless": False, **facts}
        return EngineFacts(location, "27.0", id="x", keeps_containers=False, limits=True, **said)


class TestTheProvider:
    @pytest.fixture
    def kernels(self, own_folders):
        return Kernels(DockerKernelProvider(), own_folders, "", {"image_name": "an/image:1"})

    def test_the_name_of_2020_is_launchable_and_not_listed(self, kernels):
        kernels.add_spec("python", ("python", "{connection_file}"))
        assert [name for name, _ in DockerKernelProvider().find_kernels()] == ["python"]
        assert list(DockerSwarmAlias().find_kernels()) == []
        assert DockerSwarmAlias().find("python")[0].name == "python"

    def test_listing_imports_no_sdk(self, kernels):
        kernels.add_spec("python", ("python", "{connection_file}"))
        code = (
            "import sys; from docker_kernel_provider.provider import DockerKernelProvider as P; "
            "print([name for name, _ in P().find_kernels()], {'docker', 'requests'} & set(sys.modules))"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert said == "['python'] set()\n"
