"""Simulators of Kustomer's and Stella Connect's APIs, as real HTTP servers.

Built from the vendors' published facts; where those are silent, the stricter or harder reading was chosen and
the place in the code says so. Nothing here imports the rest of the project, and only tests, the benchmark and
the demo import this.
"""

from include.sandbox.options import (
    EXPIRED_KUSTOMER_KEY,
    KUSTOMER_KEY,
    OTHER_KUSTOMER_KEY,
    RULES_KUSTOMER_KEY,
    STELLA_KEY,
    STELLA_SECRET,
    WRITING_KUSTOMER_KEY,
    Options,
)
from include.sandbox.organisation import generate
from include.sandbox.server import PortTaken, Sandbox, start
from include.sandbox.state import State

__all__ = [
    "EXPIRED_KUSTOMER_KEY",
    "KUSTOMER_KEY",
    "OTHER_KUSTOMER_KEY",
    "RULES_KUSTOMER_KEY",
    "STELLA_KEY",
    "STELLA_SECRET",
    "WRITING_KUSTOMER_KEY",
    "Options",
    "PortTaken",
    "Sandbox",
    "State",
    "generate",
    "start",
]
