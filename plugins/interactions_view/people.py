"""Masking for visitors who may not see personal data."""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

from include.ledger.reports.people import Agent, Customer
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
    name, email = agent.name, agent.email
    return replace(agent, name=name and without_addresses(name), email=email and masked_address(email))


def seen_by(visitor: Visitor | None, value: Any) -> Any:
    """Return what a view found as this visitor may see it; None: an unknown visitor.

    Goes through everything that a view hands over: views do not mask, so none can forget to.
    """
    return value if visitor is not None and visitor.sees_personal_data else _masked(value)


def _masked(value: Any) -> Any:
    if type(value) is str:  # not an enum's word
        return without_addresses(value)
    if isinstance(value, Customer):
        return masked_customer(value)
    if isinstance(value, Agent):
        return masked_agent(value)
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if type(value) is tuple:
        return tuple(_masked(item) for item in value)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _masked(getattr(value, field.name)) for field in fields(value)})
    return value
