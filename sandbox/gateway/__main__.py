"""Run the gateway: `python -m sandbox.gateway --port N --state FILE --key sk_test_… …`."""

import argparse
from datetime import time
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from sandbox.gateway.account import Settings, open_state, seed_identifiers
from sandbox.gateway.app import create_app
from sandbox.wire import serve


def basis_points(per_cent: str) -> int:
    """Hundredths of a per cent, from a per cent with up to two decimals such as 1.1."""
    points = Decimal(per_cent) * 100
    if points < 0 or points != points.to_integral_value(ROUND_HALF_UP):
        raise argparse.ArgumentTypeError(f"not a per cent with up to two decimals: {per_cent}")
    return int(points)


def clock_time(text: str) -> str:
    """A time of day such as 17:30."""
    try:
        time.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a time of day: {text}") from None
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.gateway")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--state", type=Path, required=True, help="SQLite file; made when it does not exist")
    add("--key", required=True, help="the merchant's secret key")
    add("--webhook-secret", required=True)
    add("--webhook-url", help="where events go")
    add("--webhook-events", default="*", help="comma-separated event types; all, unless given")
    add("--bank-url", help="a sandbox bank that receives the payouts")
    add("--public-url", help="address browsers use; the request's own, unless given")
    add("--descriptor", default="LIEN THONG", help="merchant name on statements")
    add("--fee-percent", type=basis_points, default=110, help="default 1.1")
    add("--fee-fixed", type=int, default=1650, help="đồng per charge, default 1650")
    add("--minimum-amount", type=int, default=1, help="đồng")
    add("--maximum-amount", type=int, default=999_999_999_999, help="đồng")
    add("--settlement-seconds", type=int, default=0, help="until charges become available")
    add("--payout-arrival-seconds", type=float, default=1.0)
    add("--payout-daily-at", type=clock_time, help="HH:MM in Việt Nam; payouts only on request, unless given")
    add("--seed", help="makes identifiers repeatable")
    add("--dispute-fee", type=int, default=100_000, help="đồng per dispute, given back when it is won")
    add("--dispute-days", type=float, default=7.0, help="until a dispute left alone is lost")
    arguments = parser.parse_args()
    settings = Settings(
        key=arguments.key,
        webhook_secret=arguments.webhook_secret,
        webhook_url=arguments.webhook_url,
        webhook_events=tuple(arguments.webhook_events.split(",")),
        bank_url=arguments.bank_url,
        public_url=arguments.public_url,
        descriptor=arguments.descriptor,
        fee_basis_points=arguments.fee_percent,
        fee_fixed_dong=arguments.fee_fixed,
        minimum_amount_dong=arguments.minimum_amount,
        maximum_amount_dong=arguments.maximum_amount,
        settlement_seconds=arguments.settlement_seconds,
        payout_arrival_seconds=arguments.payout_arrival_seconds,
        payout_daily_at=arguments.payout_daily_at,
        dispute_fee_dong=arguments.dispute_fee,
        dispute_days=arguments.dispute_days,
    )
    if arguments.seed:
        state = open_state(arguments.state)
        seed_identifiers(arguments.seed, state)
        state.close()
    serve(create_app(settings, arguments.state), port=arguments.port)


if __name__ == "__main__":
    main()
