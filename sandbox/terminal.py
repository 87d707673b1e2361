"""What people see in the terminal: steps that tick, one clear sentence when something is wrong."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

_WIDEST_LINE = 208
"""A dossier's line; narrower terminals wrap it rather than lose what it says."""

console = Console(highlight=False, width=max(Console().width, _WIDEST_LINE))


@contextmanager
def step(text: str) -> Iterator[None]:
    """Show a step while it runs and tick it, with its seconds, when it is done."""
    started = time.monotonic()
    if console.is_terminal:
        with console.status(f"[bold]{text}[/bold]"):
            yield
    else:
        yield
    console.print(f"  [green]✓[/green] {text} [dim]{time.monotonic() - started:.1f} s[/dim]")


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    print(sentence, file=sys.stderr)
