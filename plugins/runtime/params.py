"""The trigger form: an interval of closings, and every setting for this run only."""

from typing import Any

from airflow.sdk import Param

from include.interactions.settings import Settings

INTERVAL, OVERRIDES = "Which closings", "Settings for this run only"
UNCHANGED = "as configured"
"""What the form shows for a choice that is left to the Variable or the default."""


def interval_params() -> dict[str, Param]:
    """`start` and `end` of the closings to extract; empty: the run's own interval."""
    return {
        "start": _instant(
            "Closed from",
            "Start of the interval (included), UTC. Empty: the last full hour before the logical date.",
        ),
        "end": _instant("Closed before", "End of the interval (excluded), UTC. Give both or neither."),
    }


def setting_params() -> dict[str, Param]:
    """One Param for each setting, empty by default: then the Variable decides, or the default."""
    schema = Settings.model_json_schema()["properties"]
    return {name: _setting(Settings.model_fields[name].default, schema[name]) for name in Settings.model_fields}


def _instant(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], format="date-time", title=title, description=description, section=INTERVAL
    )


def _setting(default: object, schema: dict[str, Any]) -> Param:
    options = {**schema, **next((s for s in schema.get("anyOf", []) if s["type"] != "null"), {})}
    form = {key: options[key] for key in ("minimum", "maximum", "minLength") if key in options}
    if "enum" in options:
        form["enum"] = [None, *options["enum"]]
        form["values_display"] = {"null": UNCHANGED}  # the form would say "null"
    description = f"{schema['description']} Default: {'none' if default is None else default}."
    return Param(
        None,
        type=["null", options["type"]],
        title=schema["title"],
        description=description,
        section=OVERRIDES,
        **form,
    )
