"""The command line: `python -m services.payment.gateway check --url URL --key KEY`."""

import argparse
import sys

from services.payment.gateway.check import passed, run_check_now
from services.payment.gateway.client import API_VERSION


def main() -> int:
    """Make every call the client can make; the exit status is 1 when any went wrong."""
    parser = argparse.ArgumentParser(prog="python -m services.payment.gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("check", help="make every call once and print a line for each")
    command.add_argument("--url", required=True)
    command.add_argument("--key", required=True)
    command.add_argument("--version", default=API_VERSION)
    arguments = parser.parse_args()
    counts = {True: 0, False: 0}

    def tell(name: str, line: str) -> None:
        counts[passed(line)] += 1
        print(f"{name:<42} {line}", flush=True)

    good = run_check_now(arguments.url, arguments.key, version=arguments.version, tell=tell)
    print(f"{counts[True]} calls well, {counts[False]} not")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
