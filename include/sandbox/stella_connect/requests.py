"""What `POST /v1/requests` refuses (fact sheet, section 2), strictly where it is silent.

The body of a refusal is not documented; ours has the name from the vendor's list of invalid requests in `error`
and a sentence, with personal data as their page shows it, in `message`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from include.sandbox.model import Employee, Json

MAX_TAGS = 20
MAX_TEXT = 2000

_TOP_LEVEL = {
    "customer", "employee", "channel", "tags", "ext_interaction_id", "external_url", "do_not_send", "brand",
    "language", "country", "custom_properties",
}  # fmt: skip
_OF_RECOVERY = {
    "do_not_send", "tags", "employee", "initial_feedback_request_id", "ext_interaction_id", "external_url",
}  # fmt: skip
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class RefusedRequest(Exception):  # noqa: N818 - named after the vendor's answer
    """A refusal with the vendor's name for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


@dataclass(frozen=True, slots=True)
class Account:
    """How the company is set up at Stella Connect. Of several brands or languages each request must name one."""

    brands: tuple[str, ...]
    languages: tuple[str, ...]
    channels: tuple[str, ...]


def check(given: Any, employees: Iterable[Employee], account: Account) -> Json:
    """Return the request as the vendor keeps it: long texts cut. Raises RefusedRequest."""
    if not isinstance(given, dict):
        raise RefusedRequest("Validation Error", "the body must be a JSON object")
    for key in given:
        if key not in _TOP_LEVEL:
            raise RefusedRequest("Validation Error", f"unknown property {key}")
    for key in ("ext_interaction_id", "external_url", "brand", "language", "country"):
        if key in given and (not isinstance(given[key], str) or not given[key].strip()):
            raise RefusedRequest("Validation Error", f"{key} must be a non-empty string")
    if "ext_interaction_id" not in given:
        raise RefusedRequest("Validation Error", "ext_interaction_id is missing")
    _check_channel(given.get("channel"), account)
    _check_customer(given.get("customer"))
    _check_employee(given.get("employee"), employees)
    _check_brand_and_language(given, account)
    _check_details(given)
    kept = dict(given)
    if "tags" in given:
        kept["tags"] = [tag[:MAX_TEXT] for tag in _tags(given["tags"])]
    if "custom_properties" in given:
        pairs = _properties(given["custom_properties"])
        kept["custom_properties"] = {key: value[:MAX_TEXT] for key, value in pairs.items()}
    return kept


def check_recovery(given: Any, employees: Iterable[Employee]) -> Json:
    """Return a service recovery as the vendor keeps it. Raises RefusedRequest.

    No field is documented as required; but without the first request's id nothing can be looked up.
    """
    if not isinstance(given, dict):
        raise RefusedRequest("Validation Error", "the body must be a JSON object")
    for key in given:
        if key not in _OF_RECOVERY:
            raise RefusedRequest("Validation Error", f"unknown property {key}")
    for key in ("ext_interaction_id", "external_url", "initial_feedback_request_id"):
        if key in given and (not isinstance(given[key], str) or not given[key].strip()):
            raise RefusedRequest("Validation Error", f"{key} must be a non-empty string")
    if "ext_interaction_id" not in given:
        raise RefusedRequest("Validation Error", "ext_interaction_id is missing")
    _check_employee(given.get("employee"), employees)
    _check_details(given)
    return {**given, **({"tags": [tag[:MAX_TEXT] for tag in _tags(given["tags"])]} if "tags" in given else {})}


def _check_channel(channel: Any, account: Account) -> None:
    if not isinstance(channel, str):
        raise RefusedRequest("Validation Error", "channel must be a string")
    if channel not in account.channels:
        raise RefusedRequest("Channel not enabled for company", f"channel {channel} is not enabled")


def _known(part: Any, name: str, keys: set[str]) -> Json:
    if not isinstance(part, dict):
        raise RefusedRequest("Validation Error", f"{name} must be an object")
    for key, value in part.items():
        if key not in keys:
            raise RefusedRequest("Validation Error", f"unknown property {name}.{key}")
        if not isinstance(value, str):
            raise RefusedRequest("Validation Error", f"{name}.{key} must be a string")
    return part


def _check_customer(given: Any) -> None:
    customer = _known(given, "customer", {"custom_id", "name", "email"})
    name, email = customer.get("name", ""), customer.get("email", "")
    if not name.strip() or _CONTROL.search(name):
        raise RefusedRequest("Invalid customer", f"the name of {email} is badly formed")
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise RefusedRequest("Invalid customer", f"the e-mail address {email} of {name} is badly formed")


def _check_employee(given: Any, employees: Iterable[Employee]) -> None:
    """Refuse an employee without an approved profile; an address must be spelled exactly as in the profile."""
    employee = _known(given, "employee", {"custom_id", "email"})
    if not employee:
        raise RefusedRequest("Validation Error", "employee needs email or custom_id")
    shown = employee.get("email") or employee.get("custom_id")
    key = "email" if "email" in employee else "custom_id"
    found = next((known for known in employees if getattr(known, key) == employee[key]), None)
    if found is None:
        raise RefusedRequest("Employee not found", f"no employee {shown}")
    if found.status == "deactivated":
        raise RefusedRequest("Deactivated employee", f"employee {shown} is deactivated")
    if found.status != "active":
        raise RefusedRequest("Employee profile not complete", f"the profile of {shown} is not approved")


def _check_brand_and_language(given: Json, account: Account) -> None:
    if "brand" not in given and len(account.brands) > 1:
        raise RefusedRequest("Brand signifier not provided", "this account has several brands")
    if "brand" in given and given["brand"] not in account.brands:
        raise RefusedRequest("Invalid/inactive brand signifier", f"brand {given['brand']} is not active")
    if "language" not in given and len(account.languages) > 1:
        raise RefusedRequest("Language not specified", "this account has several languages")
    if not re.fullmatch(r"[a-z]{2}(-[A-Za-z]{2,3})?", given.get("language", "en")):
        raise RefusedRequest("Validation Error", "language must look like en or en-US")
    if "language" in given and account.languages and given["language"] not in account.languages:
        raise RefusedRequest("Validation Error", f"language {given['language']} is not set up")


def _check_details(given: Json) -> None:
    if "do_not_send" in given and not isinstance(given["do_not_send"], bool):
        raise RefusedRequest("Validation Error", "do_not_send must be a boolean")
    if not re.fullmatch(r"[A-Z]{2}", given.get("country", "NL")):
        raise RefusedRequest("Validation Error", "country must be two capital letters")
    if not re.fullmatch(r"https?://\S+", given.get("external_url", "https://example.org")):
        raise RefusedRequest("Validation Error", "external_url must be a web address")


def _tags(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise RefusedRequest("Validation Error", "tags must be a list of strings")
    if len(given) > MAX_TAGS:
        raise RefusedRequest("Validation Error", f"at most {MAX_TAGS} tags are allowed")
    return given


def _properties(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise RefusedRequest("Validation Error", "custom_properties must be one level of strings")
    return given
