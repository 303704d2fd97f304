"""What all tables of the configuration have in common."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Table", "required", "setting"]


def setting(plan: type, name: str, text: str, *, example: object) -> Any:
    """A key that may be left out: its default is that of the plan's field `name`."""
    default = next(entry.default for entry in fields(plan) if entry.name == name)
    assert default is not MISSING
    return Field(default=default, description=text, examples=[example])


def required(text: str, *, example: object, **more: Any) -> Any:
    return Field(description=text, examples=[example], **more)


class Table(BaseModel):
    """What all tables have in common: unknown keys are refused, nothing is converted in silence, nothing changes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True, arbitrary_types_allowed=True)
