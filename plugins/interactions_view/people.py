"""Masking for visitors who may not see personal data."""

import json
import re
from dataclasses import replace

from include.ledger.reports.listing import Line
from include.ledger.reports.people import Agent, Customer
from include.ledger.reports.responses import Card
from plugins.interactions_view.access import Visitor

# The lookbehind lets a match start only where a run of characters starts, so a long comment is read once.
_ADDRESS = re.compile(r"(?<![^\s@<>()\[\]\",;:])[^\s@<>()\[\]\",;:]+@[^\s@<>()\[\]\",;:]+")


def masked_address(address: str) -> str:
    """Return the first character and the domain.

    >>> masked_address("jane@example.com"), masked_address("not an address")
    ('j•••@example.com', '•••')
    """
    local, at, domain = address.strip().rpartition("@")
    return f"{local[:1]}•••@{domain}" if at else "•••"


def masked_name(name: str) -> str:
    """Return the first character of each word, at most two words.

    >>> masked_name("Jane van der Doe")
    'J••• D•••'
    """
    words = name.split()
    return " ".join(f"{word[:1]}•••" for word in [*words[:1], *words[1:][-1:]])


def without_addresses(text: str) -> str:
    """Return the text with every address in it masked.

    >>> without_addresses("Write to jane@example.com, please")
    'Write to j•••@example.com, please'
    """
    return _ADDRESS.sub(lambda found: masked_address(found.group()), text)


def masked_customer(customer: Customer) -> Customer:
    """Return the customer, masked."""
    name, email = customer.name, customer.email
    return replace(customer, name=name and masked_name(name), email=email and masked_address(email))


def masked_agent(agent: Agent) -> Agent:
    """Return the agent with a masked address; colleagues know each other's names."""
    return replace(agent, email=agent.email and masked_address(agent.email))


def line_seen_by(visitor: Visitor, line: Line) -> Line:
    """Return the interaction, masked unless the visitor may see personal data."""
    if visitor.sees_personal_data:
        return line
    customer, agent = masked_customer(line.customer), masked_agent(line.agent)
    return replace(line, customer=customer, agent=agent, sent_request=_masked_request(line.sent_request))


def _masked_request(stored: str | None) -> str | None:
    if stored is None:
        return None
    request = json.loads(stored)
    request["employee"]["email"] = masked_address(request["employee"]["email"])
    return json.dumps(request, ensure_ascii=False)


def card_seen_by(visitor: Visitor, card: Card) -> Card:
    """Return the card, masked unless the visitor may see personal data."""
    if visitor.sees_personal_data:
        return card
    return replace(
        card,
        customer=masked_customer(card.customer),
        agent=masked_agent(card.agent),
        comment=card.comment and without_addresses(card.comment),
    )
