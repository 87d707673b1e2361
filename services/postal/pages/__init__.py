"""Pages of the postal service: the courier's round, the dispatcher's desk, and the citizen's tracking page."""

from fastapi import APIRouter

from services.postal.pages import assignments, casework, cash, citizen, desk, proofs, rounds, sync, tracking, verifying

router = APIRouter()
router.include_router(tracking.router)
router.include_router(verifying.router)
router.include_router(sync.router)
router.include_router(rounds.router)
router.include_router(desk.router)
router.include_router(casework.router)
router.include_router(assignments.router)
router.include_router(cash.router)
router.include_router(citizen.router)
router.include_router(proofs.router)
