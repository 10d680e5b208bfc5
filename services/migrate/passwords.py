"""Set the passwords of the database's roles. Send only SCRAM verifiers, which Postgres stores in place of the passwords."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping

import asyncpg
import structlog
from pydantic import SecretStr

from coffee_ledger.store.database import Connection

SCRAM_ITERATIONS = 4096
SALT_BYTES = 16

log = structlog.stdlib.get_logger()


async def set_passwords(db: Connection, passwords: Mapping[str, SecretStr]) -> None:
    """
    Set the password of each role.

    Postgres stores a verifier instead of the password, and it also accepts a verifier from a client. So this function sends
    only verifiers. The server might log a statement, but no statement contains a password. If the owner is a superuser, this
    function also turns off the logging of statements in its transaction, so that the log contains no verifier.
    """
    async with db.transaction():
        if await db.fetchval("SELECT current_setting('is_superuser') = 'on'"):
            await db.execute(
                "SET LOCAL log_statement = none;"
                "SET LOCAL log_min_duration_statement = -1;"
                "SET LOCAL log_min_error_statement = panic"
            )
        for role, password in passwords.items():
            await _set_password(db, role, password.get_secret_value())


async def _set_password(db: Connection, role: str, password: str) -> None:
    # ALTER ROLE accepts no query parameters, so format the verifier into the statement. A verifier contains no character that must
    # be escaped in a string in SQL.
    quoted = await db.fetchval("SELECT quote_ident($1)", role)
    try:
        async with db.transaction():
            verifier = make_verifier(password, secrets.token_bytes(SALT_BYTES))
            await db.execute(f"ALTER ROLE {quoted} PASSWORD '{verifier}'")
    except asyncpg.InsufficientPrivilegeError:
        log.warning("password not set, the owner of the database may not change this role", role=role)


def make_verifier(password: str, salt: bytes) -> str:
    """
    Return the SCRAM-SHA-256 verifier of a password of ASCII characters.

    Source: https://www.postgresql.org/docs/18/catalog-pg-authid.html and RFC 5803, read 2026-11-30
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
