"""The ledger: the one thing that changes the state of an interaction."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, ProgrammingError

from include.interactions.interaction import ClaimedInteraction, Interaction
from include.interactions.reasons import Reason
from include.interactions.span import Watermark
from include.interactions.states import State
from include.interactions.survey_response import SurveyResponse
from include.ledger import (
    admin,
    claiming,
    closings,
    data_return,
    facts,
    profiles,
    queries,
    release,
    settling,
    survey_responses,
    watermark,
)
from include.ledger.claiming import Recovered
from include.ledger.closings import Recorded
from include.ledger.data_return import Cursor
from include.ledger.engine import read_only, reading, stepping
from include.ledger.facts import Fact
from include.ledger.maintenance import restoring, use
from include.ledger.migrate import is_older, migrate
from include.ledger.queries import Backlog, Counts, Event
from include.ledger.settling import UnknownOutcome
from include.ledger.survey_responses import Learnt, Shown


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)


class Ledger:
    """The durable table of interactions, their state and every transition.

    Each method is one committed transaction (`record`: one for each batch; an outcome on PostgreSQL: one for each
    state it may find), or changes nothing and raises `sqlalchemy.exc.SQLAlchemyError`. All but a claim are on the
    disk when they return, if the server has not been told otherwise.
    Safe to use from several threads and processes at once.
    `by` names who acts: a run, or a person.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._reader = reading(engine)
        self._stepper = stepping(engine)
        self._now = now

    def migrate(self) -> None:
        """Bring the schema up to date; cheap when it is."""
        migrate(self._engine)

    def enter(self, user: str) -> None:
        """Begin to use the ledger through the Airflow connection `user`; brings an older schema up to date.

        Raises:
            LedgerRefusedError: it is another connection's, or retired.
        """
        try:
            with self._reader.begin() as connection:
                older = is_older(connection)
                if not older and use.is_user(connection, user):
                    return
        except (OperationalError, ProgrammingError):  # an empty database has no such table
            older = True
        if older:
            self.migrate()
        with self._engine.begin() as connection:
            use.enter(connection, user)

    # --- facts, one short text by name

    def get_fact(self, name: str) -> Fact | None:
        """The value of that name and when it last changed; None if it was never set."""
        with self._reader.begin() as connection:
            return facts.read(connection, name)

    def set_fact(self, name: str, value: str) -> None:
        """Remember a value, whatever stood there before."""
        with self._engine.begin() as connection:
            facts.write(connection, name, value, self._now())

    def replace_fact(self, name: str, before: str | None, after: str) -> bool:
        """Remember `after` only if `before` (None: nothing) still stands there; True for one process of several."""
        with self._engine.begin() as connection:
            return facts.replace(connection, name, before, after, self._now())

    # --- extraction

    def record(self, interactions: Sequence[Interaction], by: str) -> Recorded:
        """Insert the closings that are not known yet, `planned` or `skipped`.

        A planned earlier closing of a conversation is cancelled (`superseded`) when a later one is known.
        Repeating it after a crash half-way counts what was done as known.
        """
        counts = Recorded()
        for batch in closings.transactions(interactions):
            with self._engine.begin() as connection:
                closings.record(connection, batch, self._now(), by, counts)
                restoring.doubt_new(connection, self._now(), by)
        return counts

    def watermark(self) -> Watermark | None:
        """The span whose closings have all been recorded; None before the first extraction."""
        with self._reader.begin() as connection:
            return watermark.read(connection)

    def advance_watermark(self, covered_from: datetime, covered_until: datetime) -> None:
        """Add a span that has been extracted; a span that does not touch the covered one changes nothing."""
        with self._engine.begin() as connection:
            watermark.advance(connection, covered_from, covered_until)

    # --- early warning

    def agents_waiting(self) -> dict[str, int]:
        """Planned interactions by their agent's address (trimmed, case-folded)."""
        with self._reader.begin() as connection:
            return profiles.agents_waiting(connection)

    def mark_profiles(self, approved: Collection[str], not_approved: Collection[str]) -> dict[str, int]:
        """Mark planned interactions; returns those of each not approved agent who has any waiting."""
        with self._engine.begin() as connection:
            return profiles.mark(connection, approved, not_approved)

    # --- release

    def due(self, before: datetime, limit: int | None = None) -> list[datetime]:
        """Due times of the planned interactions due before that instant, oldest first."""
        with self._reader.begin() as connection:
            return queries.due(connection, before, limit)

    def recover(self, by: str) -> Recovered:
        """Take back what is held past its lease: nothing sent yet → planned, `sending` → unknown."""
        with self._engine.begin() as connection:
            return claiming.recover(connection, self._now(), by)

    def claim(
        self, due_from: datetime, due_until: datetime, limit: int, lease: timedelta, by: str
    ) -> list[ClaimedInteraction]:
        """Hold up to `limit` planned interactions due in [due_from, due_until] and by now, oldest first.

        Empty: none is left that nobody else is claiming. One with a later closing is cancelled instead.
        """
        with self._engine.begin() as connection:
            return claiming.claim(connection, self._now(), due_from, due_until, limit, lease, by)

    def start_sending(self, claimed: ClaimedInteraction, lease: timedelta) -> datetime | None:
        """Claimed → sending, committed when this returns; the request must leave before the returned instant.

        None: the claim was lost (lease over, or taken back), send nothing.
        """
        with self._stepper.begin() as connection:
            return release.start_sending(connection, self._now(), claimed, lease)

    def sent(self, claimed: ClaimedInteraction, http_status: int, detail: str | None = None) -> bool:
        """→ sent. False, as with the other outcomes: somebody else has settled it, nothing is changed."""
        return self._settle(claimed, State.SENT, http_status, detail)

    def rejected(self, claimed: ClaimedInteraction, http_status: int | None, detail: str | None) -> bool:
        """→ rejected: definitely refused."""
        return self._settle(claimed, State.REJECTED, http_status, detail)

    def unknown(self, claimed: ClaimedInteraction, http_status: int | None, detail: str | None) -> bool:
        """→ unknown; the token stays with the caller."""
        return self._settle(claimed, State.UNKNOWN, http_status, detail)

    def not_taken(self, claimed: ClaimedInteraction, http_status: int | None, detail: str | None) -> bool:
        """→ planned: the request provably never left, or was answered with "not now"."""
        return self._settle(claimed, State.PLANNED, http_status, detail)

    def veto(self, claimed: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> bool:
        """Claimed → cancelled or skipped; False if the claim was lost."""
        with self._stepper.begin() as connection:
            return release.veto(connection, self._now(), claimed, state, reason, detail)

    def give_back(self, claimed: Sequence[ClaimedInteraction], detail: str | None = None) -> int:
        """Claimed → planned, for those of them that are still held; returns how many."""
        with self._engine.begin() as connection:
            return claiming.give_back(connection, self._now(), claimed, detail)

    # --- what Stella Connect says afterwards

    def cursor(self) -> Cursor:
        """How far Data Return has been read."""
        with self._reader.begin() as connection:
            return data_return.read(connection)

    def record_responses(self, responses: Collection[SurveyResponse], cursor: int | None = None) -> Learnt:
        """Keep what the records say of our interactions, and move the cursor forward to `cursor` if given."""
        with self._engine.begin() as connection:
            learnt = survey_responses.record(connection, responses, self._now())
            if cursor is not None:
                data_return.advance(connection, cursor)
            return learnt

    def note_reread(self, created_from: datetime, began_at: datetime) -> None:
        """Every record created in [created_from, began_at) has been read, whatever its number."""
        with self._engine.begin() as connection:
            data_return.note_reread(connection, created_from, began_at)

    def first_attempt(self) -> datetime | None:
        """When the first request left; None while nothing has been sent."""
        with self._reader.begin() as connection:
            return survey_responses.first_attempt(connection)

    def unknown_outcomes(self) -> list[UnknownOutcome]:
        """Every interaction whose outcome is unknown, and whether Data Return shows it; oldest attempt first."""
        with self._reader.begin() as connection:
            return settling.unknown_outcomes(connection)

    def settle_found(self, interaction_id: int, sent_at: datetime, by: str) -> bool:
        """Unknown → sent; False if the interaction is no longer unknown."""
        with self._engine.begin() as connection:
            return settling.settle_found(connection, self._now(), interaction_id, sent_at, by)

    def resend_absent(self, absent: Collection[UnknownOutcome], by: str) -> int:
        """Unknown → planned, once for each interaction, for those still as they were seen; returns how many."""
        with self._engine.begin() as connection:
            return settling.resend_absent(connection, self._now(), absent, by)

    def shown(self, since: datetime, until: datetime) -> Shown:
        """What of the interactions sent in [since, until) Stella Connect does not show, and what it shows twice."""
        with self._reader.begin() as connection:
            return survey_responses.shown(connection, since, until)

    def refused_and_sent(self, since: datetime) -> tuple[int, int]:
        """How many interactions Stella Connect refused, and how many it took, since then."""
        with self._reader.begin() as connection:
            return survey_responses.refused_and_sent(connection, since)

    # --- questions

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for `include.ledger.reports`: one snapshot, in which nothing can be changed.

        Each of its statements ends with an error after ten seconds on PostgreSQL.
        """
        with self._reader.begin() as connection, read_only(connection):
            yield connection

    def counts(self) -> Counts:
        """Interactions by (state, reason); reads every row."""
        with self._reader.begin() as connection:
            return queries.counts(connection)

    def backlog(self, grace: timedelta = timedelta(0)) -> Backlog:
        """What waits, is overdue by more than the grace, is held or unknown; cheap at any size."""
        with self._reader.begin() as connection:
            return queries.backlog(connection, self._now(), grace)

    def history(self, conversation_id: str) -> list[Event]:
        """Every event of the conversation's closings, in order."""
        with self._reader.begin() as connection:
            return queries.history(connection, conversation_id)

    def _settle(
        self, claimed: ClaimedInteraction, outcome: State, http_status: int | None, detail: str | None
    ) -> bool:
        with self._stepper.begin() as connection:
            return release.settle(connection, self._now(), claimed, outcome, http_status, detail)

    # --- people
    # Where an act does not fit it raises `ActRefusedError` and changes nothing; a dry run is undone at its end.
    # `closed_at` says which closing of the conversation is meant, where several could be.

    def cancel(
        self, conversation_id: str, closed_at: datetime | None, by: str, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Planned → cancelled."""
        with self._by_hand(dry_run) as connection:
            return admin.cancel(connection, self._now(), conversation_id, closed_at, by, why)

    def release_now(
        self, conversation_id: str, closed_at: datetime | None, by: str, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Make a planned interaction due now."""
        with self._by_hand(dry_run) as connection:
            return admin.release_now(connection, self._now(), conversation_id, closed_at, by, why)

    def settle_by_hand(
        self, conversation_id: str, closed_at: datetime | None, outcome: State, by: str, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Unknown → sent, planned or cancelled."""
        with self._by_hand(dry_run) as connection:
            return admin.settle(connection, self._now(), conversation_id, closed_at, outcome, by, why)

    def send_again(
        self, agent_email: str, expire_after: timedelta, by: str, why: str, *, dry_run: bool
    ) -> dict[str, int]:
        """Skipped for want of an approved profile → planned, for one agent and within the expiry."""
        with self._by_hand(dry_run) as connection:
            return admin.send_again(connection, self._now(), agent_email, expire_after, by, why)

    def erase_customer(self, customer: str, by: str, why: str, *, dry_run: bool) -> dict[str, int]:
        """Take everything that tells of a customer, by id or e-mail address, out of the ledger."""
        with self._by_hand(dry_run) as connection:
            return admin.erase(connection, self._now(), customer, by, why)

    def retain(self, retention: timedelta, by: str, why: str, *, dry_run: bool = False) -> int:
        """Erase the personal data of final interactions that have not moved for so long; returns of how many.

        One transaction for each thousand, so that releases hardly wait.
        """
        with self._by_hand(dry_run) as connection:
            admin.drop_late_comments(connection)
        before, erased, last = self._now() - retention, 0, 0
        while True:
            with self._by_hand(dry_run) as connection:
                ids = admin.retain(connection, self._now(), before, last, by, why)
            if not ids:
                return erased
            erased, last = erased + len(ids), ids[-1]

    def restored(self, due_until: datetime, by: str) -> int:
        """After an older copy took the ledger's place: what was due until then is looked up before it is sent.

        To be called before anything else uses the copy. Returns how many interactions are unknown now.
        """
        with self._engine.begin() as connection:
            return restoring.restored(connection, self._now(), due_until, by)

    @contextmanager
    def _by_hand(self, dry_run: bool) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin() as transaction:
            yield connection
            if dry_run:
                transaction.rollback()
