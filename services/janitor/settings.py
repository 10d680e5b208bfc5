"""What the janitor needs to know."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from coffee_ledger.runtime.settings import MatchingSettings, PublicHost


class JanitorSettings(MatchingSettings):
    PENDING_TTL_HOURS: Annotated[
        int, Field(default=24, ge=1, le=8760, description="a whole number of hours from 1 to 8760")
    ]
    RETENTION_DAYS: Annotated[
        int, Field(default=90, ge=1, le=3650, description="a whole number of days from 1 to 3650")
    ]

    DISK_FOLDER: Annotated[
        Path, Field(default=Path("/"), description="a folder on the disk whose free space is watched, such as /")
    ]

    PROBE_URL: Annotated[
        str | None,
        Field(default=None, pattern=r"^https?://\S+$", description="where the webhook is reached through the proxy"),
    ]
    PROBE_SECRET: Annotated[
        SecretStr | None, Field(default=None, description="what probes are signed with; drawn at the first start")
    ]
    PUBLIC_HOST: PublicHost

    @property
    def pending_ttl(self) -> timedelta:
        return timedelta(hours=self.PENDING_TTL_HOURS)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.RETENTION_DAYS)
