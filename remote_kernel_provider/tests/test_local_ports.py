"""The ports of local kernels: chosen, held, given back."""

import socket

import pytest
import zmq
from processes import TINY

from remote_kernel_provider.errors import KernelDiedError, LaunchError, LaunchTimeoutError
from remote_kernel_provider.local.ports import PortPool
from remote_kernel_provider.testing.waiting import run


class TestPorts:
    def test_none_is_given_twice(self):
        pool = PortPool()
        taken = [port for _ in range(20) for port in pool.take(5, (0, 0))]
        assert len(set(taken)) == 100

    def test_a_range_is_kept_and_its_end_is_said(self):
        pool = PortPool()
        lower = 23000
        taken = pool.take(5, (lower, lower + 9)) + pool.take(5, (lower, lower + 9))
        assert sorted(taken) == list(range(lower, lower + 10))
        with pytest.raises(
            LaunchError, match=rf"only 0 of 5 ports are free in port_range {lower}..{lower + 9}; widen it"
        ):
            pool.take(5, (lower, lower + 9))
        pool.give_back(taken[:5])
        assert sorted(pool.take(5, (lower, lower + 9))) == sorted(taken[:5])

    def test_too_few_are_not_kept(self):
        pool = PortPool()
        for _ in range(3):
            with pytest.raises(LaunchError, match="only 2 of 5"):
                pool.take(5, (23100, 23101))
        assert sorted(pool.take(2, (23100, 23101))) == [23100, 23101]

    def test_preferred_ones_if_all_are_free(self):
        pool = PortPool()
        first = pool.take(5, (0, 0))
        assert set(pool.take(5, (0, 0), first)).isdisjoint(first)
        pool.give_back(first)
        assert pool.take(5, (0, 0), first) == first

    @pytest.mark.slow
    def test_every_end_gives_them_back(self, kernels):
        """Twelve ports are enough for any number of kernels, one after another, however each ends."""
        config = {"port_range": "23200..23211"}
        kernels.add_spec("few", TINY, config=config)
        kernels.add_spec("missing", ["no-such-command", "{connection_file}"], config=config)
        kernels.add_spec("failing", ["sh", "-c", "exit 3", "{connection_file}"], config=config)
        kernels.add_spec("silent", ["sh", "-c", "sleep 60", "{connection_file}"], config=config)
        other = kernels.start("few")
        for end in ("kill", "shutdown", "cleanup"):
            run(getattr(kernels.start("few"), end)())
            for spec, error in (("missing", LaunchError), ("failing", KernelDiedError), ("silent", LaunchTimeoutError)):
                with pytest.raises(error):
                    kernels.start(spec, launch_timeout=0.1)
        assert run(other.is_alive())

    @pytest.mark.slow
    def test_a_restart_keeps_them(self, kernels):
        old = kernels.start("tiny")
        run(old.kill())
        new = kernels.start("tiny", kernel_id=old.kernel_id, replaces=old)
        assert new.connection == old.connection


class TestHeldPorts:
    def test_nobody_else_can_take_a_port_before_its_kernel_has_it(self):
        pool = PortPool()
        ports = pool.take(5, (0, 0))
        for port in ports:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
        context = zmq.Context()
        for port in ports:
            with context.socket(zmq.ROUTER) as kernel:
                kernel.bind(f"tcp://127.0.0.1:{port}")
        context.term()
        pool.give_back(ports)

    def test_two_hosts_never_choose_one_port_of_a_range(self):
        pools = [PortPool() for _ in range(4)]
        chosen = [port for pool in pools for port in pool.take(5, (23300, 23400))]
        assert len(set(chosen)) == 20
        for pool in pools:
            pool.give_back(chosen)

    def test_what_is_given_back_is_free_for_everybody(self):
        pool = PortPool()
        ports = pool.take(2, (0, 0))
        pool.give_back(ports)
        with socket.socket() as other:
            other.bind(("127.0.0.1", ports[0]))
