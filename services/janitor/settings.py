"""Define the settings of the janitor."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from coffee_ledger.runtime.settings import PROBE_SECRET_FIELD, MatchingSettings, PendingTtlHours, PublicHost


def _check_api_token(token: SecretStr) -> SecretStr:
    # The token of BMC's API is sent in a header, so it must not contain blanks or line breaks. An operator may have copied too
    # much, for example a label before the token.
    if not re.fullmatch("[!-~]+", token.get_secret_value()):
        raise ValueError("not a token")
    return token


class JanitorSettings(MatchingSettings):
    PENDING_TTL_HOURS: PendingTtlHours
    RETENTION_DAYS: Annotated[
        int,
        Field(
            default=90,
            ge=1,
            le=3650,
            description="the time after which raw events, notes, names and e-mail addresses are erased, as a whole number of days "
            "from 1 to 3650",
        ),
    ]
    DISK_FOLDER: Annotated[
        Path,
        Field(
            default=Path("/"),
            description="a folder on the disk whose free space is measured, such as /",
            json_schema_extra={"note": "Compose sets it to a volume."},
        ),
    ]
    PROBE_URL: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^https?://\S+$",
            description="the address of the webhook through the proxy, to which the janitor sends a probe every 30 seconds",
            json_schema_extra={
                "note": "A probe is a synthetic payment; it is settled and rolled back. Compose sets https://proxy/bmc-webhook. If you "
                "replace Caddy by nginx, write https://YOUR_NGINX_CONTAINER/bmc-webhook."
            },
        ),
    ]
    PROBE_SECRET: Annotated[SecretStr | None, PROBE_SECRET_FIELD]
    PUBLIC_HOST: PublicHost
    BMC_API_TOKEN: Annotated[
        Annotated[SecretStr, AfterValidator(_check_api_token)] | None,
        Field(
            default=None,
            description="the token that the dashboard at https://developers.buymeacoffee.com generates for Buy Me a Coffee's API, "
            "without the word Bearer",
            json_schema_extra={
                "note": "With it, the janitor finds payments whose webhook was lost. Coffee Ledger only reads from the API. Only the "
                "janitor gets the token."
            },
        ),
    ]

    BMC_API_URL: Annotated[
        str,
        Field(
            default="https://developers.buymeacoffee.com/api/v1",
            pattern=r"^https?://\S+[^/\s]$",
            description="the address of Buy Me a Coffee's API, without a slash at the end",
            json_schema_extra={"note": "The demo sets the address of its stand-in for Buy Me a Coffee."},
        ),
    ]

    @property
    def pending_ttl(self) -> timedelta:
        return timedelta(hours=self.PENDING_TTL_HOURS)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.RETENTION_DAYS)
