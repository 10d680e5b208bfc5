"""
Everything that another aiogram bot needs in order to take these payments in; docs/existing-bot.md shows how.

- `payments_in(dispatcher, bot, settings)`: the conversation, the operator's desk and the notifier, for as long as its context lasts. It
  yields `Payments`, which spends credits.
- `BotSettings`: the settings of the bot, from the environment. `run_service` reads them, configures log and traces, and runs a bot.
  A bot with a `main` of its own calls `read_settings`, `configure_logging` and `configure_tracing` instead.
- `make_bot(settings)`: a client that fits. A client of your own takes `load_json` as the `json_loads` of its session.
- `show_menu_button`: lets the button beside the message field open the Mini App.
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
