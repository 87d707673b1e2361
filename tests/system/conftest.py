"""The whole stack, as `make up` starts it, in a folder with a space in its name."""

from collections.abc import Iterator

import pytest

from sandbox.demo import free_port_base
from sandbox.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack shared by the tests that only use it."""
    with Stack(tmp_path_factory.mktemp("a stack") / "run dir", free_port_base()) as running:
        yield running
