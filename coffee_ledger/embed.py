"""
The names that an aiogram bot needs to include Coffee Ledger; docs/existing-bot.md shows how to use them.

- `payments_in(dispatcher, bot, settings)` is a context manager. While it is open, the bot also has the conversation, the operator's
  desk and the notifier. It yields `Payments`, which spends credits.
- `BotSettings` contains the settings of the bot. `run_service` reads them from the environment, configures logs and traces, and runs a bot.
  A bot that has its own `main` calls `read_settings`, `configure_logging` and `configure_tracing` instead.
- `make_bot(settings)` makes a suitable client. If you make the client yourself, pass `load_json` as the `json_loads` of its session.
- `show_menu_button` makes the menu button beside the message field open the Mini App.
"""

from coffee_ledger.runtime.logs import configure_logging
from coffee_ledger.runtime.process import run_service
from coffee_ledger.runtime.settings import read_settings
from coffee_ledger.runtime.tracing import configure_tracing
from coffee_ledger.store.spending import BalanceTooLowError
from coffee_ledger.telegram.assembly import Payments, payments_in
from coffee_ledger.telegram.characters import load_json
from coffee_ledger.telegram.client import make_bot, show_menu_button
from coffee_ledger.telegram.settings import BotSettings

__all__ = [
    "BalanceTooLowError",
    "BotSettings",
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
