"""What the author of a provider needs to test it.

`contract.LifecycleContract` is the suite that every backend must pass; `client.Notebook` runs cells on any kernel;
`isolation` gives a test Jupyter folders of its own; `tiny_kernel` is a real Jupyter kernel that starts in a tenth of a
second; `staged` is a backend whose launches are slow and fail on demand. The suite and `isolation` need pytest.
"""
