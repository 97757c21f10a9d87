"""The cluster's API as this package uses it: requests with dicts, and one list/watch that all kernels share."""
