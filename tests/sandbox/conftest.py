"""Fixtures for the organisations of the sandbox."""

from collections.abc import AsyncIterator

import pytest

from tests.sandbox.outside import Moment, Subscriber, serving


@pytest.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    """A running subscriber."""
    listening = Subscriber()
    async with serving(listening) as url:
        listening.url = url
        yield listening


@pytest.fixture
def moment() -> Moment:
    return Moment()
