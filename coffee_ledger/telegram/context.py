"""The context of an update: the ledger, the settings, the clock, and the texts in the user's language."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from coffee_ledger.matching import Rules
from coffee_ledger.model import PaymentId, Rates, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import Speech, speech


@dataclass(frozen=True)
class Context:
    """
    All objects and settings that the handlers of updates share. A process makes one context.

    The middleware `MeetUser` gives each handler a copy of the context with the texts in the user's language.
    """

    pool: Pool
    rates: Rates
    amounts: tuple[Decimal, ...]
    page_url: str
    """The address of the creator's page on Buy Me a Coffee."""
    public_host: str
    app_url: str | None
    """The address of the Mini App, `https://HOST/app/`. None if Telegram cannot open it; then no button offers the Mini App."""
    pending_ttl: timedelta
    draw_code: Callable[[], PaymentId]
    clock: Callable[[], datetime]
    operators: tuple[TelegramId, ...]
    """The Telegram ids of the operators, who may use the desk."""
    rules: Rules
    """The matching rules. They are used by /replay, which applies them to past charges without changing anything."""
    revision: str
    speech: Speech
    """The texts in the user's language. Outside of the handling of an update, they are in English."""
    sets_menu_button: bool = True
    """Whether the button beside the message field opens the Mini App. False if another bot embeds Coffee Ledger."""
    alerts_on: bool = False
    """Whether Alertmanager has a chat to which it sends alerts."""
    runbook_url: str | None = None
    """The address of docs/runbook.md. None if the operator has not set it; then texts name the document without a link."""

    @property
    def currencies(self) -> list[str]:
        return list(self.rates.per_unit)

    @property
    def currency(self) -> str:
        """The currency of an amount that is written without a currency."""
        return self.currencies[0]

    def in_language(self, language: str) -> Self:
        return replace(self, speech=speech(language))
