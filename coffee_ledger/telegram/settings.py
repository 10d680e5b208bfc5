"""The settings of the bot."""

import re
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from coffee_ledger.model import Rates, TelegramId
from coffee_ledger.runtime.settings import (
    MatchingSettings,
    PendingTtlHours,
    PublicHost,
    parse_list,
    parse_positive,
    parse_switch,
    refuse_value,
)
from coffee_ledger.telegram.amounts import LEAST, MOST

TELEGRAM_API_URL = "https://api.telegram.org"


def parse_amounts(text: object) -> object:
    """Parse a list of amounts such as `5,10,25`. The amounts are in the first currency of CREDITS_PER_UNIT."""
    parts = parse_list(text)
    return (
        [parse_positive(part) if isinstance(part, str) else part for part in parts]
        if isinstance(parts, list)
        else parts
    )


def check_token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9]{3,20}:[A-Za-z0-9_-]{10,}", token.get_secret_value()):
        raise ValueError("not a bot token")
    return token


def refuse_group(telegram_id: object) -> object:
    """Refuse the id of a group or channel. Operators use the bot in private chats, so each operator needs a personal id."""
    if isinstance(telegram_id, str) and re.fullmatch("-[0-9]+", telegram_id):
        raise refuse_value(
            "has the id of a group",
            write="the ids of persons, which are positive; @userinfobot tells each person their id. "
            "A group can receive alerts: see ALERTS_CHAT_ID",
        )
    return telegram_id


def check_amounts(amounts: list[Decimal]) -> list[Decimal]:
    """
    Refuse amounts that the bot would not accept from a user, and amounts that are listed twice.

    The bot shows each amount as a button. The button of an amount that the bot does not accept would fail.
    """
    if any(not LEAST <= amount <= MOST or amount != round(amount, 2) for amount in amounts):
        raise ValueError("too small, too large, or parts of a cent")
    if len(set(amounts)) < len(amounts):
        raise ValueError("named twice")
    return amounts


class BotSettings(MatchingSettings):
    BOT_TOKEN: Annotated[
        SecretStr,
        AfterValidator(check_token),
        Field(
            description="the token that @BotFather gave you, such as 123456789:AAF…",
            json_schema_extra={"note": "To create a bot, send /newbot to @BotFather."},
        ),
    ]
    ADMIN_IDS: Annotated[
        # Refuse numbers of more than 52 bits, because Telegram's ids have at most 52 bits.
        list[Annotated[int, BeforeValidator(refuse_group), Field(ge=1, lt=2**52)]],
        BeforeValidator(parse_list),
        Field(
            min_length=1,
            description="the Telegram ids of the operators, separated by commas",
            json_schema_extra={
                "note": "@userinfobot tells you yours. The id of a group does not work here. Each operator must send /start to the "
                "bot once."
            },
        ),
    ]
    BMC_PAGE_URL: Annotated[
        str,
        Field(
            pattern=r"^https?://[^\s/]+/\S+$",
            description="the address of your page on Buy Me a Coffee, such as https://buymeacoffee.com/YOU",
        ),
    ]
    PUBLIC_HOST: PublicHost
    AMOUNTS: Annotated[
        list[Decimal],
        BeforeValidator(parse_amounts),
        AfterValidator(check_amounts),
        Field(
            default=[Decimal(5), Decimal(10), Decimal(25), Decimal(50)],
            min_length=1,
            max_length=12,
            description=f"up to 12 amounts from {LEAST} to {MOST} to offer as buttons, separated by commas, such as 5,10,25",
            json_schema_extra={"note": "They are in the first currency of CREDITS_PER_UNIT."},
        ),
    ]
    PENDING_TTL_HOURS: PendingTtlHours
    TELEGRAM_API_URL: Annotated[
        str,
        Field(
            default=TELEGRAM_API_URL,
            pattern=r"^https?://\S+$",
            description="the address of a Bot API server, such as https://api.telegram.org",
            json_schema_extra={"note": "Set it only if you run a Bot API server of your own."},
        ),
    ]
    # Keep this field below PUBLIC_HOST and TELEGRAM_API_URL. Its validator needs their values, and pydantic gives a validator
    # only the values of the fields above its own.
    BOT_WEBHOOK_URL: Annotated[
        str | None,
        Field(
            default=None,
            pattern=r"^https://\S+/telegram-webhook$",
            description="the address https://PUBLIC_HOST/telegram-webhook, to which Telegram then sends updates",
            json_schema_extra={"note": "Without an address, the bot asks Telegram for updates."},
        ),
    ]
    BOT_PORT: Annotated[
        int,
        Field(
            default=8080,
            ge=0,
            le=65535,
            description="the port that receives the Mini App's requests and Telegram's updates from the proxy",
        ),
    ]

    ALERTS: Annotated[
        bool,
        BeforeValidator(parse_switch),
        Field(
            default=False,
            description="a switch, on or off; on if alerts are sent, which /doctor reports",
            json_schema_extra={"note": "Compose sets it to on if ALERTS_CHAT_ID is set."},
        ),
    ]
    # Do not check the form of this address here. Other containers use the address too, so services/config_check.py checks the
    # form for all containers.
    ALERTS_RUNBOOK_URL: Annotated[
        str | None,
        Field(
            default=None,
            description="the address of docs/runbook.md for links in alerts, in /doctor, in the rules of Prometheus and in the panels "
            "of Grafana",
            examples=["https://github.com/coffee-ledger/coffee-ledger/blob/main/docs/runbook.md"],
            json_schema_extra={"note": "Without it, there are no such links."},
        ),
    ]

    @field_validator("BOT_WEBHOOK_URL")
    @classmethod
    def _refuse_another_host(cls, url: str | None, others: ValidationInfo) -> str | None:
        """Refuse an address that does not lead to our proxy, because the bot would receive no updates there."""
        host, api = others.data.get("PUBLIC_HOST"), others.data.get("TELEGRAM_API_URL")
        # Accept any host if the operator runs a Bot API server, because this server may reach the proxy under an internal name.
        if url is None or host is None or api != TELEGRAM_API_URL or _host_of(url) == host.lower():
            return url
        raise refuse_value(
            "leads to another host than PUBLIC_HOST",
            write=f"https://{host}/telegram-webhook, or nothing to poll Telegram for updates",
        )

    @property
    def rates(self) -> Rates:
        return Rates(self.CREDITS_PER_UNIT)

    @property
    def currency(self) -> str:
        """The default currency. If a user writes an amount without a currency, the amount is in the default currency."""
        return next(iter(self.CREDITS_PER_UNIT))

    @property
    def app_url(self) -> str | None:
        """
        The address of the Mini App, `https://HOST/app/`, or None if Telegram would refuse the address.

        Telegram refuses host names without a dot.
        """
        if self.TELEGRAM_API_URL == TELEGRAM_API_URL and "." not in self.PUBLIC_HOST:
            return None
        return f"https://{self.PUBLIC_HOST}/app/"

    @property
    def operators(self) -> list[TelegramId]:
        return [TelegramId(one) for one in dict.fromkeys(self.ADMIN_IDS)]


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # the URL is invalid, for example because of an unclosed bracket
        return None
