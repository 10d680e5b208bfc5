"""The errors that this library raises on purpose. Read their fields; do not parse their messages."""


class LedgerError(Exception):
    """Base class of all errors that this library raises on purpose."""


class DatabaseAwayError(LedgerError):
    """
    Postgres cannot be reached, or the connection broke during the call.

    The call may or may not have changed the database. Retrying later may succeed.
    """


class SchemaDiffersError(DatabaseAwayError):
    """
    The schema of the database does not fit this code.

    The error is a `DatabaseAwayError`, so callers handle it as if the database were unreachable.

    *found* is the version of the schema; None if the database has no schema yet. The message says whether the schema or the
    code is too old. It contains no secret.
    """

    def __init__(self, message: str, *, found: int | None) -> None:
        super().__init__(message)
        self.found = found


class RowLockedError(DatabaseAwayError):
    """Another client held a row lock for longer than the lock timeout. Nothing was written; retrying later may succeed."""


class TooManyOpenPaymentsError(LedgerError):
    """The user already has the maximum number of open pending payments."""

    def __init__(self, open_max: int) -> None:
        super().__init__(f"more than {open_max} open payments")
        self.open_max = open_max


class PaymentIdTakenError(LedgerError):
    """The `payment_id` that a Web App sent already belongs to a pending payment of another user, amount or currency."""
