"""The private loop: calls from other loops and from none, cancellation, forks, the end of the process."""

import asyncio
import contextvars
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from remote_kernel_provider import private_loop
from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within


def python(script: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, **options
    )


def output(script: str, seconds: float = 20, **options) -> str:
    process = python(script, **options)
    text, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0
    return text


async def where() -> str:
    return threading.current_thread().name


async def test_a_call_runs_on_the_private_loop():
    assert await PRIVATE_LOOP.call(where()) == "remote-kernels"
    assert threading.current_thread().name != "remote-kernels"
    assert not PRIVATE_LOOP.is_current()


def test_blocking_code_runs_there_too():
    assert PRIVATE_LOOP.run(where()) == "remote-kernels"
    assert asyncio.run(PRIVATE_LOOP.call(where())) == "remote-kernels"


async def test_a_call_on_the_private_loop_is_a_plain_await():
    async def nested() -> str:
        assert PRIVATE_LOOP.is_current()
        task = asyncio.current_task()

        async def inner() -> bool:
            return asyncio.current_task() is task

        assert await PRIVATE_LOOP.call(inner())
        return await PRIVATE_LOOP.call(where())

    assert await PRIVATE_LOOP.call(nested()) == "remote-kernels"


async def test_blocking_on_the_private_loop_is_refused():
    async def nested() -> None:
        PRIVATE_LOOP.run(where())

    with pytest.raises(RuntimeError, match="await the coroutine instead"):
        await PRIVATE_LOOP.call(nested())


async def test_errors_and_context_variables_come_through():
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")

    async def look() -> None:
        raise LookupError(variable.get())

    with pytest.raises(LookupError, match="set"):
        await PRIVATE_LOOP.call(look())


async def test_a_cancellation_is_over_when_the_clean_up_is():
    started, cleaned = threading.Event(), threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            cleaned.set()

    calling = asyncio.ensure_future(PRIVATE_LOOP.call(work()))
    assert await asyncio.to_thread(started.wait, 5)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert cleaned.is_set()


@pytest.mark.parametrize("times", [1, 3])
async def test_a_result_that_comes_too_late_is_taken_back(times):
    """However often the caller is cancelled meanwhile."""
    started, undone = threading.Event(), []

    async def work() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return "late"

    async def undo(result: str) -> None:
        await asyncio.sleep(0.1)
        undone.append((result, threading.current_thread().name))

    calling = asyncio.ensure_future(PRIVATE_LOOP.call(work(), undo=undo))
    assert await asyncio.to_thread(started.wait, 5)
    for _ in range(times):
        calling.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert undone == [("late", "remote-kernels")]


async def test_a_call_that_is_cancelled_before_it_begins_never_runs_on():
    ran = []
    released = asyncio.Event()

    async def work() -> None:
        await released.wait()
        ran.append(1)

    async def release() -> None:
        released.set()
        await asyncio.sleep(0.05)

    calling = asyncio.ensure_future(PRIVATE_LOOP.call(work()))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await PRIVATE_LOOP.call(release())
    assert ran == []


async def test_a_time_out_of_the_caller_reaches_the_coroutine():
    cancelled = threading.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(PRIVATE_LOOP.call(work()), 0.05)
    assert cancelled.is_set()


async def test_a_busy_loop_of_the_caller_delays_nothing():
    done = threading.Event()

    async def steps() -> None:
        for _ in range(5):
            await asyncio.sleep(0.001)
        done.set()

    calling = asyncio.ensure_future(PRIVATE_LOOP.call(steps()))
    await asyncio.sleep(0)
    # This blocks the caller's loop on purpose: the call goes on all the same.
    assert done.wait(5)
    assert not calling.done()
    await calling


async def test_a_blocked_private_loop_does_not_block_the_caller():
    release = threading.Event()

    async def block() -> None:
        release.wait(5)

    calling = asyncio.ensure_future(PRIVATE_LOOP.call(block()))
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not calling.done()
    release.set()
    await calling


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_comes_with_the_result_is_not_lost(turns):
    """`asyncio.wait_for` loses it before Python 3.12, and who waits for the task's end waits for ever."""
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        while True:
            await within(60, queue.get())

    working = asyncio.ensure_future(work())
    await asyncio.sleep(0.01)
    queue.put_nowait(1)
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(end_task(working), 5)
    assert working.cancelled()


async def test_within():
    ended = []

    async def work(seconds: float) -> int:
        try:
            await asyncio.sleep(seconds)
        finally:
            ended.append(seconds)
        return 42

    assert await within(None, work(0)) == 42
    assert await within(5, work(0)) == 42
    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, work(60))
    assert ended == [0, 0, 60]


def test_importing_starts_nothing():
    script = """
        import threading
        import remote_kernel_provider.provider, remote_kernel_provider.local.provider
        print(threading.active_count())
    """
    assert output(script) == "1\n"


def test_first_uses_at_once_start_one_loop():
    script = """
        import asyncio, threading
        from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within
        found = set()
        async def current(): return id(asyncio.get_running_loop())
        threads = [threading.Thread(target=lambda: found.add(PRIVATE_LOOP.run(current()))) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(5)
        print(len(found), [thread.name for thread in threading.enumerate()])
    """
    assert output(script) == "1 ['MainThread', 'remote-kernels']\n"


def test_a_fork_gets_a_loop_of_its_own():
    script = """
        import asyncio, os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within
        async def me(): return os.getpid()
        async def finish(): print("the parent's end", flush=True)
        PRIVATE_LOOP.at_exit(finish)
        assert PRIVATE_LOOP.run(me()) == os.getpid()
        child = os.fork()
        assert PRIVATE_LOOP.run(me()) == os.getpid()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            print("the child runs", flush=True)
    """
    assert output(script) == "the child runs\nthe parent's end\n"


def test_the_end_of_the_process_settles_what_is_under_way():
    script = """
        import asyncio
        from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within
        async def work(started):
            try:
                started.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                print("cleaned", flush=True)
        async def first(): print("finished", flush=True)
        async def last(): print("finished second", flush=True)
        import threading
        PRIVATE_LOOP.at_exit(last)
        PRIVATE_LOOP.at_exit(first)
        started = threading.Event()
        PRIVATE_LOOP.submit(work(started))
        started.wait(5)
    """
    assert output(script) == "cleaned\nfinished\nfinished second\n"


def test_the_end_of_the_process_has_threads():
    """Names of servers are looked up in threads, and files are removed there."""
    script = """
        import asyncio, socket
        from remote_kernel_provider.private_loop import PRIVATE_LOOP
        async def first_use(): await asyncio.to_thread(int)
        async def finish():
            await asyncio.to_thread(print, "in a thread", flush=True)
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
            print("looked up", flush=True)
        PRIVATE_LOOP.run(first_use())
        PRIVATE_LOOP.at_exit(finish)
    """
    assert output(script) == "in a thread\nlooked up\n"


def test_what_cannot_be_finished_keeps_nothing_else_from_its_end():
    script = """
        from remote_kernel_provider.private_loop import PRIVATE_LOOP
        async def fail(): raise LookupError("on purpose")
        async def finish(): print("finished", flush=True)
        PRIVATE_LOOP.at_exit(finish)
        PRIVATE_LOOP.at_exit(fail)
    """
    assert output(script, stderr=subprocess.DEVNULL) == "finished\n"


def test_what_takes_too_long_at_the_end_still_closes_its_connections():
    script = """
        import asyncio
        from remote_kernel_provider import private_loop
        private_loop.EXIT_GRACE = 0.2
        async def finish():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                print("closed", flush=True)
        private_loop.PRIVATE_LOOP.at_exit(finish)
    """
    assert output(script) == "closed\n"


def test_the_end_of_the_process_is_bounded():
    script = """
        import asyncio
        from remote_kernel_provider import private_loop
        private_loop.EXIT_GRACE = 0.2
        async def never(): await asyncio.Event().wait()
        private_loop.PRIVATE_LOOP.at_exit(never)
        print("ending", flush=True)
    """
    process = python(script)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        began = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 3
    assert private_loop.EXIT_GRACE <= 10


def test_ctrl_c_waits_for_the_clean_up():
    script = """
        import asyncio, signal
        from remote_kernel_provider.private_loop import PRIVATE_LOOP, end_task, within
        async def work():
            try:
                print("busy", flush=True)
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
                print("cleaned", flush=True)
        # A shell starts background jobs, these tests perhaps among them, with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            PRIVATE_LOOP.run(work())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    with python(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[0] == "cleaned\ninterrupted\n"


@pytest.mark.parametrize("started", [True, False])
def test_ctrl_c_at_the_very_start_leaves_nothing_running(monkeypatch, started):
    """The signal comes between two instructions of `run`, just after or before it has the coroutine started."""
    loop = PRIVATE_LOOP.run(_loop())
    schedule = loop.call_soon_threadsafe
    began, ended = threading.Event(), threading.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    def interrupted(callback, *args, **options):
        monkeypatch.undo()
        if started:
            schedule(callback, *args, **options)
            assert began.wait(5)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    beginning = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        PRIVATE_LOOP.run(work())
    assert (began.is_set(), ended.is_set()) == (started, started)
    assert time.monotonic() - beginning < private_loop.EXIT_GRACE


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
