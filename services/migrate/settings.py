"""Define the settings of the one-shot service that migrates the database."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from coffee_ledger.runtime.settings import Settings

PASSWORD_FILE = "password_"  # noqa: S105 — the start of a file name, not a password


class MigrateSettings(Settings):
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

    def read_passwords(self) -> dict[str, SecretStr]:
        """Return the password of each role that has a file."""
        if self.ROLES_FOLDER is None:
            return {}
        return {
            file.name.removeprefix(PASSWORD_FILE): SecretStr(file.read_text(encoding="utf-8").strip())
            for file in sorted(self.ROLES_FOLDER.glob(f"{PASSWORD_FILE}*"))
        }
