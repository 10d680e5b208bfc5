"""What the webhook needs to know."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from coffee_ledger.runtime.settings import MatchingSettings, parse_list, refuse_value

SECRET_LENGTH_MIN = 8
"""BMC documents no length. This admits any secret that a machine drew and refuses most words that a person typed to fill the line."""

PLACEHOLDER_WORDS = re.compile(
    "(?:your|my|bmc|buymeacoffee|webhook|signing|probe|secret|key|password|here|example|placeholder|please|test|todo"
    "|change(?:me|this|it)?|replace(?:me|this)?|insert|paste|12345678(?:90?)?|1)+"
)
"""Placeholders without the signs between their words: `your-signing-secret`, `change_me`, `password1`."""

DISTINCT_CHARACTERS_MIN = 4
"""Fewer make a row of `x` or `*` rather than a secret."""


def _refuse_a_placeholder(secret: SecretStr) -> SecretStr:
    """Refuse a secret that a stranger would guess; whoever guesses it can credit anybody."""
    text = secret.get_secret_value()
    if len(text) < SECRET_LENGTH_MIN:
        raise refuse_value(f"has a secret of fewer than {SECRET_LENGTH_MIN} characters")
    words = re.sub(r"[\W_]", "", text.lower())
    if len(set(text)) < DISTINCT_CHARACTERS_MIN or PLACEHOLDER_WORDS.fullmatch(words):
        raise refuse_value("has a placeholder instead of a secret")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_refuse_a_placeholder)]


class WebhookSettings(MatchingSettings):
    BMC_WEBHOOK_SECRETS: Annotated[
        list[Secret],
        BeforeValidator(parse_list),
        Field(
            min_length=1,
            description="the signing secret that Buy Me a Coffee shows beside the webhook; while you change it, "
            "the new and the old one with a comma between",
        ),
    ]
    PROBE_SECRET: Annotated[
        Secret | None,
        Field(default=None, description="a secret of its own for the janitor's probes; drawn at the first start"),
    ]
    SPOOL_FOLDER: Annotated[
        Path | None,
        Field(default=None, description="a folder that outlives the container, for what the database cannot take"),
    ]
    BMC_WEBHOOK_PORT: Annotated[int, Field(default=8080, ge=1, le=65535, description="the port to take deliveries on")]

    @field_validator("PROBE_SECRET")
    @classmethod
    def _refuse_a_signing_secret(cls, secret: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        """Refuse a secret that also signs payments: a payment would be taken for a probe, answered 200 and rolled back."""
        if secret in others.data.get("BMC_WEBHOOK_SECRETS", []):
            raise refuse_value("is also one of BMC_WEBHOOK_SECRETS")
        return secret

    @property
    def secrets(self) -> tuple[bytes, ...]:
        return tuple(secret.get_secret_value().encode() for secret in self.BMC_WEBHOOK_SECRETS)
