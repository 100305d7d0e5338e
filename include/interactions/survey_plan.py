"""What the settings make of an eligible closing: whether there is a survey, how it counts, and when.

Delay, rule and mapping are fixed when the closing is recorded. Exclusions are judged again before the send, since
tags arrive late.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from include.interactions.closing_facts import ClosingFacts, facts_from_text
from include.interactions.gathering import facts_now, gather_facts
from include.interactions.interaction import Interaction
from include.interactions.mapping import FIELDS, FieldName, Filing, Lookup, Unmapped, mentions_of
from include.interactions.names import Kind, Mention, Names, custom_sources, kinds_needed, unknown_names
from include.interactions.open_hours import OpenHours
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Customer, User
from include.interactions.rule_book import Decision, RuleBook, stricter
from include.interactions.rules import Survey, mentions_of_rules
from include.interactions.sampling import stable_fraction
from include.interactions.send_window import next_send_time, zone_of
from include.interactions.settings import Settings, SettingsError

UNMAPPED: dict[FieldName, Reason] = {
    "channel": Reason.UNMAPPED_CHANNEL,
    "brand": Reason.UNMAPPED_BRAND,
    "language": Reason.UNMAPPED_LANGUAGE,
    "country": Reason.UNMAPPED_COUNTRY,
}


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """What becomes of one closing."""

    due_at: datetime
    first_due_at: datetime
    """Before a send window moved it; the expiry counts from it."""
    survey: Literal["send", "count"] = "send"
    rule: str | None = None
    skip: Reason | None = None
    detail: str | None = None
    filing: Filing | None = None
    """None if the closing is skipped."""


class SurveyPlanner:
    """The settings of a run, ready to judge closings by.

    Args:
        names: Kustomer's, as far as `kinds_needed_by(settings)` asks for them.
        hours: the open hours of the send window; None: there is no window.

    Raises:
        SettingsError: a setting names a brand, queue, team, sub-status or tag that Kustomer does not have.
    """

    def __init__(self, settings: Settings, names: Names | None = None, hours: OpenHours | None = None) -> None:
        names = names or Names()
        mentions = list(mentions_of_settings(settings))
        if unknown := unknown_names(mentions, names):
            raise SettingsError(
                f"Settings: {'; '.join(unknown)}. Names and ids are compared without regard to case."
            )
        self.names = names
        self.custom = custom_sources(mentions)
        self._settings = settings
        self._hours = hours
        self._book = RuleBook(
            settings.rules,
            fields=_fields(settings),
            properties=settings.custom_properties,
            seconds_until_send=settings.seconds_until_send,
            names=names,
        )

    @property
    def rule_names(self) -> list[str]:
        """The names of the rules, in order."""
        return [rule.name for rule in self._settings.rules]

    def decide(self, facts: ClosingFacts) -> Decision:
        """Return what rules and mapping say about the closing."""
        return self._book.decide(facts)

    def plan(
        self,
        facts: ClosingFacts,
        *,
        time_zone: str | None,
        now: datetime,
        closed_within: timedelta = timedelta(0),
    ) -> SurveyPlan:
        """Decide what becomes of the closing; `time_zone` is the customer's. A moved due time lies after `now`.

        `closed_within` is how long after `closed_at` the closing may have been.

        An interaction that only counts sends no mail, so no window moves it.
        """
        decision = self._book.decide(facts)
        due_at = facts.closed_at + closed_within + timedelta(seconds=decision.seconds_until_send)
        if decision.survey == "skip":
            return SurveyPlan(
                due_at, due_at, rule=decision.rule, skip=Reason.RULE, detail=f"rule {decision.rule!r}"
            )
        if isinstance(decision.filing, Unmapped):
            reason, detail = UNMAPPED[decision.filing.name], decision.filing.detail
            return SurveyPlan(due_at, due_at, rule=decision.rule, skip=reason, detail=detail)
        mails = decision.survey == "send"
        return SurveyPlan(
            due_at=self.next_due(facts, due_at, time_zone=time_zone, now=now) if mails else due_at,
            first_due_at=due_at,
            survey=decision.survey,
            rule=decision.rule,
            detail="outside the sample" if decision.outside_sample else None,
            filing=decision.filing,
        )

    def settle(
        self,
        interaction: Interaction,
        record: Conversation,
        customer: Customer,
        users: Mapping[str, User],
        now: datetime,
    ) -> Interaction:
        """Return the eligible interaction with its plan; if it is skipped, without the customer's address."""
        facts = gather_facts(
            record,
            customer,
            agent=users[interaction.agent_id or ""],
            closer=users.get(record.closed_by or ""),
            address=interaction.customer_email or "",
            channel_of=self._settings.channel_of,
            custom=self.custom,
        )
        time_zone = customer.details.time_zone
        plan = self.plan(facts, time_zone=time_zone, now=now, closed_within=record.closed_within)
        return _apply(plan, interaction, facts, time_zone)

    def judge_again(self, facts: ClosingFacts, recorded: Survey) -> tuple[Survey, str | None]:
        """Tell whether there may still be a survey, and the rule that says so; what was excluded stays excluded."""
        now, rule = self._book.judge_again(facts)
        return stricter(now, recorded), rule

    def next_due(self, facts: ClosingFacts, due_at: datetime, *, time_zone: str | None, now: datetime) -> datetime:
        """Return the due time inside the send window; it only moves forward.

        If the window does not open before the expiry, `on_expired` decides at the opening. If it never opens, the
        due time stays as it is, and `on_expired` decides after the expiry.
        """
        if self._hours is None or self._settings.send_window is None:
            return due_at
        fraction = stable_fraction("spread", facts.conversation_id, facts.closed_at)
        spread = timedelta(minutes=self._settings.send_window.spread_minutes)
        zone = zone_of(self._hours, time_zone)
        moved = next_send_time(self._hours, zone, due_at, now=now, fraction=fraction, spread=spread)
        return max(due_at, moved) if moved else due_at + timedelta(seconds=self._settings.expire_after_seconds)

    def judge_now(self, interaction: Interaction, conversation: Conversation) -> tuple[Survey, str | None]:
        """Judge a planned interaction again, with its conversation as it is now; customer and agent as recorded."""
        recorded: Survey = interaction.survey or "send"
        if not self._settings.rules or interaction.facts is None:
            return recorded, None
        agent = (interaction.agent_id, interaction.agent_email, interaction.agent_name)
        facts = facts_from_text(
            interaction.facts,
            conversation_id=interaction.conversation_id,
            closed_at=interaction.closed_at,
            agent=tuple(text for text in agent if text),
        )
        now = facts_now(facts, conversation, channel_of=self._settings.channel_of, custom=self.custom)
        return self.judge_again(now, recorded)

    def put_off_until(self, interaction: Interaction, now: datetime) -> datetime | None:
        """Return the new due time if the send window is closed now; None if the interaction may be sent."""
        if self._hours is None or interaction.any_time or self.is_open(now, interaction.time_zone):
            return None
        facts = ClosingFacts(interaction.conversation_id, interaction.closed_at)
        later = self.next_due(facts, interaction.due_at, time_zone=interaction.time_zone, now=now)
        return later if later > now else None

    def is_open(self, at: datetime, time_zone: str | None) -> bool:
        """Tell whether a survey may be sent at that instant."""
        return self._hours is None or self._hours.is_open(at, zone_of(self._hours, time_zone))


def _apply(plan: SurveyPlan, interaction: Interaction, facts: ClosingFacts, time_zone: str | None) -> Interaction:
    fixed: dict[str, Any] = {"due_at": plan.due_at, "rule": plan.rule, "facts": facts.to_text()}
    if plan.detail:
        fixed["detail"] = f"{interaction.detail}; {plan.detail}" if interaction.detail else plan.detail
    if plan.skip is not None or plan.filing is None:
        return replace(interaction, **fixed, skip=plan.skip, customer_name=None, customer_email=None, tags=())
    return replace(
        interaction,
        **fixed,
        first_due_at=plan.first_due_at if plan.first_due_at != plan.due_at else None,
        survey="count" if plan.survey == "count" else None,
        channel=plan.filing.channel,
        brand=plan.filing.brand,
        language=plan.filing.language,
        country=plan.filing.country,
        custom_properties=plan.filing.custom_properties,
        time_zone=time_zone,
    )


def _fields(settings: Settings) -> dict[FieldName, str | Lookup | None]:
    return {name: getattr(settings, name) for name in FIELDS}


def mentions_of_settings(settings: Settings) -> Iterator[Mention]:
    """Yield where mapping and rules mention sources."""
    yield from mentions_of("", _fields(settings), settings.custom_properties)
    yield from mentions_of_rules(settings.rules)


def kinds_needed_by(settings: Settings) -> dict[Kind, str]:
    """Return the lists of names that the settings need from Kustomer, each with the first place that needs it."""
    return kinds_needed(mentions_of_settings(settings))
