"""Random interleavings of all money steps keep every invariant: a few in every run, many with `-m slow`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Issuer
from tests.payment.crashing import lives_on
from tests.payment.interleavings import STEPS, Sequence, run_sequences
from tests.payment.proofs import prove_the_books


@pytest.mark.parametrize(
    "seeds", [range(1, 21), pytest.param(range(10_000, 10_060), marks=pytest.mark.slow)], ids=["few", "many"]
)
async def test_any_interleaving_keeps_the_books(
    seeds: range, database: Callable[[str], Any], issuer: Issuer, tmp_path: Path
) -> None:
    async with lives_on(await database("payment"), issuer, tmp_path) as lives:
        taken = await run_sequences(lives.world, tmp_path / "gateway.sqlite", seeds)
        await prove_the_books(lives.world.database)

    assert taken.total() > len(seeds) * 10
    assert set(taken) <= {*STEPS, "refused", "unanswered"}


def test_every_step_that_is_drawn_exists() -> None:
    assert all(callable(getattr(Sequence, name)) for name in STEPS)
