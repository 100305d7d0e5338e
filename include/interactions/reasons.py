"""Why an interaction was skipped or cancelled: everything there is to say about each reason, in one entry.

The page, the README's table, the filters and the reports follow from the entries. The words of a reason
(`Reason.MERGED` is "merged") are stored in the ledger: renaming one needs a migration, a new one does not.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from include.interactions.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a reason says about itself. Nothing has a default: a new reason answers each question."""

    word: str
    """As stored in the ledger."""
    state: State
    """Skipped or cancelled: the state in which an interaction ends for this reason."""
    label: str
    """For lists and filters."""
    because: str
    """Completes the sentence "Not sent: …"."""
    advice: str
    """What a person can do, in whole sentences."""
    keeps_customer: bool
    """Whether each row with this reason holds the customer's address until it is erased.

    False if extraction skips for this reason: it keeps only the customer's id.
    """
    keeps_agent: bool
    """Whether each row with this reason holds an agent until they are erased."""
    final: bool
    """Whether the interaction can never be planned again, not even by a person."""


def _unmapped(setting: str) -> Entry:
    return Entry(
        word=f"unmapped_{setting}",
        state=State.SKIPPED,
        label=f"{setting.capitalize()} not mapped",
        because=f"the setting {setting} has no entry for this closing, and no default",
        advice="Add the entry that the detail asks for, or a default, then plan again.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )


class Reason(StrEnum):
    """Why an interaction was skipped or cancelled."""

    state: State
    label: str
    because: str
    advice: str
    keeps_customer: bool
    keeps_agent: bool
    final: bool

    # Any, not Entry: mypy also checks look-ups such as Reason("merged") against this signature.
    def __new__(cls, entry: Any) -> "Reason":
        """Make the member of an `Entry`: its value is the stored word, its attributes are those of the entry."""
        member = str.__new__(cls, entry.word)
        member._value_ = entry.word
        member.__dict__.update(asdict(entry))
        return member

    MERGED = Entry(
        word="merged",
        state=State.SKIPPED,
        label="Merged",
        because="the conversation was merged into another one",
        advice="Nothing to do: the other conversation counts.",
        keeps_customer=False,
        keeps_agent=False,
        final=False,
    )
    NO_AGENT_ASSIGNED = Entry(
        word="no_agent_assigned",
        state=State.SKIPPED,
        label="No agent assigned",
        because="no person was assigned when the conversation was closed",
        advice="Assign a person before closing. Teams and machine users do not count.",
        keeps_customer=False,
        keeps_agent=False,
        final=False,
    )
    AGENT_WITHOUT_EMAIL = Entry(
        word="agent_without_email",
        state=State.SKIPPED,
        label="Agent without e-mail",
        because="the agent has no usable e-mail address in Kustomer, or the user is gone",
        advice="Give the user in Kustomer the address that Stella Connect knows.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    NO_CUSTOMER_EMAIL = Entry(
        word="no_customer_email",
        state=State.SKIPPED,
        label="No customer e-mail",
        because="the customer has no e-mail address, or the customer is gone",
        advice="Nothing to do for chat or SMS customers. Otherwise add an address in Kustomer.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    INVALID_CUSTOMER_EMAIL = Entry(
        word="invalid_customer_email",
        state=State.SKIPPED,
        label="Invalid customer e-mail",
        because="none of the customer's e-mail addresses is well-formed, or they came masked",
        advice="Correct the address in Kustomer. If addresses come masked, use a key with “Read Sensitive”.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    AUTOMATIC_ADDRESS = Entry(
        word="automatic_address",
        state=State.SKIPPED,
        label="Automatic address",
        because="every usable address of the customer belongs to a machine, such as no-reply@ or mailer-daemon@",
        advice="Nothing to do. To survey such addresses, set on_automatic_address to “send”.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    OWN_ADDRESS = Entry(
        word="own_address",
        state=State.SKIPPED,
        label="Agent's own address",
        because="the customer's only address is the agent's own",
        advice="Nothing to do. To survey such addresses, set on_own_address to “send”.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    AGENT_PROFILE_NOT_APPROVED = Entry(
        word="agent_profile_not_approved",
        state=State.SKIPPED,
        label="Profile not approved",
        because="Stella Connect did not list the agent as active when the survey was due",
        advice="Approve the profile, then plan again. Both systems must hold the same address.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    REQUEST_BLOCKED = Entry(
        word="request_blocked",
        state=State.SKIPPED,
        label="Request blocked",
        because="Stella Connect, or a filter in front of it, blocked this request while it took others",
        advice="Look at the customer's name and the tags for what a filter may reject, then plan again.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    EXPIRED = Entry(
        word="expired",
        state=State.SKIPPED,
        label="Expired",
        because="it was past its expiry when its turn came, and “on_expired” is “skip”",
        advice="Nothing to do. To allow later sends, raise expire_after_seconds.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    MALFORMED_RECORD = Entry(
        word="malformed_record",
        state=State.SKIPPED,
        label="Unreadable record",
        because="Kustomer's record, its customer or its agent could not be read",
        advice="Look at the conversation in Kustomer. The detail names the fields or the fault.",
        keeps_customer=False,
        keeps_agent=False,
        final=False,
    )
    RULE = Entry(
        word="rule",
        state=State.SKIPPED,
        label="Excluded by a rule",
        because="a rule of the settings says that there is no survey",
        advice="Nothing to do: the detail names the rule. A changed rule counts for later closings.",
        keeps_customer=False,
        keeps_agent=True,
        final=False,
    )
    UNMAPPED_CHANNEL = _unmapped("channel")
    UNMAPPED_BRAND = _unmapped("brand")
    UNMAPPED_LANGUAGE = _unmapped("language")
    UNMAPPED_COUNTRY = _unmapped("country")
    CAPPED = Entry(
        word="capped",
        state=State.SKIPPED,
        label="Capped",
        because="the customer has had as many surveys as the setting cap allows",
        advice="Nothing to do: the detail says from when the next survey is possible.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    REOPENED = Entry(
        word="reopened",
        state=State.CANCELLED,
        label="Reopened",
        because="the conversation was reopened before the survey was sent",
        advice="Nothing to do: the next closing counts. To send the survey anyway, set on_reopen to “keep”.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    DELETED = Entry(
        word="deleted",
        state=State.CANCELLED,
        label="Deleted",
        because="the conversation was deleted, merged or marked as spam before the survey was sent",
        advice="Nothing to do.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    SUPERSEDED = Entry(
        word="superseded",
        state=State.CANCELLED,
        label="Closed again",
        because="the conversation was closed again while this closing waited",
        advice="Nothing to do: the later closing has taken its place.",
        keeps_customer=True,
        keeps_agent=True,
        final=True,
    )
    BY_HAND = Entry(
        word="by_hand",
        state=State.CANCELLED,
        label="Cancelled by a person",
        because="a person cancelled it",
        advice="Nothing to do: the timeline names who did it and why.",
        keeps_customer=True,
        keeps_agent=True,
        final=False,
    )
    ERASED = Entry(
        word="erased",
        state=State.CANCELLED,
        label="Customer erased",
        because="the customer's data were erased while it waited",
        advice="Nothing to do: it cannot be sent any more.",
        keeps_customer=True,
        keeps_agent=True,
        final=True,
    )
