"""Questions about unknown outcomes, under Airflow's *Required Actions*: a person decides, the ledger settles."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from include.interactions.actor import Actor
from include.interactions.states import State
from include.ledger import UnknownOutcome
from plugins.pipeline.feedback import GRACE, list_undecided
from plugins.pipeline.ledger_retries import retry_ledger
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import actor_of, canonical_line, open_ledger

log = logging.getLogger(__name__)

CHOICES = {"Sent": State.SENT, "Plan again": State.PLANNED, "Cancel": State.CANCELLED}
"""The answers, and what becomes of the interactions."""
ANSWER_WITHIN = timedelta(hours=6)
"""Then the question ends, and the next run asks again, also about what has become unknown meanwhile."""
MAX_INTERACTIONS = 100
"""In one question; the run after its answer asks about the rest."""


class AskAboutUnknownOutcomesOperator(HITLOperator):
    """Asks a person what became of the requests that Stella Connect does not show, and settles them accordingly.

    The task waits for the answer without a worker. It is skipped if nothing needs an answer, or if no answer comes
    in time. The question holds no data of customers. Airflow 3.3.2 fails the task if the answer comes within a
    second of the question, before the scheduler has seen the asking process end. The next run asks again.

    Returns counts: `asked`, one of the states of `CHOICES`, and `left`. Those left are no longer unknown since that
    attempt, or cannot be settled this way (shown in Data Return, or erased).
    """

    def __init__(self, *, organisation: Organisation, **kwargs: Any) -> None:
        why = Param(
            "",
            type="string",
            title="Reason",
            description="What you found, or a ticket's number. The history of each interaction shows it.",
        )
        super().__init__(
            subject="What became of these requests?",
            options=list(CHOICES),
            params={"reason": why},
            response_timeout=ANSWER_WITHIN,
            # A second try would show the question of the first one, because Airflow keeps it: the next run asks.
            retries=0,
            **kwargs,
        )
        self.organisation = organisation

    def execute(self, context: Context) -> None:
        """Ask, if an outcome has been unknown for longer than the grace.

        Raises:
            TaskAwaitingInput: always, if there is something to ask; it carries what the question is about.
        """
        if context["ti"].try_number > 1:
            raise AirflowSkipException("A cleared question is not asked again: the next run asks.")
        undecided = list_undecided(open_ledger(self.organisation), datetime.now(UTC))
        log.info(canonical_line("undecided", {"interactions": len(undecided)}))
        if not undecided:
            raise AirflowSkipException("No outcome needs a decision.")
        asked = undecided[:MAX_INTERACTIONS]
        self.subject = f"Requests that Stella Connect does not show: {len(asked)}. What became of them?"
        self.body = describe(asked, len(undecided), self.organisation)
        try:
            super().execute(context)
        except TaskAwaitingInput as waiting:
            seen = [[outcome.interaction_id, outcome.token] for outcome in asked]
            raise TaskAwaitingInput(
                method_name=waiting.method_name, timeout=waiting.timeout, kwargs={"seen": seen}
            ) from None

    def execute_complete(  # type: ignore[override]  # Airflow passes on what the question was about
        self, context: Context, event: dict[str, Any], seen: Sequence[Sequence[Any]]
    ) -> dict[str, Any]:
        """Settle what was asked about as the person decided.

        Raises:
            AirflowSkipException: no answer came in time.
            AirflowFailException: the answer is none of the choices, or there was none. Nothing has changed.
        """
        if event.get("error_type") == "timeout":
            raise AirflowSkipException("No answer came in time. The next run asks again.")
        if "error" in event:
            raise AirflowFailException(f"Airflow did not deliver the answer: {event['error']:.200}")
        (choice,), person = event["chosen_options"], event["responded_by_user"]
        if choice not in CHOICES or person is None:
            raise AirflowFailException(f"{choice!r:.80} is no decision of a person. Nothing has changed.")
        run, why = actor_of(context), str((event["params_input"] or {}).get("reason") or "").strip()
        counts = retry_ledger(
            open_ledger(self.organisation).admin.settle_batch,
            [(int(interaction_id), str(token)) for interaction_id, token in seen],
            CHOICES[choice],
            Actor(run.dag_id, run.run_id, person["name"]),
            why or "answered under Required Actions",
        )
        facts = {"asked": len(seen), **counts}
        log.info(canonical_line("decided", facts))
        return facts


def describe(asked: Sequence[UnknownOutcome], undecided: int, organisation: Organisation) -> str:
    """Say what is known and what each answer does, in Markdown, without data of customers."""
    page = f"{(conf.get('api', 'base_url', fallback='') or '').rstrip('/')}/interactions/of/{organisation.name}"
    rows = "\n".join(
        f"| [{outcome.conversation_id}]({page}/one/{outcome.interaction_id}) | {_utc(outcome.closed_at)} "
        f"| {_utc(outcome.attempted_at)} |"
        for outcome in asked
    )
    rest = f" {undecided - len(asked):,} more follow after this answer." if undecided > len(asked) else ""
    return _BODY.format(
        hours=GRACE // timedelta(hours=1),
        rest=rest,
        admin=organisation.admin_dag_id,
        rows=rows,
    )


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


_BODY = """
Stella Connect does not show the requests below, more than {hours} hours after they were sent. Each customer may or
may not have a survey.{rest}

Look the conversation ids up in Stella Connect (search, and the tab *Invalid Requests*). One answer settles all:

- **Sent**: Stella Connect has them.
- **Plan again**: it does not, and the next hourly run sends them again.
- **Cancel**: they end without a survey.

If they differ, settle single ones with the action *Settle an unknown outcome* of `{admin}` first. What is no longer
unknown when you answer stays as it is.

| Conversation | Closed (UTC) | Sent (UTC) |
|---|---|---|
{rows}
"""
