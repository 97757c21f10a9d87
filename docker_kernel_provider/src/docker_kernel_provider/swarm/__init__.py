"""Kernels in services of a Docker Swarm."""
