"""A real single-node Kubernetes to test on, built and started here; `python -m cluster --help`."""
