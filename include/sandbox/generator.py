"""Make the people, tags and plain conversations of an invented organisation, all from one seed."""

import random
from dataclasses import dataclass

from include.sandbox import names
from include.sandbox.model import Conversation, Customer, Employee, Organisation, Tag, User

DAY = 86_400_000

_EXTRAS = (
    "another spelling",
    "pending review",
    "confirmed",
    "unapproved",
    "created",
    "deactivated",
    "unknown to Stella Connect",
    "without e-mail",
    "deactivated in Kustomer",
)
"""Kinds of agents beside those with an approved profile and one spelling; one of each per twelve agents."""


@dataclass(slots=True)
class Agent:
    """A user of Kustomer together with the employee of Stella Connect, if there is one."""

    user: User
    employee: Employee | None


class Generator:
    """Make one organisation; the situations use its helpers."""

    def __init__(self, seed: int, agents: int, closed_from: int, closed_to: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a repeatable organisation, no secret
        self.organisation = Organisation(seed)
        self.closed_from, self.closed_to = closed_from, closed_to
        self.tie = closed_from + (closed_to - closed_from) // 3
        self.agents: dict[str, list[Agent]] = {"plain": []}
        self.bots: list[User] = []
        self.plain_customers: list[Customer] = []
        self._make_tags()
        self._make_agents(agents)

    def new_id(self) -> str:
        """Return a new id in Kustomer's shape."""
        return f"{self.random.getrandbits(96):024x}"

    def _make_tags(self) -> None:
        for number in range(130):
            topic = names.TOPICS[number % len(names.TOPICS)]
            name = topic if number < len(names.TOPICS) else f"{topic} {number // len(names.TOPICS)}"
            tag = Tag(self.new_id(), name, deleted=number % 40 == 39)
            self.organisation.tags[tag.id] = tag
        self.tag_ids = tuple(tag.id for tag in self.organisation.tags.values() if not tag.deleted)

    def _make_agents(self, count: int) -> None:
        for number in range(count):
            self._add_agent("plain", number)
        number = count
        for kind in _EXTRAS:
            for _ in range(-(-count // 12)):
                self._add_agent(kind, number)
                number += 1
        for name in ("Workflow", "Answer bot"):
            bot = User(self.new_id(), name, f"{name.split()[0].lower()}@bots.example.org", "machine")
            self.organisation.users[bot.id] = bot
            self.bots.append(bot)

    def _add_agent(self, kind: str, number: int) -> None:
        first = names.FIRST[number % len(names.FIRST)]
        last = names.LAST[(number * 7 + number // len(names.FIRST)) % len(names.LAST)]
        address = f"agent{number + 1}.{ascii_word(last)}@example.org"
        user = User(self.new_id(), f"{first} {last}", address, created_at=self.closed_from - 400 * DAY)
        employee: Employee | None = Employee(5000 + number, address, f"E{number + 1:04d}", first, last)
        match kind:
            case "another spelling" if employee:
                user.email = f" {address.title()} " if number % 2 else address.upper()
                employee.email = address.replace("agent", "Agent") if number % 3 else address
            case "pending review" | "confirmed" | "unapproved" | "created" | "deactivated" if employee:
                employee.status = kind
            case "unknown to Stella Connect":
                employee = None
            case "without e-mail":
                user.email, employee = None, None
            case "deactivated in Kustomer":
                user.deleted_at = self.closed_to
        self.organisation.users[user.id] = user
        if employee:
            self.organisation.employees.append(employee)
        self.agents.setdefault(kind, []).append(Agent(user, employee))

    def agent(self, kind: str = "plain") -> Agent:
        """Return some agent of a kind."""
        return self.random.choice(self.agents[kind])

    def customer(self, emails: tuple[tuple[str, bool], ...] | None = None, **changes: str | None) -> Customer:
        """Add a customer; without `emails` one verified address."""
        number = len(self.organisation.customers) + 1
        first, last = self.random.choice(names.FIRST), self.random.choice(names.LAST)
        if emails is None:
            emails = ((f"{ascii_word(first)}.{ascii_word(last)}{number}@example.com", True),)
        name = changes.get("name", f"{first} {last}")
        display_name = changes.get("display_name", name)
        customer = Customer(self.new_id(), name, display_name, emails, self.closed_from)
        self.organisation.customers[customer.id] = customer
        return customer

    def plain_customer(self) -> Customer:
        """Return a customer with one good address; one in four comes again."""
        if self.plain_customers and self.random.random() < 0.25:
            return self.random.choice(self.plain_customers)
        customer = self.customer()
        customer.unindexed = self.random.random() < 0.005
        self.plain_customers.append(customer)
        return customer

    def closing_time(self, number: int) -> int:
        """Return when conversation `number` was closed: both edges of the window, a few ties, else anywhere."""
        if number == 0:
            return self.closed_from
        if number == 1:
            return self.closed_to - 1
        if number % 100 == 2:
            return self.tie
        return self.random.randrange(self.closed_from, self.closed_to)

    def conversation(self, number: int) -> Conversation:
        """Make one plain, eligible conversation."""
        agent, customer = self.agent(), self.plain_customer()
        closed_at = self.closing_time(number)
        tags = self.tag_ids[(number * 3) % 100 : (number * 3) % 100 + number % 4]
        conversation = Conversation(
            id=self.new_id(),
            customer_id=customer.id,
            status="done",
            channel=names.CHANNELS[number % len(names.CHANNELS)],
            name=names.SUBJECTS[number % len(names.SUBJECTS)],
            created_at=closed_at - 60_000 * self.random.randrange(2, 3000),
            updated_at=closed_at + self.random.randrange(20_000),
            closed_at=closed_at,
            closed_by=agent.user.id,
            closing_users=(agent.user.id,),
            assigned_users=(agent.user.id,),
            tags=tags,
            custom=None if number % 3 else {"orderNumberStr": f"A{100000 + number}"},
            expected_employee=agent.employee.email if agent.employee else None,
            expected_customer=customer.emails[0][0],
        )
        self.organisation.conversations[conversation.id] = conversation
        return conversation

    def assign(self, conversation: Conversation, agent: Agent) -> None:
        """Let an agent have handled and closed the conversation."""
        conversation.closed_by = agent.user.id
        conversation.closing_users = conversation.assigned_users = (agent.user.id,)
        conversation.expected_employee = agent.employee.email if agent.employee else None


def ascii_word(word: str) -> str:
    """Return a name's plain letters in lower case, for the local part of an address."""
    return "".join(letter for letter in word.lower() if letter.isascii() and letter.isalpha()) or "someone"
