"""An invented organisation from a seed: four in five conversations are plain, the fifth is one of `SITUATIONS`.

While the generator makes a conversation it notes what should become of it. Nothing here judges a record by reading
it. The same arguments give the same organisation, to the last id.
"""

from datetime import UTC, datetime, timedelta

from include.sandbox.clock import to_ms
from include.sandbox.generator import Generator
from include.sandbox.model import ManualRequest, Organisation
from include.sandbox.situations import SITUATIONS


def generate(
    seed: int, conversations: int, agents: int, closed_from: datetime, closed_to: datetime
) -> Organisation:
    """Return an organisation whose conversations were closed in [closed_from, closed_to).

    `agents` counts those with an approved profile; agents with every other trait come on top. Raises ValueError
    for a naive time, an empty window, or counts below 0 conversations or 1 agent.
    """
    if conversations < 0 or agents < 1:
        raise ValueError("at least 0 conversations and 1 agent are needed")
    start, end = to_ms(closed_from), to_ms(closed_to)
    if end <= start:
        raise ValueError("closed_to must be later than closed_from")
    generator = Generator(seed, agents, start, end)
    for number in range(conversations):
        conversation = generator.conversation(number)
        if number % 5 == 4:
            situation = SITUATIONS[number // 5 % len(SITUATIONS)]
            situation(generator, conversation)
            conversation.situation = situation.__name__.replace("_", " ")
    for number in range(min(3, conversations)):
        agent = generator.agents["plain"][0]
        assert agent.employee is not None  # noqa: S101 - plain agents have both accounts
        by_hand = ManualRequest(
            start, agent.employee.email, "Sent By Hand", f"by.hand{number}@example.com", f"order-{number}"
        )
        generator.organisation.manual_requests.append(by_hand)
    return generator.organisation


def last_full_hour(now: datetime) -> tuple[datetime, datetime]:
    """Return the start and end of the last hour that is over."""
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return end - timedelta(hours=1), end
