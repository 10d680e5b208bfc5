"""Read the bot's settings, and report missing or malformed settings."""

from decimal import Decimal

import pytest

from coffee_ledger.runtime.settings import SettingsError, read_settings
from coffee_ledger.telegram.settings import BotSettings

GOOD = {
    "DATABASE_URL": "postgresql://bot:secret@db/ledger",
    "BOT_TOKEN": "123456789:AAF-a_token_of_the_usual_length_0123",
    "ADMIN_IDS": "1000001, 1000002",
    "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
    "PUBLIC_HOST": "pay.example.org",
    "CREDITS_PER_UNIT": "EUR=110,USD=100",
}


def read(**changed: str) -> BotSettings:
    return read_settings(BotSettings, GOOD | changed)


def problems(**changed: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read(**changed)
    return refused.value.problems


@pytest.mark.parametrize(
    ("changed", "address"),
    [
        ({}, "https://pay.example.org/app/"),
        ({"PUBLIC_HOST": "localhost"}, None),
        ({"PUBLIC_HOST": "localhost", "TELEGRAM_API_URL": "http://sandbox:8090/telegram"}, "https://localhost/app/"),
    ],
    ids=["a public name", "a name that Telegram refuses", "the sandbox, which takes any"],
)
def test_buttons_open_the_app_only_if_telegram_accepts_its_host(changed: dict[str, str], address: str | None) -> None:
    assert read(**changed).app_url == address


def test_the_required_settings_are_enough() -> None:
    settings = read()

    assert settings.AMOUNTS == [5, 10, 25, 50]
    assert settings.PENDING_TTL_HOURS == 24
    assert settings.TELEGRAM_API_URL == "https://api.telegram.org"
    assert settings.BOT_WEBHOOK_URL is None
    assert settings.operators == [1000001, 1000002]


def test_the_first_currency_is_the_default_currency() -> None:
    assert read().currency == "EUR"


def test_an_operator_listed_twice_counts_once() -> None:
    assert read(ADMIN_IDS="7,7").operators == [7]


@pytest.mark.parametrize("name", [name for name in GOOD if name != "DATABASE_URL"])
def test_each_missing_setting_is_named_with_advice(name: str) -> None:
    [problem] = problems(**{name: ""})

    assert problem.startswith(f"{name} is missing: write ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOT_TOKEN", "123456789"),
        ("BOT_TOKEN", "AAF:123456789012345"),
        ("BOT_TOKEN", "123456789:AAF a token with blanks"),
        ("ADMIN_IDS", "me"),
        ("ADMIN_IDS", "0"),
        ("ADMIN_IDS", ","),
        ("BMC_PAGE_URL", "buymeacoffee.com/creator"),
        ("BMC_PAGE_URL", "https://buymeacoffee.com/"),
        ("BMC_PAGE_URL", "javascript:alert(1)"),
        ("PUBLIC_HOST", "https://pay.example.org"),
        ("PUBLIC_HOST", "https://кава.укр"),
        ("CREDITS_PER_UNIT", "USD"),
        ("CREDITS_PER_UNIT", "USD=0"),
        ("AMOUNTS", "five"),
        ("AMOUNTS", "5,5"),
        ("AMOUNTS", "0.99"),
        ("AMOUNTS", "10000.01"),
        ("AMOUNTS", "2.505"),
        ("AMOUNTS", "1,2,3,4,5,6,7,8,9,10,11,12,13"),
        ("PENDING_TTL_HOURS", "0"),
        ("TELEGRAM_API_URL", "api.telegram.org"),
        ("BOT_WEBHOOK_URL", "http://pay.example.org/telegram-webhook"),
        ("BOT_WEBHOOK_URL", "https://pay.example.org/bot"),
    ],
)
def test_each_malformed_setting_is_named_without_its_value(name: str, value: str) -> None:
    [problem] = problems(**{name: value})

    assert problem.startswith(f"{name} is malformed: write ")
    assert "AAF a token" not in problem


@pytest.mark.parametrize("amounts", ["1", "10000", "1,2,3,4,5,6,7,8,9,10,11,12", "2.50, 7"])
def test_amounts_within_the_bounds_are_offered(amounts: str) -> None:
    assert [Decimal(part.strip()) for part in amounts.split(",")] == read(AMOUNTS=amounts).AMOUNTS


@pytest.mark.parametrize("ids", ["-100123456", "1000001,-1001234567890"])
def test_a_group_cannot_be_an_operator(ids: str) -> None:
    [problem] = problems(ADMIN_IDS=ids)

    assert problem.startswith("ADMIN_IDS has the id of a group: write the ids of persons, ")


@pytest.mark.parametrize(
    ("host", "punycode"),
    [
        ("кава.укр", "xn--80aaf4a.xn--j1amh"),
        ("КАВА.укр", "xn--80aaf4a.xn--j1amh"),
        ("pay.кава.укр", "pay.xn--80aaf4a.xn--j1amh"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher。example", "xn--bcher-kva.example"),
    ],
)
def test_an_international_name_is_refused_with_the_punycode_to_write(host: str, punycode: str) -> None:
    [problem] = problems(PUBLIC_HOST=host)

    assert problem == f"PUBLIC_HOST is an international name: write its punycode form, {punycode}"
    assert read(PUBLIC_HOST=punycode).app_url == f"https://{punycode}/app/"


@pytest.mark.parametrize("host", ["pay.example.org", "PAY.example.org", "pay.example.org:8443"])
def test_telegram_may_send_updates_to_the_public_host(host: str) -> None:
    url = f"https://{host}/telegram-webhook"

    assert url == read(BOT_WEBHOOK_URL=url).BOT_WEBHOOK_URL


@pytest.mark.parametrize(
    "host",
    ["bot.example.org", "pay.example.org.evil.example", "pay.example.org@evil.example", "127.0.0.1", "[::1"],
)
def test_a_webhook_url_at_another_host_is_refused(host: str) -> None:
    [problem] = problems(BOT_WEBHOOK_URL=f"https://{host}/telegram-webhook")

    assert problem == (
        "BOT_WEBHOOK_URL leads to another host than PUBLIC_HOST: write https://pay.example.org/telegram-webhook, "
        "or nothing to poll Telegram for updates"
    )


def test_a_local_bot_api_server_may_send_updates_to_an_internal_name() -> None:
    url = "https://proxy/telegram-webhook"

    settings = read(BOT_WEBHOOK_URL=url, TELEGRAM_API_URL="http://bot-api:8081")

    assert url == settings.BOT_WEBHOOK_URL
