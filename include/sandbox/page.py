"""The simulator's page: the requests that Stella Connect received."""

from datetime import UTC, datetime
from html import escape

from include.sandbox.state import Received, State

SHOWN = 200

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } p { margin: .3rem 0 1.2rem; opacity: .75; }
dl { display: flex; flex-wrap: wrap; gap: .8rem; margin: 0 0 1.4rem; }
dl div { border: 1px solid var(--line); border-radius: .6rem; padding: .5rem 1rem; min-width: 7rem; }
dt { font-size: .8rem; opacity: .75; } dd { font-size: 1.5rem; margin: 0; font-variant-numeric: tabular-nums; }
dd.bad { color: #c62828; font-weight: 600; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .87rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .7rem .35rem 0; text-align: left; }
td { vertical-align: top; }
th { font-size: .8rem; opacity: .75; } td { overflow-wrap: anywhere; } td.time { white-space: nowrap; }
tr.duplicate td { background: color-mix(in srgb, #c62828 14%, transparent); }
"""


def page(state: State) -> str:
    """Return the whole page, every received text escaped."""
    counts = state.counts()
    waiting = sum(
        1 for conversation in state.organisation.conversations.values() if conversation.expected == "sent"
    )
    figures = "".join(
        f'<div><dt>{label}</dt><dd class="{"bad" if bad and number else ""}">{number:,}</dd></div>'
        for label, number, bad in (
            ("Accepted", counts["accepted"], False),
            ("Expected in total", waiting, False),
            ("Do not send", counts["do_not_send"], False),
            ("Refused", counts["refused"], True),
            ("Duplicates", counts["duplicates"], True),
        )
    )
    company = escape(state.organisation.name)
    latest = state.received[-SHOWN:][::-1]
    rows = (
        "".join(_row(received) for received in latest)
        or '<tr><td colspan="7">No requests yet. They appear with the first release.</td></tr>'
    )
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Received (UTC)", "Interaction", "Customer", "Employee", "Channel", "Delivery", "Tags")
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="3"><title>Simulator: {counts["accepted"]} received</title>
<style>{_STYLE}</style></head><body>
<h1>Requests that Stella Connect received</h1>
<p>This is a simulator: no customer gets a survey. {company}, the latest {SHOWN} requests, newest first.</p>
<dl>{figures}</dl>
<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
</body></html>"""


def _row(received: Received) -> str:
    request = received.request
    instant = datetime.fromtimestamp(received.received_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    id_ = escape(request["ext_interaction_id"])
    if url := request.get("external_url"):
        id_ = f'<a rel="noreferrer" href="{escape(url)}">{id_}</a>'
    employee = request["employee"].get("email") or request["employee"].get("custom_id")
    cells = (
        id_,
        f"{escape(request['customer']['name'])}<br>{escape(request['customer']['email'])}",
        escape(employee or ""),
        escape(request["channel"]),
        escape(received.delivery_status) + (" · <strong>duplicate</strong>" if received.duplicate else ""),
        escape(", ".join(request.get("tags") or [])),
    )
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{" class=duplicate" if received.duplicate else ""}><td class="time">{instant}</td>{row}</tr>'
