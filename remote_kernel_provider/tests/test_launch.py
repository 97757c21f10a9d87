"""The launch sequence where no backend shows it: the ends of its background tasks."""

import asyncio

import pytest

from remote_kernel_provider.launch import _background
from remote_kernel_provider.private_loop import end_task, settled


async def test_a_cancellation_while_a_background_task_ends_is_not_lost():
    ending = asyncio.Event()

    async def slow_to_end():
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.05)

    async def body():
        async with _background(slow_to_end()):
            await asyncio.sleep(0)

    task = asyncio.ensure_future(body())
    await asyncio.wait_for(ending.wait(), 5)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()


async def test_a_background_task_ends_with_its_body_and_its_failure_disturbs_nobody():
    async def fail():
        raise OSError("nobody asks")

    async with _background(fail()) as task:
        await asyncio.sleep(0.01)
    assert task.done()
    with pytest.raises(ZeroDivisionError):
        async with _background(asyncio.Event().wait()) as waiting:
            raise ZeroDivisionError
    assert waiting.cancelled()


async def test_settled_says_whether_the_caller_was_cancelled():
    future = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(settled(future))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    future.set_result(None)
    assert await waiting
    assert not await settled(future)


async def test_end_task_takes_a_finished_one():
    task = asyncio.ensure_future(asyncio.sleep(0))
    await task
    await end_task(task)
