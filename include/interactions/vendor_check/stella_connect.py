"""What *Check both vendors* concludes about Stella Connect."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from include.interactions.addresses import same_address
from include.interactions.survey_response import SurveyResponse
from include.interactions.vendor_check.findings import Finding, Light, Verdict, judge_reading
from include.interactions.vendor_check.kustomer import MAX_ODD, MIN_EVIDENCE


@dataclass(frozen=True, slots=True)
class PagesSeen:
    """The pages of the list of active employees, one employee each."""

    addresses: Sequence[str]
    names_a_next_page: bool
    """Whether the first page named a next one."""
    host: str | None
    """Of the link."""


@dataclass(frozen=True, slots=True)
class SentInteraction:
    """What the ledger knows of an interaction that Stella Connect took."""

    conversation_id: str
    closed_at: datetime
    sent_at: datetime


def judge_token(configured: str, accepted: str | None) -> Finding:
    """Judge which form of the token is accepted; None: neither."""
    if accepted is None:
        return judge_reading("token", Verdict.UNSEEN, "neither the bare nor the prefixed token is accepted")
    found = f"accepted: {f'with the prefix {accepted}' if accepted else 'the bare token'}"
    if accepted == configured:
        return judge_reading("token", Verdict.HOLDS, found)
    return judge_reading("token", Verdict.FAILS, f"{found}; the connection says {configured or 'bare'}")


def judge_pages(pages: PagesSeen) -> Finding:
    """Judge whether the list of employees moves on from page to page."""
    number, distinct = len(pages.addresses), len({same_address(address) for address in pages.addresses})
    found = f"{number} pages of one employee each, {distinct} different employees"
    if pages.host:
        found += f"; the link names {pages.host}"
    if not pages.names_a_next_page or number < 2:
        return judge_reading("next_page", Verdict.UNSEEN, "no second page")
    return judge_reading("next_page", Verdict.HOLDS if number == distinct else Verdict.FAILS, found)


def judge_status_filter(active: Collection[str], others: Mapping[str, Collection[str]]) -> Finding:
    """Judge whether employees with another status are missing from the active ones."""
    listed = {same_address(address) for address in active}
    counted = ", ".join(f"{len(found)} {status}" for status, found in others.items())
    both = {same_address(address) for found in others.values() for address in found} & listed
    found = f"{len(listed)} active, {counted}; {len(both)} in both"
    if both:
        return judge_reading("active", Verdict.FAILS if len(both) > MAX_ODD else Verdict.UNSEEN, found)
    return judge_reading("active", Verdict.HOLDS if any(others.values()) and listed else Verdict.UNSEEN, found)


def judge_agents(agents: Collection[str], active: Collection[str]) -> list[Finding]:
    """Judge the share of the agents of recent closings who have an approved profile."""
    listed = {same_address(address) for address in active}
    approved = sum(same_address(address) in listed for address in agents)
    found = f"{approved} of {len(agents)} agents of recent closings"
    light = Light.GREEN if approved == len(agents) and agents else Light.YELLOW if approved else Light.RED
    meaning = {
        Light.GREEN: "Nothing to do.",
        Light.YELLOW: "The others get no surveys until their profiles are approved.",
        Light.RED: "No agent gets surveys. Approve their profiles in Stella Connect.",
    }[light]
    if not agents:
        light, meaning = Light.YELLOW, "Check again when there are closings."
    verdict = Verdict.HOLDS if approved else Verdict.UNSEEN
    if not approved and listed and len(agents) >= MIN_EVIDENCE:
        verdict = Verdict.FAILS
    return [
        Finding("Stella Connect", "Who has an approved profile?", light, found, meaning),
        judge_reading("same_address", verdict, f"{found} are among {len(listed)} active employees"),
    ]


def without_profile(agents: Collection[str], active: Collection[str]) -> list[str]:
    """Return the addresses of agents without an approved profile: for people who may see them."""
    listed = {same_address(address) for address in active}
    return sorted(address for address in agents if same_address(address) not in listed)


def judge_order(numbers: Sequence[int], after: int | None, following: Sequence[int]) -> Finding:
    """Judge the numbers of one page, and of the page `after` a number of it."""
    if len(numbers) < 2 or after is None:
        return judge_reading("data_order", Verdict.UNSEEN, f"{len(numbers)} records")
    rises = all(earlier < later for earlier, later in pairwise(numbers))
    excludes = all(number > after for number in following)
    found = f"{len(numbers)} records {'rising' if rises else 'not rising'}; after excludes: {_yes(excludes)}"
    return judge_reading("data_order", Verdict.HOLDS if rises and excludes else Verdict.FAILS, found)


def judge_sent(
    sent: Sequence[SentInteraction],
    shown: Sequence[SurveyResponse],
    *,
    is_whole: bool,
    grace: timedelta,
    now: datetime,
) -> list[Finding]:
    """Compare what the ledger sent lately with what Data Return shows; absent counts only after the grace."""
    by_id = {record.conversation_id: record for record in shown if record.conversation_id}
    found = [interaction for interaction in sent if interaction.conversation_id in by_id]
    late = [
        interaction
        for interaction in sent
        if interaction.conversation_id not in by_id and now - interaction.sent_at > grace
    ]
    youngest = min((now - interaction.sent_at for interaction in found), default=None)
    hours = grace // timedelta(hours=1)
    text = f"{len(found)} of {len(sent)} sent interactions shown, {len(late)} missing after {hours} hours"
    if youngest is not None:
        text += f"; the youngest one shown is {round(youngest.total_seconds() / 60)} min old"
    if late and is_whole and not _lost_ids(sent, shown):
        delay = Verdict.FAILS
    else:
        delay = Verdict.HOLDS if found and is_whole else Verdict.UNSEEN
    return [judge_reading("data_delay", delay, text), _judge_fields(sent, shown, by_id), _judge_taken(found, by_id)]


def _judge_fields(
    sent: Sequence[SentInteraction], shown: Sequence[SurveyResponse], by_id: Mapping[str, SurveyResponse]
) -> Finding:
    ours = [by_id[interaction.conversation_id] for interaction in sent if interaction.conversation_id in by_id]
    if not ours:
        verdict = Verdict.FAILS if _lost_ids(sent, shown) else Verdict.UNSEEN
        return judge_reading(
            "data_fields", verdict, f"none of {len(shown)} records has the id of a sent interaction"
        )
    api = sum(record.requested_via == "API" for record in ours)
    closings = sum(record.closed_at is not None for record in ours)
    found = f"of {len(ours)} records: {api} with requested_via API, {closings} with closed_at"
    return judge_reading("data_fields", Verdict.HOLDS if api and closings else Verdict.FAILS, found)


def _lost_ids(sent: Sequence[SentInteraction], shown: Sequence[SurveyResponse]) -> bool:
    """Whether there are records, and none of them has an id."""
    return (
        len(sent) >= MIN_EVIDENCE
        and len(shown) >= MIN_EVIDENCE
        and not any(record.conversation_id for record in shown)
    )


def _judge_taken(found: Sequence[SentInteraction], by_id: Mapping[str, SurveyResponse]) -> Finding:
    states = Counter(by_id[interaction.conversation_id].delivery_status or "no state" for interaction in found)
    text = ", ".join(f"{number} {state}" for state, number in states.most_common(10))
    return judge_reading("taken", Verdict.HOLDS if found else Verdict.UNSEEN, text or "nothing sent is shown yet")


def list_values(topic: str, values: Counter[str]) -> Finding:
    """Say which values Data Return holds; the account's own lists cannot be read."""
    found = ", ".join(f"{value} ({number})" for value, number in values.most_common(20)) or "none"
    return Finding("Stella Connect", topic, Light.GREEN, found, "As Data Return has them; for rules and mapping.")


def _yes(value: object) -> str:
    return "yes" if value else "no"
