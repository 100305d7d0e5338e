"""The installation that the scenarios start from, with faults below HTTP and in our own processes."""

from tests.scenarios.conftest import close, hour, pipeline, sandbox, settings, size

__all__ = ["close", "hour", "pipeline", "sandbox", "settings", "size"]
