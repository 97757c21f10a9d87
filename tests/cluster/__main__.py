"""`python -m cluster build|up|down|load ARCHIVE`: the test cluster, by hand."""

import argparse
import sys
from pathlib import Path

from cluster import sharing
from cluster.building import build
from cluster.errors import ClusterError


def main() -> None:
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what the cache does not hold")
    commands.add_parser("up", help="start it, and keep it until `down`")
    commands.add_parser("down", help="stop it and remove everything of it")
    commands.add_parser("load", help="make an image available to its pods").add_argument("archive", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            print(build().binary)
        elif arguments.command == "down":
            sharing.down()
        else:
            cluster = sharing.up()
            if arguments.command == "load":
                cluster.load(arguments.archive)
            print(f"export KUBECONFIG={cluster.kubeconfig}")
    except ClusterError as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
