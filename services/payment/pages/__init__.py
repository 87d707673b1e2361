"""Pages of the payment service: the finance desk for officers, and the pay page and receipt check for citizens."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from kit.db import UnitOfWorkRoute
from services.payment.pages.accounts import router as accounts
from services.payment.pages.bills import router as bills
from services.payment.pages.books import router as books
from services.payment.pages.breaks import router as breaks
from services.payment.pages.citizens import router as citizens
from services.payment.pages.desk import router as desk
from services.payment.pages.papers import router as papers
from services.payment.pages.refunds import router as refunds
from services.payment.pages.tieout import router as tieout

router = APIRouter(route_class=UnitOfWorkRoute, include_in_schema=False, default_response_class=HTMLResponse)
for _room in (desk, accounts, bills, refunds, papers, tieout, breaks, books, citizens):
    router.include_router(_room)

__all__ = ["router"]
