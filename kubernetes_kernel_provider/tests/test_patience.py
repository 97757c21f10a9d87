"""Asking a cluster that is away until it answers."""

import asyncio
from collections.abc import Callable

import pytest

from kubernetes_kernel_provider.client import patience
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.client.patience import until_answered

AWAY, BUSY, STARTING = (ClusterError(str(code), code) for code in (0, 429, 503))
REFUSED, MISSING = ClusterError("403", 403), ClusterError("404", 404)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)


def answering(*answers: ClusterError | str) -> tuple[Callable[..., str], list[str]]:
    """Ask for answers one after another; return how to ask, and what is told meanwhile."""
    left, told = list(answers), []

    async def ask() -> str:
        answer = left.pop(0)
        if isinstance(answer, ClusterError):
            raise answer
        return answer

    def wait(seconds: float = 60.0) -> str:
        return asyncio.run(until_answered(ask, lambda error: told.append(str(error)), seconds))

    return wait, told


def test_an_answer_is_an_answer():
    wait, told = answering("it")
    assert (wait(), told) == ("it", [])


def test_it_asks_again_while_the_cluster_is_away():
    wait, told = answering(AWAY, BUSY, STARTING, "it")
    assert (wait(), told) == ("it", ["0", "429", "503", "None"])


@pytest.mark.parametrize("error", [REFUSED, MISSING])
def test_what_the_cluster_says_is_not_asked_again(error):
    wait, told = answering(error, "it")
    with pytest.raises(ClusterError, match=str(error.code)):
        wait()
    assert told == []


def test_an_api_server_that_has_just_started_refuses_what_it_permits(monkeypatch):
    wait, told = answering(AWAY, REFUSED, "it")
    assert (wait(), told) == ("it", ["0", "403", "None"])
    monkeypatch.setattr(patience, "SETTLING", 0.0)
    wait, _ = answering(AWAY, REFUSED, "it")
    with pytest.raises(ClusterError, match="403"):
        wait()


def test_a_time_that_is_over():
    wait, _ = answering(AWAY, "it")
    with pytest.raises(ClusterError, match="0"):
        wait(0.0)
