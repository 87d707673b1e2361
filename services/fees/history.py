"""What changed in the law from one publication to another."""

import asyncio

from sqlmodel.ext.asyncio.session import AsyncSession

from services.fees import register
from services.fees.comparison import document_differences, law_changes
from services.fees.contract import VersionDifference
from services.fees.law import Law


async def version_difference(
    session: AsyncSession, law: Law, number: int, *, since: int | None = None
) -> VersionDifference:
    """Entries in words and documents by line; the first publication is compared with itself. Raises NotFound."""
    after = await register.publication_by_number(session, number)
    before = await register.publication_by_number(session, since if since is not None else max(1, number - 1))
    old, new = await law.under(session, before.version), await law.under(session, after.version)
    changes = await asyncio.to_thread(law_changes, old, new)
    documents = document_differences(
        await register.documents_in_force(session, before.number), await register.documents_in_force(session, number)
    )
    return VersionDifference(before=before.number, after=after.number, changes=changes, documents=documents)
