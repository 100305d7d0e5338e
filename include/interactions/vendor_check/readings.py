"""How we read what the vendors' documents leave open: one entry for each reading.

The table of docs/vendors.md, the lines of *Check both vendors* and the refusal of a run follow from the entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Vendor = Literal["Kustomer", "Stella Connect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One question that the documents leave open, and the answer on which the code relies."""

    vendor: Vendor
    id: str
    question: str
    answer: str
    """Markdown; links are relative to docs/."""
    otherwise: str
    """What happens if it does not hold, and what to do."""
    refuses: Literal["extraction", "release"] | None = None
    """The task in which interactions would be lost or ended wrongly. If it does not hold, that task is refused."""


_ALL = (
    Reading(
        vendor="Kustomer",
        id="search_criteria",
        question="Which attributes and operators does the search take?",
        answer="`conversation_status` `equals`, `conversation_last_done_created_at` `gte` and `lt`, each a "
        "separate criterion, for conversations and for customers",
        otherwise="No closing can be found. The code must ask in another way.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="search_bounds",
        question="How exactly does the search compare times?",
        answer="to the millisecond: from `gte`, inclusive, to `lt`, exclusive",
        otherwise="A closing beside the edge of a window is found by neither window. The code must compare as the "
        "search does.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="search_total",
        question="Does `meta.total` count the rows that come?",
        answer="yes; a reading that falls short is repeated, then deferred",
        otherwise="Each run reads the same closings several times. Nothing is lost.",
    ),
    Reading(
        vendor="Kustomer",
        id="search_lag",
        question="How late does the search show a closing?",
        answer="unknown; therefore the overlap of one hour (`overlap_seconds`), and a check of every row",
        otherwise="A closing that appears later than the overlap is never read. Raise `overlap_seconds`.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="assignees",
        question="Who was assigned at a closing?",
        answer="`lastDone.assignedUsers`, else `assignedUsers`; an empty list counts as no value "
        "([0006](decisions/0006-assignees-and-merges.md))",
        otherwise="Every closing is skipped as `no_agent_assigned`. The code must read the agent from elsewhere.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="merged",
        question="How does a merged conversation look?",
        answer="it carries any of the plausible names ([0006](decisions/0006-assignees-and-merges.md))",
        otherwise="A conversation that was merged away is surveyed, too. Add its mark to `MERGED_MARKS`.",
    ),
    Reading(
        vendor="Kustomer",
        id="found_by_id",
        question="Can everything that the search shows be read by its id?",
        answer="yes; before the send a conversation that is not found counts as deleted",
        otherwise="The release would cancel everything as `deleted`. Check the roles of the key.",
        refuses="release",
    ),
    Reading(
        vendor="Kustomer",
        id="list_of_ids",
        question="Is a list of ids answered whole, also if one does not exist?",
        answer="perhaps not; missing or refused ids are read one by one",
        otherwise="Each release needs up to 100 times the requests. Lower `kustomer_requests_per_minute` if others "
        "need the budget.",
    ),
    Reading(
        vendor="Kustomer",
        id="unknown_id",
        question="How is an unknown id answered?",
        answer="404; any other answer says nothing about the record",
        otherwise="A conversation that is gone is held until it expires. Nothing else is lost.",
    ),
    Reading(
        vendor="Kustomer",
        id="deleted",
        question="How does a deleted conversation look?",
        answer="by id it is a 404, or it carries `deleted` or `deletedAt`",
        otherwise="A deleted conversation is surveyed. The code must learn its mark.",
    ),
    Reading(
        vendor="Kustomer",
        id="customer_search",
        question="Does a search for customers match one conversation or any?",
        answer="it may return too many customers; only the wanted ones are kept",
        otherwise="Customers are read one by one, which needs more requests. Nothing is lost.",
    ),
    Reading(
        vendor="Kustomer",
        id="users",
        question="Does the default list of users include deactivated users?",
        answer="unknown; both lists are read, and who is in neither is read by id",
        otherwise="Every closing is skipped as `agent_without_email`. Check the roles of the key.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="addresses",
        question="Can the key read the customers' addresses?",
        answer="yes; a masked address counts as unusable",
        otherwise="No customer can be surveyed. Use a key with “Read Sensitive”.",
        refuses="extraction",
    ),
    Reading(
        vendor="Kustomer",
        id="opt_outs",
        question="Can the key read the do-not-send attribute?",
        answer="yes; a masked one is read again before the send",
        otherwise="It is unknown which customers opted out, so all their closings wait. Use a key with “Read "
        "Sensitive”.",
        refuses="release",
    ),
    Reading(
        vendor="Stella Connect",
        id="token",
        question="Bare token or `Bearer`?",
        answer="bare, as Stella Connect shows it; `jwt_prefix` adds a prefix",
        otherwise="Stella Connect refuses every read. Correct `jwt_prefix` in the extra of the connection.",
        refuses="release",
    ),
    Reading(
        vendor="Stella Connect",
        id="next_page",
        question="What is `next_page` of the employees?",
        answer="only its query is used, our own filter wins, host and path stay ours. Otherwise unapproved agents "
        "pass from page 2 on",
        otherwise="With more than 500 agents the list cannot be read whole: nothing is ended, and every release "
        "fails. The code must follow the pages in another way.",
        refuses="release",
    ),
    Reading(
        vendor="Stella Connect",
        id="active",
        question="Does `status=active` list the approved profiles, and only them?",
        answer="yes; no answer holds the status itself",
        otherwise="Requests for agents without an approved profile are refused by Stella Connect.",
        refuses="release",
    ),
    Reading(
        vendor="Stella Connect",
        id="same_address",
        question="Does an agent have the same address at both vendors?",
        answer="yes, compared trimmed, case-folded and normalised",
        otherwise="Every interaction is skipped as `agent_profile_not_approved`. Correct the addresses at one "
        "vendor.",
        refuses="release",
    ),
    Reading(
        vendor="Stella Connect",
        id="data_order",
        question="In which order does Data Return list its records?",
        answer="by `sequence_id`, lowest first; `after` excludes the records up to it",
        otherwise="Answers and delivery states are missed, and an unknown outcome can look absent. Keep "
        "`on_absent` at `ask`.",
    ),
    Reading(
        vendor="Stella Connect",
        id="data_delay",
        question="How late does Data Return show a request?",
        answer="unknown; absent counts only after 6 hours",
        otherwise="A request that was taken can look absent. Keep `on_absent` at `ask`.",
    ),
    Reading(
        vendor="Stella Connect",
        id="data_fields",
        question="Does Data Return repeat what we sent?",
        answer="`ext_interaction_id`, `requested_via` = `API`, and `closed_at` of the custom properties",
        otherwise="Unknown outcomes cannot be found in Data Return. Keep `on_absent` at `ask`.",
    ),
    Reading(
        vendor="Stella Connect",
        id="taken",
        question="Does a 200 mean “surveyed”?",
        answer="no, only “taken”; Data Return says what became of it",
        otherwise="The page shows no delivery state.",
    ),
)
READINGS: Mapping[str, Reading] = {reading.id: reading for reading in _ALL}
