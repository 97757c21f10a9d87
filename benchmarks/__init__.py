"""Measurements against the floor and the peers, side by side in one run; `python -m benchmarks`."""
