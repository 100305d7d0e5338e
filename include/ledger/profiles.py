"""The early warning: which planned interactions have an agent without an approved profile."""

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, or_, select, update

from include.interactions.addresses import same_address
from include.interactions.states import State
from include.ledger.batches import batches
from include.ledger.schema import interaction, state_is


def agents_waiting(connection: Connection) -> dict[str, int]:
    """Planned interactions by their agent's address, trimmed and case-folded."""
    waiting: Counter[str] = Counter()
    for address, number in _spellings(connection):
        waiting[same_address(address)] += number
    return dict(waiting)


def mark(connection: Connection, approved: Collection[str], not_approved: Collection[str]) -> dict[str, int]:
    """Mark planned interactions; returns those of each not approved agent who has any.

    Agents in neither list keep the mark they have: a failed look-up says nothing about anybody.
    """
    verdict = dict.fromkeys(map(same_address, not_approved), "not_approved")
    verdict |= dict.fromkeys(map(same_address, approved), "approved")
    spellings: dict[str, list[str]] = {"approved": [], "not_approved": []}
    warned: Counter[str] = Counter()
    for address, number in _spellings(connection):
        word = verdict.get(same_address(address))
        if word is None:
            continue
        spellings[word].append(address)
        if word == "not_approved":
            warned[same_address(address)] += number
    for word, addresses in spellings.items():
        for some in batches(addresses):
            connection.execute(_MARK, {"word": word, "addresses": some})
    return dict(warned)


def _spellings(connection: Connection) -> list[tuple[str, int]]:
    # Folded here, not in SQL: SQLite's lower() knows ASCII only, PostgreSQL's depends on the server's locale.
    rows = connection.execute(
        select(interaction.c.agent_email, func.count())
        .where(state_is(State.PLANNED))
        .group_by(interaction.c.agent_email)
    )
    return [(address, number) for address, number in rows]


_UNMARKED = (
    select(interaction.c.id)
    .where(
        state_is(State.PLANNED),
        interaction.c.agent_email.in_(bindparam("addresses", expanding=True)),
        or_(interaction.c.agent_profile.is_(None), interaction.c.agent_profile != bindparam("word")),
    )
    .with_for_update(skip_locked=True)  # what is just being claimed needs no warning any more
    .cte("unmarked")
)
_MARK = (
    update(interaction).where(interaction.c.id.in_(select(_UNMARKED.c.id))).values(agent_profile=bindparam("word"))
)
