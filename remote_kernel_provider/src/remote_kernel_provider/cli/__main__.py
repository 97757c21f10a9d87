"""`python -m remote_kernel_provider.cli`: the command, where its script is not on PATH."""

from remote_kernel_provider.cli.main import main

main()
