"""Look at Stella Connect: the token, the employees and Data Return. Nothing is sent."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from include.interactions.survey_response import CLOCK_SLACK, SurveyResponse, read_survey_response
from include.interactions.vendor_check import stella_connect as judge
from include.interactions.vendor_check.findings import Finding, Light, Unread
from include.interactions.vendor_check.stella_connect import PagesSeen, SentInteraction
from plugins.pipeline.checking.asking import Asker
from plugins.pipeline.feedback import GRACE
from plugins.stella_connect.looking import StellaConnectLook

OTHER_STATUSES = ("pending review", "confirmed", "unapproved", "created", "deactivated")
PAGES_OF_ONE = 4
DATA_DAYS = 7
MAX_DATA_PAGES, DATA_PAGE = 5, 1000
FEW = 10
"""Records of the page that shows what `after` does."""


class StellaConnectCheck:
    """One check.

    Attributes:
        findings: what was found so far.
        active: addresses of the employees with an approved profile; None if they could not be read.
    """

    def __init__(self, conn_id: str, asker: Asker) -> None:
        self.conn_id = conn_id
        self.ask = asker.ask
        self.findings: list[Finding] = []
        self.active: list[str] | None = None

    def check(self, agents: Sequence[str], sent: Sequence[SentInteraction], now: datetime) -> None:
        """Look at everything, compare with these agents and with what the ledger sent."""
        with StellaConnectLook(self.conn_id) as look:
            active = self.ask(look.active_employees)
            configured = look.jwt_prefix
            accepted = configured if not isinstance(active, Unread) else self._try_other_prefix(configured)
            if isinstance(active, Unread):
                meaning = "Check the key, the secret and jwt_prefix of the connection, and this machine's clock."
                self._add("API key and secret", Light.RED, f"no usable answer: {active.why}", meaning)
                self.findings.append(judge.judge_token(configured, accepted))
                return
            self._add(
                "API key and secret", Light.GREEN, "accepted", "Test or production: Stella Connect does not say."
            )
            self.findings.append(judge.judge_token(configured, accepted))
            self.active = active
            self._look_at_employees(look, active)
            self.findings += judge.judge_agents(agents, active)
            self._look_at_data(look, sent, now)

    def _try_other_prefix(self, configured: str) -> str | None:
        other = "" if configured else "Bearer"
        with StellaConnectLook(self.conn_id, jwt_prefix=other) as look:
            return None if isinstance(self.ask(lambda: look.list_with_status("active")), Unread) else other

    def _look_at_employees(self, look: StellaConnectLook, active: Sequence[str]) -> None:
        pages = self.ask(lambda: look.list_pages_of_one(PAGES_OF_ONE))
        if not isinstance(pages, Unread):
            addresses, host = pages
            self.findings.append(judge.judge_pages(PagesSeen(addresses, host is not None, host)))
        others = {}
        for status in OTHER_STATUSES:
            found = self.ask(partial(look.list_with_status, status))
            if not isinstance(found, Unread):
                others[status] = found
        self.findings.append(judge.judge_status_filter(active, others))

    def _look_at_data(self, look: StellaConnectLook, sent: Sequence[SentInteraction], now: datetime) -> None:
        oldest = min((interaction.sent_at for interaction in sent), default=now) - CLOCK_SLACK
        since = min(oldest, now - timedelta(days=DATA_DAYS))
        first = self.ask(partial(_responses, look, created_from=since, limit=FEW))
        if isinstance(first, Unread):
            self._add("Data Return", Light.RED, f"not readable: {first.why}", "Delivery states cannot be read.")
            return
        numbers = [record.sequence_id for record in first]
        middle = numbers[len(numbers) // 2 - 1] if len(numbers) > 1 else None
        following = self.ask(partial(_responses, look, created_from=since, limit=FEW, after=middle))
        rest = [] if isinstance(following, Unread) else [record.sequence_id for record in following]
        self.findings.append(judge.judge_order(numbers, middle, rest))
        shown: list[SurveyResponse] = []
        is_whole, after = False, None
        for _ in range(MAX_DATA_PAGES):
            page = self.ask(partial(_responses, look, created_from=since, limit=DATA_PAGE, after=after))
            if isinstance(page, Unread):
                break
            shown += page
            if len(page) < DATA_PAGE:
                is_whole = True
                break
            after = max(record.sequence_id for record in page)
        self.findings += judge.judge_sent(sent, shown, is_whole=is_whole, grace=GRACE, now=now)
        channels = Counter(record.channel for record in shown if record.channel)
        brands = Counter(record.brand for record in shown if record.brand)
        for topic, values in (("Channels", channels), ("Brands", brands)):
            self.findings.append(judge.list_values(topic, values))

    def _add(self, topic: str, light: Light, found: str, meaning: str) -> None:
        self.findings.append(Finding("Stella Connect", topic, light, found, meaning))


def _responses(
    look: StellaConnectLook, *, created_from: datetime, limit: int, after: int | None = None
) -> list[SurveyResponse]:
    records = look.data(after=after, created_at_gte=created_from, limit=limit)
    return [record for record in map(read_survey_response, records) if record is not None]
