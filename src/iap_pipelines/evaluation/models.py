"""The models of a run, by role, and why some are missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class NotMeasured(Exception):
    """Why a metric has no value for this clip; one line for the table."""


@dataclass(frozen=True)
class EvaluationModels:
    """Models by role.

    Args:
        loaded: what was loaded; each has a `name` and a `revision`.
        missing: why the others were not.
    """

    loaded: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)

    def find(self, role: str) -> Any:
        """The model, or ``None``."""
        return self.loaded.get(role)

    def require(self, role: str) -> Any:
        """The model.

        Raises:
            NotMeasured: with the reason why it is missing.
        """
        if role not in self.loaded:
            raise NotMeasured(f"{role}: {self.missing.get(role, 'not chosen')}")
        return self.loaded[role]

    def revisions(self) -> dict[str, str | None]:
        """Name and revision of every role, ``None`` for missing ones, sorted by role."""
        roles = sorted({*self.loaded, *self.missing})
        return {
            role: f"{self.loaded[role].name} ({self.loaded[role].revision})" if role in self.loaded else None
            for role in roles
        }
