"""What every handler of the conversation needs, in one value: the ledger, the settings, the clock and chance."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from coffee_ledger.matching import Rules
from coffee_ledger.model import PaymentId, Rates, TelegramId
from coffee_ledger.store.database import Pool


@dataclass(frozen=True)
class Context:
    pool: Pool
    rates: Rates
    amounts: tuple[Decimal, ...]
    page_url: str
    """The creator's page on Buy Me a Coffee."""
    public_host: str
    app_url: str | None
    """The Mini App, `https://HOST/app/`; None: Telegram would lead nobody there, so no button does."""
    pending_ttl: timedelta
    draw_code: Callable[[], PaymentId]
    clock: Callable[[], datetime]
    operators: tuple[TelegramId, ...] = ()
    """Who may use the desk."""
    rules: Rules | None = None
    """How charges are matched, for a dry run; None: nobody asks."""
    revision: str = ""

    @property
    def currencies(self) -> list[str]:
        return list(self.rates.per_unit)

    @property
    def currency(self) -> str:
        """The currency of an amount that comes without one."""
        return self.currencies[0]
