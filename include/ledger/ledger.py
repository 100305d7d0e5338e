"""The ledger: the database, its clock, and the stores that work on it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, ProgrammingError

from include.ledger import facts
from include.ledger.admin import AdminStore
from include.ledger.engine import read_only
from include.ledger.extraction import ExtractionStore
from include.ledger.facts import Fact
from include.ledger.feedback import FeedbackStore
from include.ledger.maintenance import timeline, use
from include.ledger.migrate import is_older, migrate
from include.ledger.queries import QueryStore
from include.ledger.recovering import RecoveryStore
from include.ledger.releasing import ReleasingStore
from include.ledger.writing import WritingStore


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Ledger(QueryStore):
    """The durable table of interactions, their state and every transition.

    The stores change it, each for one part of the pipeline: `extraction`, `releasing`, `feedback`, `writing`,
    `recovery`, `admin`.
    Safe to use from several threads and processes at once.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime] = utc_now) -> None:
        super().__init__(engine, now)
        self._watched = False
        self.extraction = ExtractionStore(engine, now)
        self.releasing = ReleasingStore(engine, now)
        self.feedback = FeedbackStore(engine, now)
        self.writing = WritingStore(engine, now)
        self.recovery = RecoveryStore(engine, now)
        self.admin = AdminStore(engine, now)

    def migrate(self) -> None:
        """Bring the schema up to date; cheap when it is."""
        migrate(self._engine)

    def enter(self, user: str) -> None:
        """Begin to use the ledger through the Airflow connection `user`; brings an older schema up to date.

        Raises:
            LedgerRefusedError: it is another connection's, or retired.
        """
        if not self._is_ready(user):
            with self._engine.begin() as connection:
                use.enter(connection, user)
        if not self._watched:
            with self._reader.begin() as connection:
                now = timeline.read(connection)
            if now is not None:
                timeline.watch(self._engine, now)
            self._watched = True

    def _is_ready(self, user: str) -> bool:
        """Migrate an older schema; return whether the ledger is in use by `user` already, and as it was left."""
        try:
            with self._reader.begin() as connection:
                if not is_older(connection):
                    return use.is_user(connection, user)
        except (OperationalError, ProgrammingError):  # an empty database has no such table
            pass
        self.migrate()
        return False

    def get_fact(self, name: str) -> Fact | None:
        """Return the value of that name and when it last changed; None if it was never set."""
        with self._reader.begin() as connection:
            return facts.read(connection, name)

    def set_fact(self, name: str, value: str) -> None:
        """Store a value and replace an earlier one."""
        with self._engine.begin() as connection:
            facts.write(connection, name, value, self._now())

    def replace_fact(self, name: str, before: str | None, after: str) -> bool:
        """Remember `after` only if `before` (None: nothing) still stands there; True for one process of several."""
        with self._engine.begin() as connection:
            return facts.replace(connection, name, before, after, self._now())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection for `include.ledger.reports`: one snapshot, in which nothing can be changed.

        Each of its statements ends with an error after ten seconds on PostgreSQL.
        """
        with self._reader.begin() as connection, read_only(connection):
            yield connection
