"""Rules simulated over the closings of a ledger on PostgreSQL, as the action *Simulate rules* does it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, bindparam, update

from include.interactions.closing_facts import ClosingFacts
from include.interactions.settings import load_settings
from include.interactions.simulation import Simulation, simulate
from include.interactions.survey_plan import SurveyPlanner
from include.ledger import Ledger, connect
from include.ledger.reports.rules import closings_to_simulate
from include.ledger.schema import interaction
from scripts.benchmark.figure import Figure
from scripts.benchmark.filled import fill
from scripts.stack import postgres

MAX_SECONDS = 5.0
DAYS = 30
PLANS, CHANNELS = ("free", "pro", "team"), ("chat", "email", "voice", "sms")
VARIANTS = len(PLANS) * len(CHANNELS)
RULES = [
    {"name": "colleagues", "when": {"customer_domain": ["example.org"]}, "then": {"survey": "skip"}},
    {"name": "short", "when": {"channel": ["chat"], "not": {"messages_at_least": 3}}, "then": {"survey": "count"}},
    {"name": "chat", "when": {"channel": ["chat"]}, "then": {"seconds_until_send": 900}},
    {"name": "free", "when": {"custom.planStr": ["free"]}, "then": {"sample_percent": 20}},
    {"name": "by machines", "when": {"closed_by": "automation"}, "then": {"survey": "skip"}},
]


def measure(*, quick: bool) -> Iterator[Figure]:
    """Simulate five rules against the settings without rules."""
    interactions = 5_000 if quick else 100_000
    with postgres.running() as server:
        engine, now = connect(server.create_database()), datetime.now(UTC)
        Ledger(engine).migrate()
        fill(engine, interactions, until=now, days=DAYS)
        _add_facts(engine)
        began = time.perf_counter()
        found = _simulate(engine, now)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        with engine.connect() as connection:
            rows = sum(facts is not None for facts in closings_to_simulate(connection, now - timedelta(days=DAYS)))
        reading = time.perf_counter() - began
        engine.dispose()
    if not found.closings == rows > interactions * 0.9 or len([rule for rule in found.rules if rule.closings]) < 4:
        raise RuntimeError(f"simulated {found}")
    yield Figure(
        "simulation",
        f"{len(RULES)} rules over {interactions:,} closings, PostgreSQL",
        f"{seconds:.1f} s",
        f"≤ {MAX_SECONDS:.0f} s",
        seconds <= MAX_SECONDS,
        f"{reading:.1f} s to read them alone",
        f"{found.closings:,} judged twice, by the rules and without; {found.without_facts:,} without facts.",
    )


def _simulate(engine: Engine, now: datetime) -> Simulation:
    today, proposed = (SurveyPlanner(load_settings(settings, {})) for settings in ({}, {"rules": RULES}))
    with Ledger(engine).read() as connection:
        return simulate(closings_to_simulate(connection, now - timedelta(days=DAYS)), today, proposed)


def _add_facts(engine: Engine) -> None:
    """Give each closing facts as extraction keeps them, a dozen different ones."""
    variants = [
        {"number": number, "facts": _facts(PLANS[number % len(PLANS)], CHANNELS[number % len(CHANNELS)], number)}
        for number in range(VARIANTS)
    ]
    of_variant = interaction.c.id % VARIANTS == bindparam("number")
    with engine.begin() as connection:
        for variant in variants:
            connection.execute(update(interaction).where(of_variant).values(facts=variant["facts"]), variant)


def _facts(plan: str, channel: str, number: int) -> str:
    return ClosingFacts(
        "",
        datetime.now(UTC),
        {"custom.planStr": (plan,), "channel": (channel,), "tag": ("billing", "delivery"), "language": ("fr_CA",)},
        customer_domain="example.com",
        closed_by="person" if number % 5 else "automation",
        direction="in",
        messages=number % 6,
    ).to_text()
