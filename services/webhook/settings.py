"""What the webhook needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from services.runtime.settings import MatchingSettings, parse_list


class WebhookSettings(MatchingSettings):
    BMC_WEBHOOK_SECRETS: Annotated[
        list[SecretStr],
        BeforeValidator(parse_list),
        Field(
            min_length=1,
            description="the signing secret that Buy Me a Coffee shows beside the webhook; while you change it, "
            "the new and the old one with a comma between",
        ),
    ]
    PROBE_SECRET: Annotated[
        SecretStr | None,
        Field(default=None, description="what the janitor's probes are signed with; drawn at the first start"),
    ]
    SPOOL_FOLDER: Annotated[
        Path | None,
        Field(default=None, description="a folder that outlives the container, for what the database cannot take"),
    ]
    BMC_WEBHOOK_PORT: Annotated[int, Field(default=8080, ge=1, le=65535, description="the port to take deliveries on")]

    @property
    def secrets(self) -> tuple[bytes, ...]:
        return tuple(secret.get_secret_value().encode() for secret in self.BMC_WEBHOOK_SECRETS)
