"""`python -m scripts.analytics_pictures`: draw the pictures of docs/analytics.md from invented data.

Each picture shows the query above it: the columns of text name a bar, the last one is its length.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import text

from include.ledger import Ledger, connect
from scripts.benchmark.filled import fill

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "analytics.md"
UNTIL = datetime(2026, 3, 2, 12, tzinfo=UTC)
INTERACTIONS = 60_000
WIDTH, BAR, LABEL = 640, 22, 210
HEIGHT = 180
_QUERY = re.compile(r"^```sql\n(.*?)^```$(?:\n\n!\[([^\]]*)\]\(([^)]+)\))?", re.DOTALL | re.MULTILINE)
_RULES = "UPDATE interaction SET rule = CASE id % 5 WHEN 0 THEN 'vip' WHEN 1 THEN 'chat' WHEN 2 THEN 'chat' END"
_STYLE = "<style>text{font:12px sans-serif;fill:#64748b}rect{fill:#3b5d8f}</style>"


def queries(page: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each query of the page with the words and the address of its picture, if it has one."""
    for found in _QUERY.finditer(page):
        yield found[1], found[2], found[3]


def bars(title: str, rows: Sequence[Sequence[Any]]) -> str:
    """Draw a bar for each row, from top to bottom."""
    most = max(float(row[-1]) for row in rows) or 1
    room = WIDTH - LABEL - 60
    parts = []
    for number, row in enumerate(rows):
        top, length = number * BAR, float(row[-1]) / most * room
        name = ", ".join(value for value in row if isinstance(value, str))
        parts += [
            f'<text x="{LABEL - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top + 3}" width="{length:.1f}" height="{BAR - 7}" rx="2"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{top + 15}">{row[-1]:g}</text>',
        ]
    return _svg(title, len(rows) * BAR, parts)


def columns(title: str, rows: Sequence[Sequence[Any]]) -> str:
    """Draw a column for each row, from left to right; those below zero hang."""
    values = [float(row[-1]) for row in rows]
    most, least = max(0.0, *values), min(0.0, *values)
    step, scale = (WIDTH - 40) / len(rows), (HEIGHT - 40) / ((most - least) or 1)
    zero = 10 + most * scale
    parts = [
        f'<text x="36" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>' for y, value in ((10, most), (zero, 0))
    ]
    for number, value in enumerate(values):
        top, left = min(zero, zero - value * scale), 40 + number * step
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step - 3:.1f}" height="{abs(value) * scale:.1f}" rx="2"/>'
        )
    for number, anchor, x in ((0, "start", 40), (-1, "end", WIDTH)):
        parts.append(f'<text x="{x}" y="{HEIGHT - 4}" text-anchor="{anchor}">{escape(str(rows[number][0]))}</text>')
    return _svg(title, HEIGHT, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", _STYLE, *parts, "</svg>", ""])


def main() -> int:
    """Draw all pictures."""
    with TemporaryDirectory() as directory:
        engine = connect(f"sqlite:///{directory}/ledger.db")
        Ledger(engine).migrate()
        fill(engine, INTERACTIONS, until=UNTIL)
        with engine.begin() as connection:
            connection.execute(text(_RULES))
        with engine.connect() as connection:
            for query, title, address in queries(PAGE.read_text()):
                if title and address:
                    result = connection.execute(text(query))
                    draw = columns if next(iter(result.keys())).endswith("_day") else bars
                    picture = PAGE.parent / address
                    picture.parent.mkdir(parents=True, exist_ok=True)
                    picture.write_text(draw(title, result.all()))
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
