"""Whether a customer asked not to be surveyed, as a custom attribute of the conversation says it."""

from collections.abc import Mapping
from typing import Any, Literal

from include.interactions.text import is_masked

OFFICIAL_ATTRIBUTES = (
    "doNotSendStellaConnectRequestBool",
    "doNotSendStellaConnectBool",
    "doNotSendAgentConnectRequestBool",
    "doNotSendAgentConnectBool",
)
"""The attributes of the official set-up, obeyed unless the setting `do_not_send_attribute` names another."""

_YES = frozenset(["true", "yes", "y", "1", "on", "t", "x"])
_NO = frozenset(["", "false", "no", "n", "0", "off", "f", "none", "null"])

OptOut = Literal["yes", "no", "masked"]


def obeyed_attributes(configured: str | None) -> tuple[str, ...]:
    """Names of the attributes that count: the configured one, else those of the official set-up."""
    return OFFICIAL_ATTRIBUTES if configured is None else (configured,)


def read_opt_out(custom: Mapping[str, Any], configured: str | None) -> OptOut:
    """Read what the custom attributes of a conversation say; one "yes" is enough.

    A value that is neither yes nor no counts as yes, because a person wrote it on purpose. A masked value says
    nothing: the key may not read it.

    >>> [read_opt_out({"quiet": value}, "quiet") for value in (True, "Yes", [1], "no", "****", "never!")]
    ['yes', 'yes', 'yes', 'no', 'masked', 'yes']
    """
    said = {_read(custom.get(name)) for name in obeyed_attributes(configured)}
    return "yes" if "yes" in said else "masked" if "masked" in said else "no"


def opt_out_at_send(planned: bool | None, shown: OptOut | None) -> OptOut:
    """Return what is known of the opt-out when the interaction is due.

    Args:
        planned: as the ledger holds it since extraction; None: it could not be read then.
        shown: as the conversation shows it now; None: it could not be read again.
    """
    if planned:
        return "yes"
    if shown is None:
        return "masked" if planned is None else "no"
    return shown


def _read(value: object) -> OptOut:
    if isinstance(value, list):
        said = {_read(item) for item in value}
        return "yes" if "yes" in said else "masked" if "masked" in said else "no"
    if value is None or value == {}:
        return "no"
    word = str(value).strip().casefold() if isinstance(value, str | bool | int) else _number(value)
    if word in _NO:
        return "no"
    return "masked" if word not in _YES and is_masked(word) else "yes"


def _number(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else "unreadable"
