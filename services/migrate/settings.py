"""Define the settings of the one-shot service that migrates the database."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr

from coffee_ledger.runtime.settings import Settings
from services.migrate.connections import Replicas

PASSWORD_FILE = "password_"  # noqa: S105 — the start of a file name, not a password


def _replicas_of(service: str) -> Any:
    return Field(
        default=1,
        ge=1,
        le=50,
        description=f"the number of {service} that run at the same time, from 1 to 50",
        json_schema_extra={
            "note": f"The setting limits the database connections of all {service} together. The limit is twice the number that they "
            f"need, because an update may start new {service} before it stops the old ones. To start more {service}, use --scale."
        },
    )


class MigrateSettings(Settings):
    WEBHOOK_REPLICAS: Annotated[int, _replicas_of("webhooks")]
    BOT_REPLICAS: Annotated[int, _replicas_of("bots")]
    JANITOR_REPLICAS: Annotated[int, _replicas_of("janitors")]
    ROLES_FOLDER: Annotated[
        Path | None,
        Field(
            default=None,
            description="the folder with a file password_ROLE for each role of the database",
            json_schema_extra={
                "note": "The service `migrate` sets these passwords at each start. Without the folder, it sets no passwords."
            },
        ),
    ]
    DATABASE_FOLDER: Annotated[
        Path | None,
        Field(
            default=None,
            description="the folder in which Postgres has a folder for each major version",
            json_schema_extra={"note": "Compose sets it to the volume of the database."},
        ),
    ]

    @property
    def replicas(self) -> Replicas:
        return Replicas(webhook=self.WEBHOOK_REPLICAS, bot=self.BOT_REPLICAS, janitor=self.JANITOR_REPLICAS)

    def read_passwords(self) -> dict[str, SecretStr]:
        """Return the password of each database role that has a password file."""
        if self.ROLES_FOLDER is None:
            return {}
        return {
            file.name.removeprefix(PASSWORD_FILE): SecretStr(file.read_text(encoding="utf-8").strip())
            for file in sorted(self.ROLES_FOLDER.glob(f"{PASSWORD_FILE}*"))
        }
