"""The trigger form: an interval of closings, and every setting for this run only."""

from typing import Any

from airflow.sdk import Param

from include.interactions.settings import Settings

INTERVAL, OVERRIDES = "Closings to read", "Settings for this run only"
UNCHANGED = "as configured"
"""Shown for a choice that the Variable or the default decides."""


def interval_params() -> dict[str, Param]:
    """`start` and `end` of the closings to extract; empty: the run's own interval."""
    return {
        "start": _instant(
            "Closed from",
            "Start of the interval (included), UTC. If both are empty, the run reads the last full hour.",
        ),
        "end": _instant("Closed before", "End of the interval (excluded), UTC. Fill in both or neither."),
        "judge_again": Param(
            None,
            type=["null", "boolean"],
            title="Judge again",
            description=(
                "For backfills and manual runs, after a key or setting was corrected: plan skipped closings of the "
                "interval again if extraction would plan them today."
            ),
            section=INTERVAL,
        ),
    }


def setting_params() -> dict[str, Param]:
    """Return a Param for each simple setting; if it is empty, the Variable or the default decides.

    Rules and other JSON are not in the form: set them in the Variable, for all runs.
    """
    schemas = Settings.model_json_schema()["properties"]
    forms = {name: _form_of(schemas[name]) for name in Settings.model_fields}
    return {
        name: _setting(Settings.model_fields[name].default, form)
        for name, form in forms.items()
        if form["type"] not in ("object", "array")
    }


def _instant(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], format="date-time", title=title, description=description, section=INTERVAL
    )


def _form_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a setting's schema for the form; of a text or a mapping the form takes the text."""
    return {**schema, **next((option for option in schema.get("anyOf", []) if option["type"] != "null"), {})}


def _setting(default: object, options: dict[str, Any]) -> Param:
    form: dict[str, Any] = {key: options[key] for key in ("minimum", "maximum", "minLength") if key in options}
    if "enum" in options:
        form["enum"] = [None, *options["enum"]]
        form["values_display"] = {"null": UNCHANGED}  # the form would say "null"
    description = f"{options['description']} Default: {'none' if default is None else default}."
    return Param(
        None,
        type=["null", options["type"]],
        title=options["title"],
        description=description,
        section=OVERRIDES,
        **form,
    )
