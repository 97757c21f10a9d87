"""The command `jupyter remote-kernel`."""
