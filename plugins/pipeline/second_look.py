"""The second look of a release: may a due interaction still be sent, and for which agent?

Reads the conversations again in bulk, and the approved profiles once. Each verdict that ends an interaction rests
on evidence about that interaction; evidence that would end everything is a fault of its source.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from include.interactions.addresses import same_address
from include.interactions.evidence import doubt_absence, doubt_profiles
from include.interactions.feedback_request import is_expired
from include.interactions.interaction import ClaimedInteraction
from include.interactions.opt_out import OptOut, opt_out_at_send
from include.interactions.reasons import Reason
from include.interactions.records import Conversation, Malformed, User, read_conversation
from include.interactions.second_look import Veto, second_look
from include.interactions.settings import Settings
from include.interactions.states import State
from include.interactions.survey_plan import SurveyPlanner
from include.ledger import Ledger
from plugins.kustomer.hook import KustomerHook
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.errors import VendorApiError

log = logging.getLogger(__name__)

MAX_PROBED_CONVERSATIONS = 20
"""If Kustomer finds none that are due, so many others are asked for."""
ADDRESS_CHANGED = "sent for the agent's present address: the one at the closing has no approved profile"


@dataclass(frozen=True, slots=True)
class Ready:
    """An interaction that may be sent."""

    claimed: ClaimedInteraction
    conversation: Conversation | None
    """None: sent without a second look."""
    employee_email: str = ""
    """As Stella Connect spells it."""
    note: str | None = None
    """Words for the history."""
    counts_only: bool = False
    """A rule says so: no survey."""


def opt_out_of(ready: Ready, settings: Settings) -> OptOut:
    """Tell whether the customer opted out, as planned or as the conversation says now."""
    conversation = ready.conversation
    shown = None if conversation is None else conversation.opt_out(settings.do_not_send_attribute)
    return opt_out_at_send(ready.claimed.interaction.do_not_send, shown)


@dataclass(frozen=True, slots=True)
class Ended:
    """An interaction that is cancelled or skipped."""

    claimed: ClaimedInteraction
    state: State
    reason: Reason
    detail: str | None = None


@dataclass(slots=True)
class Look:
    """What a look at a batch of interactions found."""

    ready: list[Ready] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    held: list[ClaimedInteraction] = field(default_factory=list)
    """Nothing can be said about them now: they stay planned."""
    masked: int = 0
    """Of these, how many have a masked opt-out."""
    failure: VendorApiError | None = None
    """Kustomer could not be asked about any of them."""
    doubt: str | None = None
    """What is wrong with a source, in a sentence: nothing ended by its word."""


class SecondLook:
    """Looks at the batches of one release."""

    def __init__(
        self,
        ledger: Ledger,
        kustomer: KustomerHook,
        stella_connect: StellaConnectHook,
        settings: Settings,
        planner: Callable[[], SurveyPlanner],
    ) -> None:
        self._ledger = ledger
        self._kustomer = kustomer
        self._stella_connect = stella_connect
        self._settings = settings
        self._planner = planner
        self._approved: dict[str, str] | None = None
        self._present_addresses: dict[str, str | None] = {}
        """By agent id, of agents without an approved profile; None: the user could not be read."""

    def look(self, batch: Sequence[ClaimedInteraction]) -> Look:
        """Look at a batch.

        Raises:
            VendorApiError: Stella Connect's list of approved profiles could not be read.
        """
        approved = self._read_approved()
        found = self._look_at_conversations(batch)
        if found.ready and found.doubt is None:
            self._look_at_profiles(found, approved)
        return found

    def _read_approved(self) -> dict[str, str]:
        """Return the approved profiles by comparable address; read once, and only if anything is due."""
        if self._approved is None:
            employees = self._stella_connect.active_employees()
            self._approved = {same_address(address): address for address in employees}
        return self._approved

    def _look_at_conversations(self, batch: Sequence[ClaimedInteraction]) -> Look:
        found = Look()
        ids = [claimed.interaction.conversation_id for claimed in batch]
        try:
            records = self._kustomer.read_conversations(ids)
            if not records and (doubt := doubt_absence(len(ids), self._find_others(batch))):
                found.held += batch
                found.doubt = (
                    f"Kustomer {doubt}. Most likely the host or the key of connection {self._kustomer.conn_id!r} "
                    f"belongs to another organisation, or a gateway answers in Kustomer's place."
                )
                return found
        except VendorApiError as failure:
            log.warning("The second look failed for %d interactions: %s", len(batch), failure)
            found.failure = failure
            for claimed in batch:
                self._go_on_without(claimed, found)
            return found
        for claimed in batch:
            record = records.get(claimed.interaction.conversation_id)
            self._judge(claimed, record is not None, read_conversation(record) if record else None, found)
        return found

    def _judge(
        self, claimed: ClaimedInteraction, exists: bool, conversation: Conversation | Malformed | None, found: Look
    ) -> None:
        if exists and conversation is None:
            self._go_on_without(claimed, found)
            return
        verdict = second_look(claimed.interaction, conversation, self._settings, self._ledger.releasing.read_state)
        if isinstance(verdict, Veto):
            found.ended.append(Ended(claimed, State.CANCELLED, verdict.reason, verdict.detail))
        elif verdict == "go" and isinstance(conversation, Conversation):
            self._apply_rules(claimed, conversation, found)
        else:
            self._go_on_without(claimed, found)

    def _apply_rules(self, claimed: ClaimedInteraction, conversation: Conversation, found: Look) -> None:
        """Judge by the rules again: tags arrive late."""
        survey, rule = self._planner().judge_now(claimed.interaction, conversation)
        if survey == "skip":
            found.ended.append(Ended(claimed, State.SKIPPED, Reason.RULE, f"rule {rule!r}"))
            return
        is_new = survey == "count" and claimed.interaction.survey is None
        note = f"no survey, by rule {rule!r}" if is_new else None
        self._offer(Ready(claimed, conversation, note=note, counts_only=survey == "count"), found)

    def _offer(self, ready: Ready, found: Look) -> None:
        """Take an interaction as ready, unless its opt-out is masked: after its expiry it is sent as opted out."""
        interaction = ready.claimed.interaction
        masked = opt_out_of(ready, self._settings) == "masked"
        if masked and not is_expired(interaction, datetime.now(UTC), self._settings):
            found.held.append(ready.claimed)
            found.masked += 1
        else:
            found.ready.append(ready)

    def _go_on_without(self, claimed: ClaimedInteraction, found: Look) -> None:
        """Decide about an interaction whose conversation cannot be read.

        Past its expiry `on_expired` decides: it does not wait for a look that never comes.
        """
        expired = is_expired(claimed.interaction, datetime.now(UTC), self._settings)
        if expired or self._settings.on_recheck_failure == "send":
            self._offer(Ready(claimed, None), found)
        else:
            found.held.append(claimed)

    def _find_others(self, batch: Sequence[ClaimedInteraction]) -> int:
        """Count other conversations that Kustomer finds, of those recorded last.

        If the ledger knows only one conversation, its agent stands in for the others.
        """
        ids = [claimed.interaction.conversation_id for claimed in batch]
        others = self._ledger.releasing.list_latest_conversations(ids, MAX_PROBED_CONVERSATIONS)
        if others:
            return len(self._kustomer.read_conversations(others))
        agent_id = batch[0].interaction.agent_id
        return len(self._kustomer.read_users([agent_id]).found) if len(ids) == 1 and agent_id else 0

    def _look_at_profiles(self, found: Look, approved: dict[str, str]) -> None:
        """Give each ready interaction its employee; end or hold those without one."""
        self._read_present_addresses(found.ready, approved)
        due = {address for ready in found.ready for address in self._addresses(ready.claimed)}
        if doubt := self._doubt_profiles(due, approved):
            found.held += [ready.claimed for ready in found.ready]
            found.ready = []
            found.doubt = (
                f"Stella Connect {doubt}. Most likely the key of connection {self._stella_connect.conn_id!r} "
                f"belongs to another account, or the list came incomplete."
            )
            return
        ready, found.ready = found.ready, []
        for each in ready:
            self._choose_employee(each, approved, found)

    def _choose_employee(self, ready: Ready, approved: dict[str, str], found: Look) -> None:
        claimed = ready.claimed
        closing_address = same_address(claimed.interaction.agent_email or "")
        if closing_address in approved:
            found.ready.append(replace(ready, employee_email=approved[closing_address]))
            return
        present = self._present_addresses.get(claimed.interaction.agent_id or "", "")
        if present is not None and present in approved:
            note = f"{ready.note}; {ADDRESS_CHANGED}" if ready.note else ADDRESS_CHANGED
            found.ready.append(replace(ready, employee_email=approved[present], note=note))
        elif present is None and not is_expired(claimed.interaction, datetime.now(UTC), self._settings):
            found.held.append(claimed)
        else:
            found.ended.append(Ended(claimed, State.SKIPPED, Reason.AGENT_PROFILE_NOT_APPROVED))

    def _read_present_addresses(self, ready: Sequence[Ready], approved: dict[str, str]) -> None:
        """Read the users again whose address at the closing has no approved profile: it may have changed since."""
        interactions = [each.claimed.interaction for each in ready]
        wanted = {
            closing.agent_id
            for closing in interactions
            if closing.agent_id and same_address(closing.agent_email or "") not in approved
        } - self._present_addresses.keys()
        if not wanted:
            return
        try:
            users = self._kustomer.read_users(sorted(wanted))
        except VendorApiError as failure:
            log.warning("%d agents could not be read again: %s", len(wanted), failure)
            self._present_addresses |= dict.fromkeys(wanted)
            return
        self._present_addresses |= dict.fromkeys(users.unreadable)
        for agent_id in wanted - users.unreadable.keys():
            record = users.found.get(agent_id)
            email = User.model_validate(record).email if record else None
            self._present_addresses[agent_id] = same_address(email or "")

    def _addresses(self, claimed: ClaimedInteraction) -> set[str]:
        present = self._present_addresses.get(claimed.interaction.agent_id or "")
        return {address for address in (same_address(claimed.interaction.agent_email or ""), present) if address}

    def _doubt_profiles(self, due: set[str], approved: dict[str, str]) -> str | None:
        if due & approved.keys():
            return None
        served = {same_address(address) for address in self._ledger.releasing.list_served_agents()}
        return doubt_profiles(due, approved, served)
