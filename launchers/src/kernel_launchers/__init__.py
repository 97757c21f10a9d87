"""Launchers: what runs inside a kernel image or on a kernel's host to start the kernel and report it."""

__version__ = "1.0.0.dev0"
