"""Why a kernel in a container did not start, or ended: each reason from the real engine."""

import asyncio
import socket

import pytest
from engine.fixtures import look

from remote_kernel_provider.errors import KernelDiedError, LaunchError
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow


def fail(kernels, name="faulty", argv=None, **config) -> LaunchError:
    kernels.add_spec(name, argv or ("python", "-m", "tiny_kernel", "-f", "{connection_file}"), config=config)
    with pytest.raises(LaunchError) as failure:
        kernels.start(name)
    assert kernels.find() == []
    return failure.value


class TestALaunchThatFails:
    def test_an_image_that_is_not_there_and_must_not_be_pulled(self, kernels):
        error = fail(kernels, image_name="rkp-test/nothing:1", pull_policy="Never")
        assert error.status.reason == "ImageNotFound"
        assert "'rkp-test/nothing:1' is not on the engine, and pull_policy is Never" in str(error)

    def test_a_registry_that_cannot_be_reached(self, kernels):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            error = fail(kernels, image_name=f"127.0.0.1:{closed.getsockname()[1]}/nothing:1")
        assert isinstance(error, KernelDiedError)
        assert error.status.reason == "RegistryUnreachable"
        assert "cannot be pulled" in str(error)

    def test_a_pull_is_told_and_cancelled(self, kernels):
        """A registry that takes the connection and says nothing."""
        steps = []
        with socket.create_server(("127.0.0.1", 0)) as silent:
            name = f"127.0.0.1:{silent.getsockname()[1]}/slow:1"
            kernels.add_spec("slow", ("python", "{connection_file}"), config={"image_name": name})

            async def pull() -> None:
                launching = asyncio.ensure_future(kernels.launch("slow", progress=steps.append))
                while not any(step.status.phase is Phase.PULLING for step in steps):
                    await asyncio.wait({launching}, timeout=0.02)
                    assert not launching.done()
                launching.cancel()
                await asyncio.wait({launching}, timeout=30)
                assert launching.cancelled()

            run(pull())
        assert name in steps[0].status.message + steps[-1].status.message
        assert kernels.find() == []

    def test_a_network_that_is_not_there(self, kernels):
        error = fail(kernels, networks=["rkp-no-such-network"])
        assert error.status.reason == "NetworkNotFound"
        assert "rkp-no-such-network" in str(error)

    def test_a_command_that_is_not_in_the_image(self, kernels):
        error = fail(kernels, argv=("Rscript", "{connection_file}"))
        assert error.status.reason == "CommandNotFound"
        assert "'Rscript' was not found in the image 'rkp-test/kernel:1'" in str(error)
        assert error.status.exit_code == 127

    def test_a_command_that_cannot_be_executed(self, kernels):
        error = fail(kernels, argv=("/etc/passwd", "{connection_file}"))
        assert error.status.reason == "CommandNotExecutable"

    def test_memory_that_the_engine_refuses(self, kernels):
        error = fail(kernels, memory_limit="1Mi")
        assert error.status.reason == "EngineRefused"
        assert "memory limit" in str(error)

    def test_a_platform_that_the_image_does_not_have(self, kernels):
        error = fail(kernels, platform="linux/s390x", pull_policy="Never")
        assert error.status.reason in ("ImageNotFound", "WrongPlatform")

    def test_gpus_that_the_engine_does_not_have(self, kernels):
        assert fail(kernels, gpus="1").status.reason == "NoGPU"

    def test_a_spec_without_an_image(self, kernels):
        kernels.add_spec("bare", ("python", "{connection_file}"), metadata={})
        with pytest.raises(LaunchError, match=r"names no image; set image_name in .*docker_kernel\.json"):
            kernels.start("bare")

    def test_ports_that_are_taken(self, make_kernels, kernels):
        publishing = make_kernels(docker_route="published")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            publishing.add_spec("one", ("python", "{connection_file}"), config={"port_range": f"{port}..{port + 4}"})
            with pytest.raises(LaunchError, match="port") as failure:
                publishing.start("one")
        assert failure.value.status.reason == "PortTaken"
        assert publishing.find() == []


class TestTestsThatFail:
    def test_they_show_containers_states_and_the_ends_of_their_output(self, kernels, engine):
        code = "import sys, tiny_kernel; print('its words', flush=True); tiny_kernel.main(sys.argv[1:])"
        manager = kernels.start(kernels.add_spec("talking", ("python", "-c", code, "-f", "{connection_file}")))
        run(kernels.lifecycle.signal(manager.resource, 9))
        run(manager.wait(), 20)
        shown = look(engine.client, f"kernel_id={manager.kernel_id}")
        assert f"/{manager.resource.id} (rkp-test/kernel:1)" in shown
        assert "'ExitCode': 137" in shown
        assert "its words" in shown


class TestTheEndOfAKernel:
    def test_out_of_memory(self, kernels):
        kernels.add_spec("small", ("python", "-m", "tiny_kernel", "-f", "{connection_file}"), config={
            "memory_limit": "48Mi"
        })  # fmt: skip
        manager = kernels.start("small")
        with Notebook(manager.connection) as notebook:
            notebook.begin("hoard = [b'x' * 2**20 for _ in range(1000)]")
            run(manager.wait(), 60)
        assert manager.status.reason == "OOMKilled"
        assert "it ran out of memory of 48Mi" in manager.status.message

    def test_an_exit_code_of_its_own(self, kernels):
        manager = kernels.start("tiny")
        with Notebook(manager.connection) as notebook:
            notebook.begin("import os; os._exit(7)")
            run(manager.wait(), 30)
        assert (manager.status.reason, manager.status.exit_code) == ("Error", 7)
        assert run(kernels.lifecycle.status(manager.resource)) == manager.status

    def test_a_signal(self, kernels, engine):
        manager = kernels.start("tiny")
        engine.client.kill(manager.resource.id, "HUP")
        run(manager.wait(), 30)
        assert manager.status.reason == "SIGHUP"

    def test_a_container_that_somebody_stopped(self, kernels, engine):
        """A kernel that ends in order when it is asked to has not ended by itself."""
        manager = kernels.start("tiny")
        engine.client.stop(manager.resource.id)
        run(manager.wait(), 30)
        assert manager.status.reason == "Stopped"
        assert "docker stop" in manager.status.message

    def test_a_container_that_somebody_removed(self, kernels, engine):
        manager = kernels.start("tiny")
        engine.client.remove_container(manager.resource.id, force=True)
        run(manager.wait(), 30)
        assert manager.status.phase in (Phase.FAILED, Phase.GONE)
        assert run(kernels.lifecycle.status(manager.resource)).phase is Phase.GONE

    def test_a_container_that_somebody_paused(self, kernels, engine):
        manager = kernels.start("tiny")
        engine.client.pause(manager.resource.id)
        until(lambda: manager.status.reason == "Paused", 10, "the notice of the pause")
        assert run(manager.is_alive())
        engine.client.unpause(manager.resource.id)
        until(lambda: manager.status.reason == "", 10, "the notice of its end")
