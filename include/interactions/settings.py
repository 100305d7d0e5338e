"""The settings of the pipeline: one Airflow Variable, each key overridable in the trigger form.

Checked when a run starts. The trigger form and the README show the descriptions below.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails

from include.interactions.cap import Cap
from include.interactions.mapping import Brand, Channel, Country, Language, Properties
from include.interactions.recovery import Recoveries
from include.interactions.rules import Rules, place_in_rules
from include.interactions.send_window import SendWindow
from include.interactions.setting_types import MAX_DURATION_SECONDS, SettingPart, Word
from include.interactions.write_back import WriteBack

VARIABLE = "kustomer_stella_connect"
"""The Airflow Variable that holds the settings as JSON."""

MAX_SENDERS = 64
"""Requests under way at once, unless the setting says otherwise."""

WholeNumber = Annotated[int, Field(strict=True)]
MAX_DURATION_DAYS = 36_500
DEFAULT_CHANNEL = "email"
MIN_SECONDS_TO_SEND = 60
"""A release takes at least this long from the end of its window to its last request."""
OTHER_PARAMS = ("start", "end", "judge_again")
"""Params of a run that are not settings."""


_JSON_OBJECT = WithJsonSchema({"type": "object"})
_TEXT_OR_MAPPING = WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "object"}]})
"""Texts of the trigger form and the tables for settings with several values."""


class SettingsError(ValueError):
    """A setting that cannot be used; the message names every wrong key and what is allowed."""


class Settings(SettingPart):
    """How an organisation wants its interactions released. Times are in seconds."""

    seconds_until_send: WholeNumber = Field(
        86400,
        ge=0,
        le=MAX_DURATION_SECONDS,
        title="Seconds until send",
        description="Seconds from the closing to the survey. In the official app: seconds until send. A channel "
        "delay in Stella Connect comes on top.",
    )
    release_window_seconds: WholeNumber = Field(
        60,
        ge=5,
        le=3600,
        title="Release window (seconds)",
        description="Interactions due within this span are sent together, when the last one is due.",
    )
    handover_seconds: WholeNumber = Field(
        900,
        ge=0,
        le=3600,
        title="Handover (seconds)",
        description="How far into the next interval a run still releases, while the next run extracts.",
    )
    overlap_seconds: WholeNumber = Field(
        3600,
        ge=0,
        le=86400,
        title="Overlap (seconds)",
        description="How far back scheduled runs read again, for closings that the search showed late.",
    )
    on_reopen: Literal["cancel", "keep"] = Field(
        "cancel",
        title="On reopen",
        description="If a conversation is reopened before its send: no survey (cancel), or still a survey (keep).",
    )
    on_expired: Literal["count", "send", "skip"] = Field(
        "count",
        title="On expired",
        description="If an interaction is past its expiry: counted in Stella Connect without a survey, sent, or "
        "skipped.",
    )
    expire_after_seconds: WholeNumber = Field(
        604800,
        ge=0,
        le=MAX_DURATION_SECONDS,
        title="Expire after (seconds)",
        description="How long after its due time a survey may still be sent.",
    )
    do_not_send_attribute: Word | None = Field(
        None,
        min_length=1,
        title="Do-not-send attribute",
        description="Name of a custom attribute of conversations, such as doNotSendBool. If it says yes (true, "
        "“Yes”, 1), the interaction counts in Stella Connect and the customer gets no survey. Empty: the "
        "official app's attributes decide.",
    )
    on_own_address: Literal["skip", "send"] = Field(
        "skip",
        title="On own address",
        description="If a customer's only address is the agent's own: skip, or send a survey.",
    )
    on_automatic_address: Literal["skip", "send"] = Field(
        "skip",
        title="On automatic address",
        description="If a customer has only automatic addresses, such as no-reply@ or mailer-daemon@: skip, or "
        "send a survey.",
    )
    channel: Annotated[Channel, _TEXT_OR_MAPPING] = Field(
        DEFAULT_CHANNEL,
        title="Channel",
        description="Channel under which Stella Connect files the interactions. It must be set up there.",
    )
    channel_of: Literal["first", "last"] | None = Field(
        None,
        title="Channel of",
        description="Which channel rules and mapping see in a conversation with several: that of the first or the "
        "last message. Empty: the channel that Kustomer lists first.",
    )
    brand: Annotated[Brand | None, _TEXT_OR_MAPPING] = Field(
        None,
        title="Brand",
        description="Brand under which Stella Connect files the interactions. Needed if the account has several.",
    )
    language: Annotated[Language | None, _TEXT_OR_MAPPING] = Field(
        None,
        title="Language",
        description="Language of the survey, such as fr-CA. Needed if the account has several.",
    )
    country: Annotated[Country | None, _TEXT_OR_MAPPING] = Field(
        None,
        title="Country",
        description="Country of the customer, two letters, for Stella Connect's rules about personal data.",
    )
    custom_properties: Annotated[Properties, _JSON_OBJECT] = Field(
        default={},
        title="Custom properties",
        description="Values that Stella Connect shows beside an interaction: by name, where each comes from.",
    )
    survey_address: Literal["profile", "conversation"] = Field(
        "profile",
        title="Survey address",
        description="Which address gets the survey: the customer's first verified one, else the first (profile); "
        "or the one that wrote (conversation). An address that wrote counts only if it belongs to the customer.",
    )
    rules: Annotated[Rules, WithJsonSchema({"type": "array"})] = Field(
        default=(),
        title="Rules",
        description="Who is surveyed, and how it counts. The first rule whose conditions hold decides.",
    )
    cap: Annotated[Cap | None, _JSON_OBJECT] = Field(
        None,
        title="Cap",
        description="The most surveys for a customer within a number of days. Empty: no limit.",
    )
    send_window: Annotated[SendWindow | None, _JSON_OBJECT] = Field(
        None,
        title="Send window",
        description="Days and hours in which surveys may be sent. Empty: always.",
    )
    on_recheck_failure: Literal["hold", "send"] = Field(
        "hold",
        title="On recheck failure",
        description="If Kustomer does not answer before a send: the interaction waits (hold) or is sent.",
    )
    on_absent: Literal["ask", "resend"] = Field(
        "ask",
        title="On absent",
        description="If Stella Connect does not show an unknown outcome: a person decides (ask), or it is "
        "planned again once (resend).",
    )
    max_releases_per_run: WholeNumber | None = Field(
        None,
        ge=1,
        title="Maximum releases per run",
        description="The most interactions that one run sends, the longest overdue first. Empty: no limit.",
    )
    max_senders: WholeNumber = Field(
        MAX_SENDERS,
        ge=1,
        le=256,
        title="Maximum senders",
        description="The most requests to Stella Connect under way at once. A release starts with 8 and adds one "
        "for each taken request; 429, no answer or no connection halve the number.",
    )
    write_back: Annotated[WriteBack | None, _JSON_OBJECT] = Field(
        None,
        title="Write back",
        description="Which parts of a customer's answer are written to Kustomer: to custom attributes of the "
        "conversation, a custom object, a note. Empty: nothing.",
    )
    recovery: Annotated[Recoveries, WithJsonSchema({"type": "array"})] = Field(
        default=(),
        title="Recovery",
        description="Which answers of unhappy customers lead to which actions: a note, a tag, a message, a "
        "reopening. The first entry whose conditions hold decides. Empty: nothing.",
    )
    max_reopenings_per_hour: WholeNumber = Field(
        20,
        ge=1,
        title="Maximum reopenings per hour",
        description="The most conversations that `recovery` reopens within an hour. Then it pauses until "
        "the hour is over, and an alarm is active.",
    )
    kustomer_requests_per_minute: WholeNumber = Field(
        300,
        ge=1,
        title="Kustomer requests per minute",
        description="Limit for calls to Kustomer, for each task. People and other integrations share the "
        "organisation's budget.",
    )
    personal_data_retention_days: WholeNumber = Field(
        30,
        ge=1,
        le=MAX_DURATION_DAYS,
        title="Personal data retention (days)",
        description="Age at which names and addresses of settled interactions are erased from the ledger.",
    )

    @model_validator(mode="after")
    def _leave_time_to_send(self) -> Self:
        """Refuse an expiry that ends before a release window can be sent: no customer would get a survey."""
        needed = self.release_window_seconds + MIN_SECONDS_TO_SEND
        if self.on_expired != "send" and self.expire_after_seconds < needed:
            raise ValueError(
                f"'expire_after_seconds' = {self.expire_after_seconds} is too short for 'release_window_seconds' = "
                f"{self.release_window_seconds}: interactions would expire before they are sent. Allowed: at least "
                f"{needed}"
            )
        return self


def load_settings(variable: object, params: Mapping[str, object], name: str = VARIABLE) -> Settings:
    """Return the settings of a run: the trigger form's value, else the Variable's, else the default.

    Args:
        variable: the Variable's parsed JSON; None when it does not exist.
        params: the run's Params; None leaves a setting as it is.
        name: of the Variable, for messages.

    Raises:
        SettingsError: names every unknown key and every value that is not allowed.
    """
    unknown = [key for key in params if key not in (*Settings.model_fields, *OTHER_PARAMS)]
    if unknown:
        raise SettingsError(
            f"Params of the run: {_explain_unknown(unknown, (*Settings.model_fields, *OTHER_PARAMS))}"
        )
    if variable is None:
        variable = {}
    if not isinstance(variable, Mapping):
        raise SettingsError(f"Variable {name!r} must be a JSON object of settings, not {type(variable).__name__}.")
    chosen = {key: params[key] for key in Settings.model_fields if params.get(key) is not None}
    try:
        return Settings.model_validate({**variable, **chosen})
    except ValidationError as error:
        given = {**variable, **chosen}
        faults = "; ".join(_explain(fault, given) for fault in error.errors())
        raise SettingsError(f"Settings (Variable {name!r} or Params of the run): {faults}") from None


def read_rules(given: object) -> Rules:
    """Read rules as in the setting `rules`.

    Raises:
        SettingsError: names the rule and the key.
    """
    return load_settings({"rules": given}, {}, "rules").rules


def allowed(key: str) -> str:
    """Say what a setting may be: "whole number >= 0"."""
    schema = Settings.model_json_schema()["properties"][key]
    options = schema.get("anyOf", [schema])
    return " or ".join(_words(option) for option in options)


def _words(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(repr(value) for value in schema["enum"])
    kinds = {
        "integer": "whole number",
        "string": "text",
        "boolean": "true or false",
        "null": "empty",
        "object": "JSON object",
        "array": "JSON list",
    }
    limits = [f"{sign} {schema[key]}" for key, sign in (("minimum", ">="), ("maximum", "<=")) if key in schema]
    return " ".join([kinds[schema["type"]], " and ".join(limits)]).strip()


def _explain(fault: ErrorDetails, given: Mapping[str, object]) -> str:
    location, value = fault["loc"], fault["input"]
    message = fault["msg"].removeprefix("Value error, ")
    if not location:  # of several settings together: the message names them
        return message
    key = str(location[0])
    if key not in Settings.model_fields:
        return _explain_unknown([key], Settings.model_fields)
    if fault["type"] == "extra_forbidden":
        message = "there is no such key"
    if key == "rules" and len(location) > 1:
        return f"{place_in_rules(location[1:], given.get(key))} = {value!r:.80} is not allowed ({message})"
    # Pydantic's names of what a text or mapping may be are no part of the setting.
    below = [str(part) for part in location[1 + (location[1:2] in (("text",), ("mapping",))) :]]
    if below:
        return f"{'.'.join([key, *below])!r} = {value!r:.80} is not allowed ({message})"
    return f"{key!r} = {value!r:.80} is not allowed ({message}); allowed: {allowed(key)}"


def _explain_unknown(keys: Iterable[str], known: Iterable[str]) -> str:
    known = tuple(known)
    faults = []
    for key in keys:
        nearest = difflib.get_close_matches(key, known, 1, cutoff=0.5)
        faults.append(f"{key!r} is not a setting" + (f", perhaps you mean {nearest[0]!r}" if nearest else ""))
    return f"{'; '.join(faults)}; the settings are {', '.join(known)}"
