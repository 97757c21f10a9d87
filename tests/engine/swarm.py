"""A Swarm of one node, on an engine that the tests started."""

from typing import Any

from engine.ports import free_port


def have_swarm(client: Any) -> None:
    """Make an engine a Swarm's manager, reachable on loopback alone, unless it is one already.

    Parameters
    ----------
    client
        A `docker.APIClient` of an engine that the tests started.
    """
    state = client.info()["Swarm"]["LocalNodeState"]
    if state == "active":
        return
    if state != "inactive":  # its port was taken when the engine started again
        client.leave_swarm(force=True)
    address = f"127.0.0.1:{free_port()}"
    client.init_swarm(advertise_addr=address, listen_addr=address)
