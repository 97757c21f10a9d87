"""Images that a Docker engine of the tests has built, in the cluster: no registry is needed."""

import tempfile
from pathlib import Path
from typing import Any

from cluster.running import Cluster


def load_from_engine(cluster: Cluster, client: Any, image: str) -> None:
    """Have an image of the engine available to the pods, under the same name.

    Parameters
    ----------
    cluster
        Where it is needed.
    client
        A `docker.APIClient` of the engine.
    image
        Its name, whose tag changes with its content.
    """
    if cluster.has(image):
        return
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        for piece in client.get_image(image):
            archive.write(piece)
        archive.flush()
        cluster.load(Path(archive.name))
