"""Kernel specs: reading and validating the files, the formats of peers, and the installer that all providers share."""
