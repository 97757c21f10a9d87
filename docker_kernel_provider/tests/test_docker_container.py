"""What a kernel finds in its container: hardened by default, as its parameters say, in images of anybody's."""

import io
import json

import pytest
from engine.images import DEBIAN, KERNEL

from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow

LOOK = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "pid": os.getpid(), "parent": os.getppid(), "first": open("/proc/1/cmdline").read().split("\\0")[0],
    "ids": [os.getuid(), os.getgid()], "groups": os.getgroups(),
    "capabilities": [status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "no_new_privileges": status["NoNewPrivs"], "home": os.environ["HOME"], "folder": os.getcwd(),
    "writable": [os.access(os.environ["HOME"], os.W_OK), os.access(os.getcwd(), os.W_OK)],
    "socket": [os.path.exists(f"{run}/docker.sock") for run in ("/run", "/var/run")],
    "memory_is_read": os.access("/run/remote-kernel/memory", os.R_OK),
    "shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
}))
"""


def look(manager) -> dict:
    with Notebook(manager.connection) as notebook:
        return json.loads(notebook.run(LOOK).text)


def start(kernels, **config):
    name = kernels.add_spec("mine", ("python", "-m", "tiny_kernel", "-f", "{connection_file}"), config=config)
    return kernels.start(name)


@pytest.fixture
def built(engine):
    """Build an image on top of the kernel's; removed with the test."""
    made = []

    def build(*lines: str) -> str:
        name = f"rkp-test/built:{len(made)}"
        file = io.BytesIO("\n".join([f"FROM {KERNEL}", *lines]).encode())
        for step in engine.client.build(fileobj=file, tag=name, rm=True, decode=True):
            assert "error" not in step, step
        made.append(name)
        return name

    yield build
    for name in made:
        # Where a test failed its kernel may still be there, and would keep the image.
        for container in engine.client.containers(all=True, filters={"ancestor": name}):
            engine.client.remove_container(container["Id"], force=True)
        engine.client.remove_image(name, force=True)


class TestByDefault:
    def test_the_kernel_is_hardened(self, kernels, engine):
        manager = start(kernels)
        seen = look(manager)
        assert seen["pid"] != 1
        assert seen["parent"] == 1
        assert "init" in seen["first"]
        assert seen["ids"] == [1000, 100]
        assert seen["capabilities"] == ["0" * 16] * 5
        assert seen["no_new_privileges"] == "1"
        assert seen["writable"] == [True, True]
        assert seen["socket"] == [False, False]
        assert not seen["memory_is_read"]
        limits = engine.client.inspect_container(manager.resource.id)["HostConfig"]
        assert limits["PidsLimit"] == 4096
        assert not limits["Privileged"]

    def test_no_secret_is_where_the_engine_shows_it(self, kernels, engine):
        manager = start(kernels)
        shown = json.dumps(engine.client.inspect_container(manager.resource.id))
        assert manager.connection.key not in shown
        assert manager.kernel_id in shown

    def test_an_image_that_knows_nothing_of_us(self, kernels, image):
        """Debian's python3 and ipykernel, and nothing else."""
        argv = ("python3", "-m", "ipykernel_launcher", "-f", "{connection_file}")
        manager = kernels.start(kernels.add_spec("debian", argv, config={"image_name": image(DEBIAN)}))
        seen = look(manager)
        assert seen["ids"] == [1000, 100]
        assert seen["folder"] == seen["home"] == "/home/kernel"

    def test_the_users_of_images(self, kernels, built):
        """Each its own, but no root by whatever name."""
        user = "RUN useradd --uid 1234 --gid 100 --create-home ada && useradd --uid 0 --gid 0 -o toor"
        for line, ids, home in (
            ("USER ada", [1234, 100], "/home/ada"),
            ("USER 1234:100", [1234, 100], "/home/ada"),
            ("USER toor", [1000, 100], "/home/kernel"),
            ("USER 4321", [4321, 100], "/home/kernel"),  # its group would be root's
        ):
            seen = look(start(kernels, image_name=built(user, line)))
            assert (seen["ids"], seen["home"], seen["writable"]) == (ids, home, [True, True]), line

    def test_an_image_with_a_working_directory_of_its_own(self, kernels, built):
        image = built("RUN mkdir -m 777 /work", "WORKDIR /work", "ENV GREETING=hello")
        manager = start(kernels, image_name=image)
        assert look(manager)["folder"] == "/work"
        with Notebook(manager.connection) as notebook:
            assert notebook.run("import os; print(os.environ['GREETING'])").text == "hello\n"
        assert look(start(kernels, image_name=built("WORKDIR /root")))["folder"] == "/home/kernel"


class TestParameters:
    def test_limits_reach_the_engine(self, kernels, engine):
        manager = start(kernels, memory="64Mi", memory_limit="256Mi", cpus="500m", cpus_limit="1.5", shm_size="32Mi")
        limits = engine.client.inspect_container(manager.resource.id)["HostConfig"]
        assert (limits["Memory"], limits["MemorySwap"], limits["MemoryReservation"]) == (2**28, 2**28, 2**26)
        assert (limits["NanoCpus"], limits["CpuShares"]) == (1_500_000_000, 512)
        assert look(manager)["shm"] == 2**25

    def test_users_groups_folders_and_labels(self, kernels, engine):
        platform = f"linux/{engine.client.version()['Arch']}"
        who = {"uid": 2000, "gid": 2001, "groups": [2002]}
        manager = start(kernels, **who, working_dir="/tmp", labels={"team": "blue"}, platform=platform)
        seen = look(manager)
        assert (seen["ids"], sorted(seen["groups"]), seen["folder"]) == ([2000, 2001], [2001, 2002], "/tmp")
        assert engine.client.inspect_container(manager.resource.id)["Config"]["Labels"]["team"] == "blue"

    def test_root_has_to_be_allowed_and_asked_for(self, make_kernels, kernels):
        with pytest.raises(RefusedError, match="prohibited_uids"):
            start(kernels, uid=0)
        allowing = make_kernels("server-2", prohibited_uids=[], prohibited_gids=[])
        assert look(start(allowing))["ids"] == [1000, 100]
        assert look(start(allowing, uid=0, gid=0))["ids"] == [0, 0]

    def test_a_prohibited_user_of_an_image(self, make_kernels, kernels, built):
        strict = make_kernels("server-2", prohibited_uids=[0, 1234])
        with pytest.raises(RefusedError, match="uid 1234, the image's own, is refused"):
            start(strict, image_name=built("USER 1234:100"))
        assert strict.find() == []

    def test_volumes_are_the_operators(self, make_kernels, kernels, engine, tmp_path):
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared/words").write_text("from the host")
        shared = f"{tmp_path}/shared:/data:ro"
        for volumes in ([shared], ["rkp-test-volume:/data"], ["/var/run/docker.sock:/run/docker.sock"]):
            with pytest.raises(RefusedError, match="docker_volumes"):
                start(kernels, volumes=volumes)
        allowing = make_kernels("server-2", docker_volumes=[f"{tmp_path}/*:ro", "/*", "rkp-test-*"])
        with pytest.raises(RefusedError, match=r"docker\.sock"):
            start(allowing, volumes=["/var/run/docker.sock:/s.sock"])
        try:
            scratch = {"type": "tmpfs", "target": "/scratch", "size": "8Mi"}
            manager = start(allowing, volumes=[shared, "rkp-test-volume:/own", scratch])
            with Notebook(manager.connection) as notebook:
                code = (
                    "import os; print(open('/data/words').read(), os.path.ismount('/own'), os.path.ismount('/scratch'))"
                )
                assert notebook.run(code).text == "from the host True True\n"
                assert notebook.run("open('/data/words', 'w')").error == "OSError"
            run(manager.kill())
        finally:
            engine.client.remove_volume("rkp-test-volume", force=True)

    def test_networks(self, make_kernels, kernels, engine):
        names = [f"rkp-test-{number}" for number in (1, 2)]
        networks = [engine.client.create_network(name)["Id"] for name in names]
        try:
            manager = start(kernels, networks=names)
            joined = engine.client.inspect_container(manager.resource.id)["NetworkSettings"]["Networks"]
            assert manager.connection.ip == joined[names[0]]["IPAddress"]
            assert set(joined) == set(names)
            with pytest.raises(RefusedError, match="docker_networks"):
                start(kernels, networks=["host"])
            allowing = make_kernels("server-2", docker_networks=["host"])
            manager = start(allowing, networks=["host"])
            assert manager.connection.ip == "127.0.0.1"
            assert look(manager)["ids"] == [1000, 100]
        finally:
            for each in (kernels, *([allowing] if "allowing" in locals() else [])):
                for resource in each.find():
                    run(each.lifecycle.delete(resource, 0))
            for network in networks:
                engine.client.remove_network(network)

    def test_what_else_the_operator_can_allow(self, make_kernels, kernels, engine):
        allowing = make_kernels(
            "server-2", docker_capabilities=["NET_BIND_SERVICE"], docker_new_privileges=True, docker_pids_limit=0
        )
        manager = start(allowing)
        seen = look(manager)
        assert seen["no_new_privileges"] == "0"
        assert seen["capabilities"][3] == f"{1 << 10:016x}"
        assert engine.client.inspect_container(manager.resource.id)["HostConfig"]["PidsLimit"] in (None, 0, -1)

    def test_labels_of_ours_are_not_the_clients(self, kernels):
        with pytest.raises(ParameterError, match="'kernel_id' is remote-kernel-provider's own"):
            start(kernels, labels={"kernel_id": "another"})
