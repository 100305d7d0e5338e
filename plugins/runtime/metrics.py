"""Airflow metrics, each with the tag `organisation`.

Backends without tags (plain StatsD) drop it: with several organisations switch tags on (docs/operations.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from airflow.sdk.observability import stats

from plugins.runtime.organisations import Organisation


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured. A name that ends in `<word>` stands for one metric for each such word."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str


METRICS = (
    Metric("interactions.planned", "counter", "Closings that extraction planned."),
    Metric("interactions.sent", "counter", "Stella Connect took them."),
    Metric("interactions.do_not_send", "counter", "Sent to be counted, without a survey."),
    Metric("interactions.rejected", "counter", "Stella Connect refused them."),
    Metric("interactions.unknown", "counter", "The outcome is unknown."),
    Metric("interactions.not_taken", "counter", "Stella Connect did not take them; they are planned again."),
    Metric("interactions.held", "counter", "Kustomer could not be asked again; they wait for the next run."),
    Metric("interactions.opt_out_masked", "counter", "Held because Kustomer masks their do-not-send attribute."),
    Metric("interactions.lost", "counter", "The claim ended before the outcome was written."),
    Metric("interactions.skipped.<reason>", "counter", "Skipped, by reason."),
    Metric("interactions.cancelled.<reason>", "counter", "Cancelled, by reason."),
    Metric("interactions.late_seconds", "gauge", "The latest send of the last run, in seconds after its due time."),
    Metric("ledger.planned", "gauge", "Interactions that wait, every 15 minutes."),
    Metric("ledger.overdue", "gauge", "Of these, those due for longer than the grace."),
    Metric("ledger.oldest_overdue_seconds", "gauge", "How long the oldest of these has been due."),
    Metric("ledger.held", "gauge", "Interactions that a release holds at this moment."),
    Metric("ledger.unknown", "gauge", "Interactions with an unknown outcome."),
    Metric("alarms.<alarm>", "gauge", "1 while the alarm lasts."),
    Metric("feedback.recorded", "counter", "Records of Data Return that were new or changed."),
    Metric("feedback.answered", "counter", "Of these, those with an answer."),
    Metric("feedback.settled", "counter", "Unknown outcomes that Data Return showed as sent."),
    Metric("feedback.resent", "counter", "Absent ones that were planned again (`on_absent`)."),
    Metric("feedback.unknown", "gauge", "Unknown outcomes that are left."),
    Metric("feedback.unknown_past_grace", "gauge", "Of these, those past the grace of 6 hours."),
    Metric("feedback.not_shown", "gauge", "Sent interactions that Data Return does not show after the grace."),
    Metric("feedback.shown_twice", "gauge", "Interactions that Data Return shows more than once."),
    Metric("answers.written", "counter", "Answers written to Kustomer, each target counted."),
    Metric("answers.gone", "counter", "Answers whose conversation no longer exists there."),
    Metric("answers.failed", "counter", "Answers that could not be written: a person must look."),
    Metric("answers.pending", "gauge", "Answers that wait to be written."),
    Metric("recovery.planned", "counter", "Actions that bad answers call for."),
    Metric("recovery.done", "counter", "Of these, those that were taken."),
    Metric("recovery.failed", "counter", "Of these, those that a person must look at."),
)
"""Every metric of the pipeline; the table in docs/operations.md follows from it."""


def count(name: str, number: int, organisation: Organisation) -> None:
    """Add to a counter."""
    stats.incr(name, number, tags={"organisation": organisation.name})


def set_gauge(name: str, number: float, organisation: Organisation) -> None:
    """Set a gauge."""
    stats.gauge(name, number, tags={"organisation": organisation.name})


def count_interactions(counts: Mapping[str, Any], organisation: Organisation) -> None:
    """Add each count to `interactions.<name>`, such as `interactions.sent`, `interactions.skipped.merged`.

    They are counted where they happen: a task that is tried again counts what is new.
    """
    for name, number in counts.items():
        if isinstance(number, int):
            count(f"interactions.{name}", number, organisation)
