"""Baselines: what people write first. One request at a time, a new connection for each, no ledger."""

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from typing import Any

import jwt
import requests

from include.interactions.utc import utc_text
from include.sandbox.options import KUSTOMER_KEY, STELLA_KEY, STELLA_SECRET
from scripts.stack.sandbox import RunningSandbox

AS_KUSTOMER = {"Authorization": f"Bearer {KUSTOMER_KEY}"}
AS_STELLA = {"x-api-key": STELLA_KEY}
DIRECTLY = {"http": "", "https": ""}
TAP_PAGE_SIZE = 100
LAST_PAGE = 100


def read_all(sandbox: RunningSandbox, closed_from: datetime, closed_to: datetime, parts: int) -> dict[str, Any]:
    """Read all conversations and their customers, in `parts` of the span so that none meets the last page."""
    began, cpu_began = time.perf_counter(), time.process_time()
    found: dict[str, dict[str, Any]] = {"conversation": {}, "customer": {}}
    pages, step = 0, (closed_to - closed_from) / parts
    for context, records in found.items():
        for part in range(parts):
            for rows in _search(sandbox, context, closed_from + part * step, closed_from + (part + 1) * step):
                pages += 1
                records.update({row["id"]: row for row in rows})
    cpu, seconds = time.process_time() - cpu_began, time.perf_counter() - began
    return {"rows": len(found["conversation"]), "searches": pages, "seconds": seconds, "cpu_seconds": cpu}


def _search(
    sandbox: RunningSandbox, context: str, closed_from: datetime, closed_to: datetime
) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of 100 rows, at most 100 pages, where Kustomer ends. Over the limit wait for the next minute."""
    body = {
        "queryContext": context,
        "and": [
            {"conversation_status": {"equals": "done"}},
            {"conversation_last_done_created_at": {"gte": utc_text(closed_from)}},
            {"conversation_last_done_created_at": {"lt": utc_text(closed_to)}},
        ],
        "sort": [{f"{context}_updated_at": "asc"}],
    }
    for page in range(1, LAST_PAGE + 1):
        url = f"{sandbox.kustomer_url}/v1/customers/search?page={page}&pageSize={TAP_PAGE_SIZE}"
        while (
            answer := requests.post(url, json=body, headers=AS_KUSTOMER, timeout=60, proxies=DIRECTLY)
        ).status_code == HTTPStatus.TOO_MANY_REQUESTS:
            time.sleep(max(0.0, float(answer.headers["x-ratelimit-reset"]) - time.time()))
        answer.raise_for_status()
        found = answer.json()
        yield found["data"]
        if not found["links"]["next"]:
            return


def look_up_and_post(sandbox: RunningSandbox, conversation_id: str) -> bool:
    """Look up conversation, customer, user and employee, and the POST; whether it was taken.

    What plain look-ups cannot resolve (an agent who has left, an odd address) stays unsent.
    """
    try:
        conversation = _kustomer(sandbox, f"conversations/{conversation_id}")
        customer = _kustomer(sandbox, f"customers/{conversation['relationships']['customer']['data']['id']}")
        user = _kustomer(sandbox, f"users/{conversation['attributes']['assignedUsers'][0]}")
        employee = an_employee(sandbox, user["attributes"]["email"])
        address = customer["attributes"]["emails"][0]["email"]
        return post(sandbox, feedback_request(conversation_id, address, employee))
    except (requests.HTTPError, LookupError):
        return False


def an_employee(sandbox: RunningSandbox, address: str = "") -> str:
    """Return the address of the first agent with an approved profile, of all or of those found by `address`."""
    warnings.filterwarnings("ignore", message="The HMAC key is")  # the sandbox's secret is short
    token = jwt.encode({"iat": int(time.time())}, STELLA_SECRET, algorithm="HS256")
    employees = requests.get(
        f"{sandbox.stella_url}/v2/employees",
        params={"q": address, "status": "active"},
        headers={**AS_STELLA, "Authorization": token},
        timeout=60,
        proxies=DIRECTLY,
    )
    employees.raise_for_status()
    return str(employees.json()["employees"][0]["email"])


def post(sandbox: RunningSandbox, body: dict[str, Any]) -> bool:
    """Make one POST and tell whether it was taken."""
    return requests.post(
        f"{sandbox.stella_url}/v1/requests", json=body, headers=AS_STELLA, timeout=60, proxies=DIRECTLY
    ).ok


def post_in_batches(sandbox: RunningSandbox, bodies: list[dict[str, Any]], senders: int, batch: int) -> bool:
    """POST by so many threads, batch after batch, each until its last answer; whether all were taken."""
    with ThreadPoolExecutor(senders) as pool:
        parts = (bodies[first : first + batch] for first in range(0, len(bodies), batch))
        return all(all(pool.map(lambda body: post(sandbox, body), part)) for part in parts)


def feedback_request(conversation_id: str, customer: str, employee: str) -> dict[str, Any]:
    """Return the least that Stella Connect takes."""
    return {
        "channel": "email",
        "customer": {"name": "Somebody", "email": customer},
        "employee": {"email": employee},
        "ext_interaction_id": conversation_id,
    }


def _kustomer(sandbox: RunningSandbox, path: str) -> dict[str, Any]:
    answer = requests.get(f"{sandbox.kustomer_url}/v1/{path}", headers=AS_KUSTOMER, timeout=60, proxies=DIRECTLY)
    answer.raise_for_status()
    record: dict[str, Any] = answer.json()["data"]
    return record
