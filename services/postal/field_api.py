"""JSON routes for evidence files and for photos of labels; the courier's page and clients with a token use the same."""

from typing import Annotated, cast

from fastapi import APIRouter, Body, Depends, Header, Path, Request, Response

from kit.auth import Principal
from kit.db import SessionsDep, UnitOfWorkRoute
from kit.errors import BadInput
from kit.web import require_or_signed_in
from services.postal import contract, evidence, labels, pictures, rules
from services.postal.storage import EvidenceStore

router = APIRouter(route_class=UnitOfWorkRoute)

BY_CONTENT = {"x-idempotency": "none"}
"""A file is named by its content and a part by its offset: sending again is harmless."""

Bringer = Annotated[Principal, Depends(require_or_signed_in("postal:courier", "postal:dispatch", "postal:write"))]
Viewer = Annotated[Principal, Depends(require_or_signed_in("postal:courier", "postal:dispatch"))]
Hash = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, le=2**40)]
Bytes = Annotated[bytes, Body(media_type="application/octet-stream")]


def store_of(request: Request) -> EvidenceStore:
    """The evidence store of this installation."""
    return cast("EvidenceStore", request.app.state.evidence)


def limits_of(request: Request) -> evidence.Limits:
    """What this installation allows."""
    return cast("evidence.Limits", request.app.state.evidence_limits)


StoreDep = Annotated[EvidenceStore, Depends(store_of)]
LimitsDep = Annotated[evidence.Limits, Depends(limits_of)]


@router.post("/v1/evidence", tags=["evidence"], summary="Announce an evidence file", openapi_extra=BY_CONTENT)
async def begin(
    body: contract.BeginUpload, sessions: SessionsDep, store: StoreDep, limits: LimitsDep, caller: Bringer
) -> contract.UploadState:
    """How far the file has come: a phone whose connection died asks here and goes on from `offset`."""
    return await evidence.begin_upload(sessions, store, body, uploader=caller.actor, limits=limits)


@router.patch(
    "/v1/evidence/{sha256}", tags=["evidence"], summary="Send the next part of a file", openapi_extra=BY_CONTENT
)
async def append(
    sha256: Hash, content: Bytes, sessions: SessionsDep, store: StoreDep, caller: Bringer, offset: Offset = 0
) -> contract.UploadState:
    """Parts of at most 512 KiB, without gaps; 409 names the offset to go on from. The last part completes the file."""
    return await evidence.append_chunk(sessions, store, sha256, content, start=offset, uploader=caller.actor)


@router.get(
    "/v1/evidence/{sha256}",
    tags=["evidence"],
    summary="An evidence file",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in pictures.MEDIA_TYPES}}},
)
async def give(sha256: Hash, sessions: SessionsDep, store: StoreDep, caller: Viewer) -> Response:
    """For dispatchers, and for couriers of the item; 404 for everybody else."""
    return file_response(await evidence.give_to(sessions, store, sha256, caller=caller))


def file_response(given: evidence.Given) -> Response:
    """A file to look at; kept by no cache, since who may see it can change."""
    headers = {"Cache-Control": "private, no-store", "Content-Disposition": "inline"}
    return Response(given.content, media_type=given.media_type, headers=headers)


@router.post("/v1/scans", tags=["evidence"], summary="Read the codes in a photo of a label", openapi_extra=BY_CONTENT)
async def scan(request: Request, content: Bytes, caller: Bringer) -> contract.Scans:  # noqa: ARG001
    """For phones that cannot read bar codes themselves: JPEG, PNG or WebP; nothing of the photo is kept."""
    found = await pictures.read_codes(content)
    if found is None:
        raise BadInput(
            "Không đọc được ảnh này; hãy chụp lại hoặc gõ số hiệu.",
            "This picture cannot be read; take it again or type the number.",
        )
    secret = cast("rules.Terms", request.app.state.terms).label_secret
    return contract.Scans(codes=tuple(_scanned(code, secret) for code in found))


def _scanned(code: pictures.Code, secret: str) -> contract.ScannedCode:
    read = labels.read_scan(code.text, secret)
    label = None if read is None else "right" if read.label_seen else "false" if read.label_false else None
    return contract.ScannedCode.model_validate(
        {"format": code.format, "text": code.text[:500], "s10": read.number if read else None, "label": label}
    )
