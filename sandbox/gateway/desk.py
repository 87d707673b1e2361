"""Where a request is served."""

from dataclasses import dataclass
from typing import Any

from sandbox.gateway.account import Account, Call, Document
from sandbox.gateway.events import Announcer


@dataclass(frozen=True)
class Desk:
    """The account, the announcer and the request itself."""

    account: Account
    announcer: Announcer
    call: Call

    def announce(self, event_type: str, subject: Document, **options: Any) -> None:  # noqa: ANN401
        self.announcer.announce(self.call, event_type, subject, **options)
