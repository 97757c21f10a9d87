"""Takes one kernel through its life by jupyter_client's blocking manager, and prints what it saw as one line of JSON.

A program of its own, run by clients.py. Arguments: the kernel's name, the policy of transport encryption, how the
kernel ends (`shutdown`, `kill` or `death`), and `argv` for a client that knows no kernel provisioners.
"""

import json
import os
import signal
import sys
from contextlib import contextmanager

from jupyter_client.manager import KernelManager

SECONDS = 30


@contextmanager
def client_of(manager):
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield client
    finally:
        client.stop_channels()


def run(client, code, on_output=None):
    printed = []

    def take(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
            if on_output is not None:
                on_output()

    # After an error, ipykernel refuses the cells that come within a moment, unless it is told not to.
    content = client.execute_interactive(code, timeout=SECONDS, output_hook=take, stop_on_error=False)["content"]
    return "".join(printed) + content.get("ename", "")


def live(manager, ending):
    seen = {"encrypted": manager.curve_publickey is not None}
    with client_of(manager) as client:
        before = int(run(client, "import os; print(os.getpid())"))
        seen["answer"] = run(client, "kept = 42; print(kept)")
        # In one long sleep, a signal that arrives just before it would be noticed only after it.
        busy = "print('busy'); import time; [time.sleep(0.1) for _ in range(600)]"
        seen["interrupted"] = run(client, busy, on_output=manager.interrupt_kernel)
        # ipykernel 6.17 can leave what comes right after an interrupt unread until something else comes.
        client.wait_for_ready(timeout=SECONDS)
        seen["kept"] = run(client, "print(kept)")
    manager.restart_kernel()
    with client_of(manager) as client:
        seen["restarted"] = run(client, "kept")
        after = int(run(client, "import os; print(os.getpid())"))
    seen["another process"] = before != after
    if ending == "death":
        os.kill(after, signal.SIGKILL)
        manager.shutdown_kernel(now=True)
    else:
        manager.shutdown_kernel(now=ending == "kill")
    return seen


def main(name, encryption, ending, way="provisioner"):
    manager = KernelManager(kernel_name=name, transport_encryption=encryption)
    if way == "argv":
        del manager.kernel_spec.metadata["kernel_provisioner"]
    manager.start_kernel()
    try:
        print(json.dumps(live(manager, ending)))
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
