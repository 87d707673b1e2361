"""Run the bank: `python -m sandbox.bank --port N --state FILE --bin 970415 --account … --holder …`."""

import argparse
from pathlib import Path

from sandbox.bank.app import create_app
from sandbox.bank.book import Settings
from sandbox.wire import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.bank")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--state", type=Path, required=True, help="SQLite file; made when it does not exist")
    add("--bin", required=True, help="the bank's six-digit BIN")
    add("--account", required=True, help="the collecting account")
    add("--holder", required=True, help="name of the account holder")
    add("--notify-url", help="where credit notices go")
    add("--notify-secret", default="", help="base64, optionally after whsec_")
    add("--holder-key", help="bearer key for /orders; without it no order is taken")
    add("--opening-balance", type=int, default=0, help="đồng, on the account's first day")
    add("--seed", default="sandbox", help="decides references and how content is mangled")
    arguments = parser.parse_args()
    settings = Settings(
        bin=arguments.bin,
        account=arguments.account,
        holder=arguments.holder,
        notify_url=arguments.notify_url,
        notify_secret=arguments.notify_secret,
        holder_key=arguments.holder_key,
        opening_balance_dong=arguments.opening_balance,
        seed=arguments.seed,
    )
    serve(create_app(settings, arguments.state), port=arguments.port)


if __name__ == "__main__":
    main()
