"""The settings of the webhook."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from coffee_ledger.runtime.settings import PROBE_SECRET_FIELD, MatchingSettings, parse_list, refuse_value

SECRET_LENGTH_MIN = 8
"""
The minimum length of a secret. BMC does not document the length of its secrets.

The limit is low enough to accept every generated secret. It refuses most words that a person types as a placeholder.
"""

PLACEHOLDER_WORDS = re.compile(
    "(?:your|my|bmc|buymeacoffee|webhook|signing|probe|secret|key|password|here|example|placeholder|please|test|todo"
    "|change(?:me|this|it)?|replace(?:me|this)?|insert|paste|12345678(?:90?)?|1)+"
)
"""Matches placeholders such as `your-signing-secret`, `change_me` or `password1`, after the punctuation is removed."""

DISTINCT_CHARACTERS_MIN = 4
"""The minimum number of different characters in a secret. Placeholders such as `xxxxxxxx` have fewer."""


def _refuse_a_placeholder(secret: SecretStr) -> SecretStr:
    """Refuse a secret that is easy to guess. A stranger who knows the secret can credit any user."""
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
            description="the signing secret that Buy Me a Coffee shows beside the webhook",
            json_schema_extra={
                "note": "On Buy Me a Coffee, open Integrations, Webhooks, Create new webhook, and enter the address "
                "https://PUBLIC_HOST/bmc-webhook. The secret is shown once the webhook is saved. While you change the secret, "
                "write the new and the old secret, separated by a comma."
            },
        ),
    ]
    # Keep this field below BMC_WEBHOOK_SECRETS. The validator of this field needs the signing secrets, and pydantic passes to a
    # validator only the fields that are defined above its own field.
    PROBE_SECRET: Annotated[Secret | None, PROBE_SECRET_FIELD]
    SPOOL_FOLDER: Annotated[
        Path | None,
        Field(
            default=None,
            description="a folder that outlives the container, for events that the database cannot take",
            json_schema_extra={
                "note": "Without it, deliveries are refused while the database is away. Compose sets it to a volume."
            },
        ),
    ]
    BMC_WEBHOOK_PORT: Annotated[
        int, Field(default=8080, ge=1, le=65535, description="the port that receives deliveries from the proxy")
    ]

    @field_validator("PROBE_SECRET")
    @classmethod
    def _refuse_a_signing_secret(cls, secret: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        """Refuse a probe secret that also signs payments, because a probe would then be settled like a payment."""
        # If BMC_WEBHOOK_SECRETS is malformed, `others.data` does not contain it, and pydantic reports that error separately.
        if secret in others.data.get("BMC_WEBHOOK_SECRETS", []):
            raise refuse_value("is also one of BMC_WEBHOOK_SECRETS")
        return secret

    @property
    def secrets(self) -> tuple[bytes, ...]:
        return tuple(secret.get_secret_value().encode() for secret in self.BMC_WEBHOOK_SECRETS)
