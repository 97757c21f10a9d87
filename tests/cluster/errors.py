"""What can go wrong with the cluster itself."""


class ClusterError(Exception):
    """The cluster cannot be had on this machine; the message says why."""
