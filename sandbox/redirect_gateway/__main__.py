"""Run the redirect gateway: `python -m sandbox.redirect_gateway --port N --state FILE --terminal CODE --secret …`."""

import argparse
from pathlib import Path

from sandbox.redirect_gateway.app import create_app
from sandbox.redirect_gateway.book import Settings
from sandbox.wire import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.redirect_gateway")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--state", type=Path, required=True, help="SQLite file; made when it does not exist")
    add("--terminal", required=True, help="the merchant's terminal code")
    add("--secret", required=True, help="signs links, notices and answers")
    add("--ipn-url", help="where the merchant's server is told how orders end")
    add("--merchant", default="LIEN THONG")
    add("--refund-seconds", type=float, default=2.0, help="until the bank has taken a refund")
    arguments = parser.parse_args()
    settings = Settings(
        terminal=arguments.terminal,
        secret=arguments.secret,
        ipn_url=arguments.ipn_url,
        merchant=arguments.merchant,
        refund_seconds=arguments.refund_seconds,
    )
    serve(create_app(settings, arguments.state), port=arguments.port)


if __name__ == "__main__":
    main()
