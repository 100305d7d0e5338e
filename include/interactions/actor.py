"""Who moved an interaction."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Actor:
    """A run of a DAG, a person, or a person through a run. Raises ValueError if nothing is given."""

    dag_id: str | None = None
    run_id: str | None = None
    person: str | None = field(default=None, repr=False)
    """Personal data: the name of an Airflow user, or of the operating system's."""

    def __post_init__(self) -> None:
        """Refuse an actor without a name."""
        if self.run_id is None and self.person is None:
            raise ValueError("an actor is a run or a person")

    def __str__(self) -> str:
        """Return it as a history shows it: `scheduled__…`, or `ada (manual__…)`."""
        if self.person and self.run_id:
            return f"{self.person} ({self.run_id})"
        return str(self.person or self.run_id)
