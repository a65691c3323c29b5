"""What all sections of the file have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A mapping in the file: no unknown keys, and frozen once loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_what_is_empty(cls, value: Any) -> Any:
        """A key with nothing behind it (`openai:`) stands for its default, and so does a whole section."""
        if value is None:
            return {}
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def check_not_empty(entries: tuple[Any, ...]) -> tuple[Any, ...]:
    if not entries:  # pydantic's own check counts what is valid, and complains a second time about a bad entry
        raise ValueError("must have at least one entry")
    return entries
