"""The real ledger as one process of the model test reaches it, step by step; each step is judged by the promise."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from include.interactions.interaction import ClaimedInteraction
from include.interactions.reasons import Reason
from include.interactions.states import REPLACING, State
from include.ledger.releasing import Outcome
from plugins.pipeline.sending import REFUSALS
from tests.support.model_world import StellaConnect, World, key_of, now


class StoreOfProcess:
    """A store of the real ledger as one process reaches it: each call is a step before and after its commit."""

    def __init__(self, store: object, step: Callable[[], None]) -> None:
        self._store = store
        self._step = step

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)

        def call(*given: Any, **named: Any) -> Any:
            self._step()
            result = method(*given, **named)
            self._step()
            return result

        return call


class LedgerOfProcess:
    """The real ledger as one process reaches it."""

    def __init__(self, world: World, stella: StellaConnect) -> None:
        step = stella.interruption.step
        self._world, self._stella = world, stella
        self.set_fact = world.ledger.set_fact
        self.replace_fact = world.ledger.replace_fact
        self.extraction = StoreOfProcess(world.ledger.extraction, step)
        self.releasing = ReleasingOfProcess(world, stella)
        self.admin = StoreOfProcess(world.ledger.admin, step)

    def get_fact(self, name: str) -> Any:
        fact = self._world.ledger.get_fact(name)
        if name == REFUSALS:
            self._stella.refusals = int(fact.value) if fact else 0
        return fact


class ReleasingOfProcess(StoreOfProcess):
    """The releasing store; the model looks at each claim and each veto."""

    def __init__(self, world: World, stella: StellaConnect) -> None:
        super().__init__(world.ledger.releasing, stella.interruption.step)
        self._world = world
        self._stella = stella

    def claim(self, *given: Any, **named: Any) -> list[ClaimedInteraction]:
        """No claim holds what a later closing replaces, or what is not due."""
        self._stella.interruption.step()
        claimed = self._world.ledger.releasing.claim(*given, **named)
        for one in claimed:
            key = key_of(one)
            rows = self._world.rows(key[0])
            assert now() >= self._world.closings[key].due_at, "claimed before it was due"
            later = [other for other, row in rows.items() if other[1] > key[1] and row.state in REPLACING]
            assert not later, "claimed although a later closing takes its place"
        self._stella.interruption.step()
        return claimed

    def settle_all(self, outcomes: Sequence[Outcome]) -> Any:
        """A refusal ends an interaction only if others were taken right before it, or since its last refusal."""
        for outcome in outcomes:
            closing = self._world.closings[key_of(outcome.claimed)]
            before, taken_at = closing.refused_before, self._world.taken_at
            others_taken = before is not None and taken_at is not None and before <= taken_at
            justified = closing.refused == 1 or others_taken
            assert outcome.state is not State.REJECTED or justified, "a refusal of everything is believed"
        self._stella.interruption.step()
        settled = self._world.ledger.releasing.settle_all(outcomes)
        self._stella.interruption.step()
        return settled

    def veto(self, one: ClaimedInteraction, state: State, reason: Reason, detail: str | None = None) -> bool:
        """Nothing is kept from its survey without the reason that is given."""
        key, settings = key_of(one), self._world.settings
        closing = self._world.closings[key]
        seen, lie = self._stella.kustomer.seen.get(key[0]), self._world.lie
        match reason:
            case Reason.AGENT_PROFILE_NOT_APPROVED:
                justified = closing.agent not in self._stella.approved and lie != "approves nobody"
            case Reason.EXPIRED:
                expires_at = closing.due_at + timedelta(seconds=settings.expire_after_seconds)
                justified = settings.on_expired == "skip" and now() > expires_at
            case Reason.DELETED:
                justified = (seen is None or seen.removed is not None) and lie != "finds nothing"
            case Reason.CAPPED:
                justified = self._world.may_be_over_the_cap(key, "skip")
            case Reason.REOPENED:
                justified = settings.on_reopen == "cancel" and seen is not None and not seen.stands(key)
            case _:
                justified = reason is Reason.SUPERSEDED and seen is not None and (seen.closed_at or key[1]) > key[1]
        assert justified, f"{state} {reason} without a reason"
        self._stella.interruption.step()
        done = self._world.ledger.releasing.veto(one, state, reason, detail)
        self._stella.interruption.step()
        return done
