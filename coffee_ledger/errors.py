"""What can go wrong, with fields rather than prose to parse."""


class LedgerError(Exception):
    """A fault of this project's own; everything it raises on purpose stands below it."""


class DatabaseAwayError(LedgerError):
    """Postgres cannot be reached or went away in mid-sentence: nothing was acknowledged, the same call may succeed later."""


class SchemaDiffersError(DatabaseAwayError):
    """
    The database has another form than this code was written for: until that is mended it is as good as away.

    *found* None: it is older than the numbers.
    """

    def __init__(self, *, found: int | None, wanted: int) -> None:
        super().__init__(f"schema {found}, {wanted} is wanted")
        self.found = found
        self.wanted = wanted


class RowLockedError(DatabaseAwayError):
    """Another client kept a row locked for longer than settlement waits: nothing was written, the same call may succeed later."""


class TooManyOpenPaymentsError(LedgerError):
    """The user already has as many open pending payments as one user may have."""

    def __init__(self, open_max: int) -> None:
        super().__init__(f"more than {open_max} open payments")
        self.open_max = open_max


class PaymentIdTakenError(LedgerError):
    """The `payment_id` that a Web App asked for stands for another payment already."""
