"""What people do to the interaction ledger by hand."""

import pendulum
from airflow.sdk import dag, get_current_context, task

from plugins.pipeline.admin import admin_params, carry_out, check_form
from plugins.runtime.organisations import Organisation, organisations


def by_hand(organisation: Organisation) -> None:
    """The DAG of one organisation."""

    @dag(
        dag_id=organisation.admin_dag_id,
        dag_display_name=organisation.own("Interaction ledger: by hand", " · "),
        description="Shows, cancels, releases, settles or erases interactions; for people, not for the clock.",
        schedule=None,
        start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
        catchup=False,
        # No retries and no message: whoever triggered it sees at once what is wrong, and nothing has changed then.
        default_args={"retries": 0},
        params=admin_params(),
        tags=["kustomer", "stella connect", "csat", "by hand"],
        doc_md="""
### For people, not for the clock

**Trigger** it, choose an act, fill in the fields that the act needs and leave the others empty. **Dry run** is on
unless you switch it off: the act is tried and undone, and *carry_out* tells in its log and its XCom what would
change. What does not fit (an unknown conversation, a second approval, an erase without a match) fails with a
message and changes nothing.

**Show one conversation's history** (conversation id): every event, with its time, reason, who and why, in the log
and in XCom. No data of the customer.

**Cancel a planned interaction** (conversation id, reason): it becomes `cancelled` (`by_hand`), and the customer
gets no survey.

**Release a planned interaction now** (conversation id, reason): it falls due now instead of later, and its expiry
counts from now. The next hourly run sends it, with all the usual checks; to have it sent at once trigger
**kustomer_stella_connect** as well.

**Settle an unknown outcome** (conversation id, settle as, reason): look the conversation id up in Stella Connect
first. If it is there: `sent`. If not: `planned`, which sends it again, or `cancelled`. What Data Return has shown
can only be settled as `sent`.

**Send an agent's skipped interactions again** (agent's e-mail address, reason), after Stella Connect approved the
profile: what was skipped as `agent_profile_not_approved`, and is within `expire_after_seconds` of its due time,
becomes `planned`. The next run looks at the profile again and sends it.

**Erase a customer** (customer, reason): name, address, id, tags and comments go, everywhere in the ledger, and
what was still planned is cancelled (`erased`). States, times and counts stay. By address: everything of the
customers who ever had it.

**Erase personal data past the retention**: names, addresses, ids, tags and comments of interactions settled more
than `personal_data_retention_days` ago go. This also happens every day by itself.

#### Good to know

- Each act appends an event with the Airflow user who triggered the run (if Airflow knows), the run, and the reason.
  An erasure after the end moves nothing: its event has the same state before and after, and the reason `erased`.
- Where several closings of a conversation could be meant, the act says so; give *closed at*.
- Airflow keeps and shows the Params of a run. Erase by **customer id** rather than by address where you can, and
  delete the run afterwards where you could not. The tasks themselves print no address.
- Kustomer, Stella Connect, Airflow's own records and backups are not touched.
""",
    )
    def interaction_ledger_admin() -> None:
        """Look at the form, then act."""

        @task(task_id="check_form")
        def check() -> None:
            check_form(get_current_context())

        @task(task_id="carry_out")
        def act() -> dict[str, object]:
            return carry_out(get_current_context(), organisation)

        check() >> act()

    interaction_ledger_admin()


for one in organisations():
    by_hand(one)
