"""Before the first launch of a changed template, the cluster tries its objects, all of them, and creates none.

So a mistake in an object beside the pod is not found when the pod has already been created.
"""

from __future__ import annotations

import asyncio
import logging

from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.manifests import KernelManifests

LOG = logging.getLogger(__name__)

_UNABLE = "does not support dry run"
"""What an API server says when one of its webhooks could do something although it should only try."""


class DryRuns:
    """Tries the templates of one cluster; one that has passed is not tried again until it changes.

    Parameters
    ----------
    creator
        For that cluster.
    """

    def __init__(self, creator: Creator) -> None:
        self._creator = creator
        self._passed: set[str] = set()

    async def check(self, manifests: KernelManifests) -> None:
        """Have a launch's objects tried, unless their template has passed or is the package's own.

        Raises
        ------
        ClusterError
            What the cluster says of the first object that it would refuse; names the template's line.
        """
        if not manifests.template or manifests.template in self._passed:
            return
        rendered = (manifests.pod, *manifests.others)
        answers = await asyncio.gather(
            *(self._creator.create_rendered(each, dry_run=True) for each in rendered), return_exceptions=True
        )
        for answer in answers:
            if not isinstance(answer, BaseException):
                continue
            if not isinstance(answer, ClusterError) or _UNABLE not in str(answer):
                raise answer
            LOG.warning("%s was not tried before its first launch: %s", manifests.pod.file, answer)
        self._passed.add(manifests.template)
