"""The main job, with the worker killed in the middle of it."""

import pytest

from tests.system.conftest import Played

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def test_every_dossier_ends_as_expected_though_the_worker_is_killed_twice(played: Played) -> None:
    assert len(set(played.killed)) == 2
    assert played.code == 0, played.printed[-6000:]
    assert "unexplained 0 ₫" in played.printed
