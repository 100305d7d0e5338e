"""What exists at Kustomer for rules and mapping, and how often recent closings use it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from include.interactions.closing_facts import stella_language
from include.interactions.records import Conversation
from include.interactions.text import is_masked
from include.interactions.vendor_check.findings import Finding, Light, Unread

KINDS = {"brand": "Brands", "queue": "Queues", "team": "Teams", "sub_status": "Sub-statuses"}
"""What has ids and names, with its topic."""
MAX_VALUES = 40


def describe_usage(
    sample: Sequence[Conversation], names: Mapping[str, Mapping[str, str] | Unread]
) -> list[Finding]:
    """Count the values of the sampled conversations; `names` has the names by id for each of `KINDS`."""
    findings = []
    for kind, topic in KINDS.items():
        used = Counter(value for conversation in sample for value in conversation.details.values.get(kind, ()))
        findings.append(_list(topic, used, names[kind], len(sample)))
    channels = Counter(value for conversation in sample for value in conversation.details.channels)
    languages = Counter(language for conversation in sample if (language := _language_of(conversation)))
    custom = Counter(
        name for conversation in sample for name, value in (conversation.custom or {}).items() if value is not None
    )
    for topic, counts in (("Channels", channels), ("Languages", languages), ("Custom attributes", custom)):
        findings.append(_list(topic, counts, {}, len(sample)))
    return [*findings, _describe_masking(sample)]


def _language_of(conversation: Conversation) -> str | None:
    return next(filter(None, map(stella_language, conversation.details.languages)), None)


def _list(topic: str, used: Mapping[str, int], known: Mapping[str, str] | Unread, sample: int) -> Finding:
    names = known if isinstance(known, Mapping) else {}
    counts = {names.get(value, value): number for value, number in used.items()}
    parts = [f"{name} ({number})" for name, number in sorted(counts.items(), key=lambda entry: -entry[1])]
    parts += [f"{name} (0)" for value, name in names.items() if value not in used]
    light, meaning = Light.GREEN, f"Used by so many of {sample} conversations."
    if isinstance(known, Unread):
        light, meaning = Light.YELLOW, f"Names cannot be read ({known.why}). Rules must use ids."
    return Finding("Kustomer", topic, light, ", ".join(parts[:MAX_VALUES]) or "none", meaning)


def _describe_masking(sample: Sequence[Conversation]) -> Finding:
    values = [value for conversation in sample for value in (conversation.custom or {}).values()]
    masked = sum(isinstance(value, str) and is_masked(value) for value in values)
    light = Light.YELLOW if masked else Light.GREEN
    meaning = "Rules and mapping cannot use them." if masked else "Nothing to do."
    return Finding(
        "Kustomer", "Masked values", light, f"{masked} of {len(values)} values of custom attributes", meaning
    )
