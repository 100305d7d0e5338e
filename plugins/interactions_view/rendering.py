"""Rendering to HTML: templates, links, times and numbers."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.interactions.reasons import Reason
from include.interactions.states import State
from include.interactions.utc import utc_text
from plugins.interactions_view import words
from plugins.interactions_view.people import seen_by
from plugins.runtime.organisations import Organisation, organisations

HERE = Path(__file__).parent


class Links:
    """Addresses of the page, its assets and Airflow, below the path at which Airflow is served."""

    def __init__(self, request: Request) -> None:
        self.root: str = request.scope.get("root_path", "")
        self.airflow: str = request.scope.get("app_root_path", "")
        self._organisation: str | None = request.path_params.get("organisation")
        self._path = request.url.path
        self._query = request.query_params

    def to(self, path: str, **query: Any) -> str:
        """Return the address of a view; empty parameters are left out."""
        within = f"of/{quote(self._organisation, safe='')}/" if self._organisation else ""
        return f"{self.root}/{within}{path}{_query(_pairs(query))}"

    def of(self, organisation: Organisation) -> str:
        """Return the address of an organisation's overview."""
        return f"{self.root}/of/{organisation.name}/" if len(organisations()) > 1 else f"{self.root}/"

    def here(self, **changes: Any) -> str:
        """Return this view with other parameters; every change except the page number leads to page 1."""
        kept = [(key, value) for key, value in self._query.multi_items() if key not in {*changes, "page"} and value]
        return f"{self._path}{_query([*kept, *_pairs(changes)])}"

    def static(self, name: str) -> str:
        """Return the address of an asset, which changes with its content."""
        return f"{self.root}/static/{name}?v={_version(name)}"

    def dag(self, dag_id: str) -> str:
        """Return the address of a DAG in Airflow."""
        return f"{self.airflow}/dags/{quote(dag_id, safe='')}"

    def run(self, dag_id: str, run_id: str) -> str:
        """Return the address of a run in Airflow."""
        return f"{self.dag(dag_id)}/runs/{quote(run_id, safe='')}"


def page(request: Request, name: str, status: int = 200, **found: Any) -> HTMLResponse:
    """Render a template with a view's values, masked unless the visitor may see personal data."""
    visitor = found.get("visitor")
    shown = {name: value if name == "visitor" else seen_by(visitor, value) for name, value in found.items()}
    organisation = getattr(request.state, "interactions_of", None) or organisations()[0]
    template = _environment().get_template(name)
    text = template.render(
        link=Links(request),
        tabs=request.app.state.tabs,
        organisation=organisation,
        State=State,
        Reason=Reason,
        words=words,
        **shown,
    )
    return HTMLResponse(text, status)


def instant(moment: datetime | str | None, shape: str = "full") -> Markup:
    """Write a time in UTC; `page.js` shows it in the time zone that the visitor chose in Airflow.

    `moment` is a time or, from a stored report, its ISO text. Shapes: full, short, day, clock.
    """
    if moment is None:
        return Markup('<span class="none">–</span>')
    moment = (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)
    shown = {"full": "%-d %b %Y, %H:%M:%S", "short": "%-d %b, %H:%M", "day": "%-d %b %Y", "clock": "%H:%M"}[shape]
    return Markup('<time datetime="{}" data-shape="{}" title="{} UTC">{}</time>').format(
        utc_text(moment),
        shape,
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        moment.strftime(shown),
    )


def duration(span: timedelta | None) -> str:
    """Write a duration in at most two units: "1 h 5 min"."""
    if span is None:
        return "–"
    seconds = abs(round(span.total_seconds()))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"


def number(value: float, digits: int = 0) -> str:
    """Write a number with commas between thousands."""
    return f"{value:,.{digits}f}"


def share(part: float, whole: float) -> str:
    """Write a share in per cent; a dash if the whole is 0. "100 %" and "0 %" only for all and nothing."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<1 %"
    if 99 < percent < 100:
        return ">99 %"
    return f"{percent:.0f} %"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,  # for every file: the values come from outside
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": instant, "duration": duration, "number": number}
    environment.globals |= {"share": share}
    return environment


@lru_cache(maxsize=64)
def _version(name: str) -> str:
    return hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:10]


def _pairs(query: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = []
    for key, value in query.items():
        values = value if isinstance(value, list | tuple | set | frozenset) else [value]
        pairs += [(key.rstrip("_"), str(entry)) for entry in values if entry not in (None, "")]
    return pairs


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    text = urlencode(list(pairs))
    return f"?{text}" if text else ""
