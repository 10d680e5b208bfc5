"""What the janitor needs to know."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from services.runtime.settings import MatchingSettings


class JanitorSettings(MatchingSettings):
    PENDING_TTL_HOURS: Annotated[
        int, Field(default=24, ge=1, le=8760, description="a whole number of hours from 1 to 8760")
    ]
    RETENTION_DAYS: Annotated[
        int, Field(default=90, ge=1, le=3650, description="a whole number of days from 1 to 3650")
    ]

    @property
    def pending_ttl(self) -> timedelta:
        return timedelta(hours=self.PENDING_TTL_HOURS)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.RETENTION_DAYS)
