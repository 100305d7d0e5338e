"""Vendors: the last check of both accounts, line by line."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.ledger.reports.vendor_check import last_check
from plugins.interactions_view.access import VisitorDep
from plugins.interactions_view.rendering import page
from plugins.interactions_view.source import source

router = APIRouter()


@router.get("/vendors")
def show(request: Request, visitor: VisitorDep) -> HTMLResponse:
    """Show what the last check found. It names no person: the agents have a view of their own."""
    with source(visitor.organisation).read() as connection:
        check = last_check(connection)
    return page(request, "vendors.html", view="vendors", visitor=visitor, check=check)
