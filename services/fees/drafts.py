"""The life of a draft: who may take it from which status to which, and what a draft of the law may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.fees.contract import DraftStatus
from services.fees.holdings import set_hash, text_hash

Action = Literal[
    "created", "saved", "rebased", "submitted", "recalled", "approved", "returned", "published", "withdrawn"
]
By = Literal["author", "another"]


@dataclass(frozen=True, slots=True)
class Transition:
    """An action: from which statuses, to which, and whether the author or another person does it."""

    sources: tuple[DraftStatus, ...]
    target: DraftStatus | None
    """None where the status stays."""
    by: By


TRANSITIONS: Mapping[Action, Transition] = {
    "saved": Transition(("editing", "returned"), None, "author"),
    "rebased": Transition(("editing", "returned"), None, "author"),
    "submitted": Transition(("editing", "returned"), "submitted", "author"),
    "recalled": Transition(("submitted", "approved"), "editing", "author"),
    "withdrawn": Transition(("editing", "returned", "submitted", "approved"), "withdrawn", "author"),
    "approved": Transition(("submitted",), "approved", "another"),
    "returned": Transition(("submitted", "approved"), "returned", "another"),
    "published": Transition(("approved",), "published", "another"),
}
EDITABLE: tuple[DraftStatus, ...] = TRANSITIONS["saved"].sources


def actions_open_to(status: str, *, is_author: bool) -> frozenset[Action]:
    """What the author, or anybody else, may do with a draft in a status."""
    by: By = "author" if is_author else "another"
    return frozenset(action for action, step in TRANSITIONS.items() if status in step.sources and step.by == by)


def documents_hash(documents: Mapping[str, str | None]) -> str:
    """SHA-256 of what a draft holds: what was approved is what is published."""
    return set_hash({path: text_hash(text) if text is not None else None for path, text in documents.items()})
