"""The embedded provider: kernels as processes of this machine."""
