"""What the parts of the settings share."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from include.interactions.text import trimmed

MAX_DURATION_SECONDS = 3_153_600_000
"""A hundred years: more cannot be added to every time."""

Word = Annotated[str, BeforeValidator(lambda value: trimmed(value) if isinstance(value, str) else value)]
"""Text without spaces or invisible characters at its ends, as a copied name often has."""


class SettingPart(BaseModel):
    """An object in the settings; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
