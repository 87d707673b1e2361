"""The law as this process holds it: published versions compiled once, and always the newest one for a new quote."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy import String, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.exc import DBAPIError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import SessionDep, Sessions
from kit.errors import NotFound
from services.fees.models import CatalogueVersion, Publication
from services.fees.rules import Tariff
from services.fees.tariffs import Catalogue, sha256_of

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
"""How often a process looks for what others published, so that it is compiled before the first quote needs it."""
_KEPT = 6


@dataclass(frozen=True, slots=True)
class PublishedLaw:
    """One publication, ready to price by."""

    number: int
    version: str
    tariff: Tariff


class Law:
    """The published law. `current` asks the database on every call: no process ever prices by superseded law.

    The question is one row of an index; compiling happens once a version and outside the event loop. Versions are
    immutable, so what is compiled is never stale; only which one is the newest can change.
    """

    def __init__(self, sessions: Sessions, *, changed: Callable[[PublishedLaw], None] | None = None) -> None:
        self._sessions = sessions
        self._changed = changed
        self._compiled: OrderedDict[str, Tariff] = OrderedDict()
        self._compiling = asyncio.Lock()
        self._latest: PublishedLaw | None = None

    @property
    def latest(self) -> PublishedLaw:
        """The newest publication this process has seen, at most about a second old: for answers that bind nobody."""
        if self._latest is None:
            raise RuntimeError("no law has been published yet; the process has not finished starting")
        return self._latest

    async def current(self, session: AsyncSession) -> PublishedLaw:
        """The newest publication there is. Whatever was published before this call is seen by it."""
        newest = select(col(Publication.number), col(Publication.version)).order_by(col(Publication.number).desc())
        row = (await (await session.connection()).execute(newest.limit(1))).one_or_none()
        if row is None:
            raise RuntimeError("no law has been published yet; the process has not finished starting")
        known = self._latest
        if known is None or known.number < row.number:
            fresh = PublishedLaw(row.number, row.version, await self.under(session, row.version))
            if self._latest is None or self._latest.number < fresh.number:
                self._latest = fresh
                if self._changed is not None:
                    self._changed(fresh)
            return fresh
        return known

    async def under(self, session: AsyncSession, version: str) -> Tariff:
        """The tariff of any version that was ever published. Raises NotFound."""
        if version in self._compiled:
            self._compiled.move_to_end(version)
            return self._compiled[version]
        async with self._compiling:
            if version not in self._compiled:
                stored = select(
                    sql_cast(col(CatalogueVersion.content), String).label("content"), col(CatalogueVersion.sha256)
                ).where(col(CatalogueVersion.version) == version)
                row = (await (await session.connection()).execute(stored)).one_or_none()
                if row is None:
                    raise NotFound("Không có phiên bản này.", "There is no such version.")
                self.keep(version, await asyncio.to_thread(_tariff_of, row.content, row.sha256))
        return self._compiled[version]

    def keep(self, version: str, tariff: Tariff) -> None:
        """Remember a compiled version; the one not used for longest is forgotten."""
        self._compiled[version] = tariff
        while len(self._compiled) > _KEPT:
            self._compiled.popitem(last=False)

    async def watch(self) -> None:
        """Look for new publications until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                if self._latest is not None:
                    async with self._sessions() as session:
                        await self.current(session)
            except (OSError, DBAPIError):
                log.warning("the newest publication could not be read; trying again", exc_info=True)


def _tariff_of(content: str, sha256: str) -> Tariff:
    canonical = json.dumps(json.loads(content), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if sha256_of(canonical) != sha256:
        raise RuntimeError(f"the stored catalogue {sha256[:16]} does not have the hash it is kept under")
    return Tariff(Catalogue.model_validate_json(canonical))


def law_of(request: Request) -> Law:
    """The process's law."""
    return cast("Law", request.app.state.law)


async def _current(request: Request, session: SessionDep) -> PublishedLaw:
    return await law_of(request).current(session)


LawDep = Annotated[PublishedLaw, Depends(_current)]
"""The newest published law, as of this request."""
