"""Evidence as people see it: a list beside a shipment for the desk, and the files of one's own papers by link."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from sqlmodel.ext.asyncio.session import AsyncSession

from kit.db import SessionsDep, UnitOfWorkRoute, transaction
from services.postal import evidence, receivers, wording
from services.postal.contract import FileKind
from services.postal.storage import EvidenceStore

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False)

Token = Annotated[str, Path(min_length=20, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Hash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]

FILE_WORDS: dict[FileKind, wording.Words] = {
    "seal_photo": ("Ảnh niêm phong", "Photo of the seal"),
    "handover_photo": ("Ảnh giao nhận", "Photo of the handover"),
    "door_photo": ("Ảnh nơi đến", "Photo of the place"),
    "citizen_signature": ("Chữ ký người giao", "Signature of the sender"),
    "courier_signature": ("Chữ ký bưu tá", "Signature of the courier"),
    "receiver_signature": ("Chữ ký người nhận", "Signature of the receiver"),
    "authorisation": ("Giấy ủy quyền", "Authorisation"),
    "receipt": ("Phiếu", "Slip"),
}


@dataclass(frozen=True, slots=True)
class ProofLine:
    """One file as a list shows it; without an address while it has not arrived or when its time is over."""

    words: wording.Words
    href: str | None
    state: wording.Words | None


async def proof_lines(session: AsyncSession, shipment_id: str, *, folder: str) -> Sequence[ProofLine]:
    """The files that a shipment's facts name; `folder` is the address under which this reader may open them."""
    return [_line(proof, folder) for proof in await evidence.proofs_of(session, shipment_id)]


def _line(proof: evidence.Proof, folder: str) -> ProofLine:
    words = FILE_WORDS[cast("FileKind", proof.kind)]
    if proof.stored_at is None:
        return ProofLine(words, None, ("chưa đến", "not arrived yet"))
    if proof.purged_at is not None:
        return ProofLine(words, None, ("đã hết thời hạn lưu", "kept no longer"))
    return ProofLine(words, f"{folder}/{proof.sha256}", None)


@router.get("/my/{token}/evidence/{sha256}")
async def my_proof(request: Request, token: Token, sha256: Hash, sessions: SessionsDep) -> Response:
    """A file of the papers this link is for, and of no other; 404 for everything else."""
    async with transaction(sessions) as session:
        row = await receivers.shipment_of_link(session, token)
    store = cast("EvidenceStore", request.app.state.evidence)
    given = await evidence.give_of_shipment(sessions, store, sha256, shipment_id=row.id)
    headers = {"Cache-Control": "private, no-store", "X-Robots-Tag": "noindex", "Content-Disposition": "inline"}
    return Response(given.content, media_type=given.media_type, headers=headers)
