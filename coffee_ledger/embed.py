"""
The names that an aiogram bot needs to include Coffee Ledger; docs/existing-bot.md shows how to use them.

- `payments_in(dispatcher, bot, settings)` is a context manager. While it is open, the bot also takes payment requests from users,
  obeys the operators' commands and sends notifications. It yields an object of the class `Payments`. Your bot spends a user's
  credits with `Payments.spend`. If your bot keeps its own balances, register a handler with `Payments.on_credited` instead. The
  handler gets a `Credit` for each new entry of the ledger.
- `BotSettings` contains the settings of the bot. `run_service` reads the settings from the environment, configures logs and
  traces, and runs the bot. If your bot has its own `main`, call `read_settings`, `configure_logging` and `configure_tracing`.
- `make_bot(settings)` makes an aiogram client. If you make the client yourself, pass `load_json` as `json_loads` to its session.
- `show_menu_button` sets the menu button beside the message field to open the Mini App.
"""

from coffee_ledger.model import CreditKind
from coffee_ledger.runtime.logs import configure_logging
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.settings import read_settings
from coffee_ledger.runtime.tracing import configure_tracing
from coffee_ledger.store.handovers import Credit
from coffee_ledger.store.spending import BalanceTooLowError
from coffee_ledger.telegram.assembly import Payments, payments_in
from coffee_ledger.telegram.characters import load_json
from coffee_ledger.telegram.client import make_bot, show_menu_button
from coffee_ledger.telegram.settings import BotSettings

__all__ = [
    "BalanceTooLowError",
    "BotSettings",
    "Credit",
    "CreditKind",
    "Payments",
    "configure_logging",
    "configure_tracing",
    "load_json",
    "make_bot",
    "payments_in",
    "read_settings",
    "run_service",
    "show_menu_button",
]
