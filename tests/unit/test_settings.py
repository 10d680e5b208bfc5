"""Settings are read from the environment or from files. Each problem is reported in one line, without the value."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from coffee_ledger.runtime.settings import MatchingSettings, Settings, SettingsError, read_settings
from services.janitor.settings import JanitorSettings
from services.webhook.settings import WebhookSettings

URL = "postgresql://webhook:hunter2secret@db:5432/ledger"
NEEDED = {"DATABASE_URL": URL, "CREDITS_PER_UNIT": "USD=100,EUR=110", "BMC_WEBHOOK_SECRETS": "a-signing-secret"}
OF_THE_JANITOR = {"PUBLIC_HOST": "pay.example.org"}


def environ(**changed: str | None) -> dict[str, str]:
    """Return the required settings, changed by *changed*. The value None removes a setting."""
    return {name: value for name, value in {**NEEDED, **changed}.items() if value is not None}


def read(**changed: str | None) -> WebhookSettings:
    return read_settings(WebhookSettings, environ(**changed))


def problems(kind: type[Settings], values: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(kind, values)
    return refused.value.problems


def problem(**changed: str | None) -> str:
    """Read the required settings, changed by *changed*, and return the line about the only problem."""
    [line] = problems(WebhookSettings, environ(**changed))
    return line


def test_an_unset_setting_has_its_default() -> None:
    settings = read()

    assert (settings.HEALTH_PORT, settings.BMC_WEBHOOK_PORT, settings.LOG_LEVEL) == (9000, 8080, "INFO")
    assert settings.rules.fallback
    assert settings.rules.fallback_window == timedelta(minutes=60)


def test_a_set_value_overrides_the_default() -> None:
    settings = read(HEALTH_PORT="9100", LOG_LEVEL="DEBUG", FALLBACK_MATCH="off", FALLBACK_WINDOW_MINUTES="30")

    assert (settings.HEALTH_PORT, settings.LOG_LEVEL) == (9100, "DEBUG")
    assert not settings.rules.fallback
    assert settings.rules.fallback_window == timedelta(minutes=30)


def test_blanks_around_a_value_are_ignored() -> None:
    assert read(DATABASE_URL=f"  {URL}\n").DATABASE_URL.get_secret_value() == URL


def test_other_environment_variables_are_ignored() -> None:
    assert read(PATH="/bin", HEALTH_PORTS="x").HEALTH_PORT == 9000


@pytest.mark.parametrize("empty", [None, "", "  "])
@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_setting_is_named_with_advice(name: str, empty: str | None) -> None:
    line = problem(**{name: empty})

    assert line == f"{name} is missing: write {WebhookSettings.model_fields[name].description}"


def test_an_empty_setting_with_a_default_has_its_default() -> None:
    assert read(HEALTH_PORT="", FALLBACK_MATCH=" ").HEALTH_PORT == 9000


def test_every_problem_has_its_own_line() -> None:
    lines = problems(WebhookSettings, {"HEALTH_PORT": "high", "LOG_LEVEL": "LOUD"})

    assert [line.split()[0] for line in lines] == [
        "BMC_WEBHOOK_SECRETS", "CREDITS_PER_UNIT", "DATABASE_URL", "HEALTH_PORT", "LOG_LEVEL",
    ]  # fmt: skip


def test_every_setting_has_advice() -> None:
    described = [
        field.description for kind in (WebhookSettings, JanitorSettings) for field in kind.model_fields.values()
    ]

    assert all(described)


# Settings from files -------------------------------------------------------------------------------------------------


def test_a_setting_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.write_text(f"{URL}\n", encoding="utf-8")

    settings = read(DATABASE_URL=None, DATABASE_URL_FILE=str(file))

    assert settings.DATABASE_URL.get_secret_value() == URL


def test_an_empty_file_is_a_missing_setting(tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.touch()

    assert problem(DATABASE_URL=None, DATABASE_URL_FILE=str(file)).startswith("DATABASE_URL is missing: write ")


def test_a_setting_with_two_sources_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.write_text(URL, encoding="utf-8")

    line = problem(DATABASE_URL_FILE=str(file))

    assert line == "DATABASE_URL and DATABASE_URL_FILE are both set: keep one of them"


def test_an_empty_variable_does_not_count_as_a_second_source(tmp_path: Path) -> None:
    """
    Compose passes an unset variable as an empty text. If DATABASE_URL is such an empty text, the service must ignore it, and
    read the file that DATABASE_URL_FILE names.
    """
    file = tmp_path / "database_url"
    file.write_text(URL, encoding="utf-8")

    assert read(DATABASE_URL="", DATABASE_URL_FILE=str(file)).DATABASE_URL.get_secret_value() == URL


def test_a_missing_file_is_reported_as_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "nowhere"

    line = problem(DATABASE_URL=None, DATABASE_URL_FILE=str(file))

    assert line == (
        f"DATABASE_URL_FILE: {file} cannot be read (No such file or directory): check the path and who may read it"
    )


def test_a_directory_in_place_of_a_file_is_reported(tmp_path: Path) -> None:
    assert "cannot be read (Is a directory)" in problem(DATABASE_URL=None, DATABASE_URL_FILE=str(tmp_path))


def test_a_file_that_is_not_text_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "database_url"
    file.write_bytes(b"\xff\xfe\x00secret")

    line = problem(DATABASE_URL=None, DATABASE_URL_FILE=str(file))

    assert line.startswith(f"DATABASE_URL_FILE: {file} cannot be read (")
    assert "secret" not in line


def test_a_malformed_value_in_a_file_is_reported_without_the_value(tmp_path: Path) -> None:
    file = tmp_path / "rates"
    file.write_text("USD=hunter2secret", encoding="utf-8")

    line = problem(CREDITS_PER_UNIT=None, CREDITS_PER_UNIT_FILE=str(file))

    assert line.startswith("CREDITS_PER_UNIT is malformed: write ")
    assert "hunter2secret" not in line


# Malformed values ----------------------------------------------------------------------------------------------------

MALFORMED = {
    "HEALTH_PORT": ["0", "65536", "-1", "high", "80.5", "0x50", "9000 9001"],
    "BMC_WEBHOOK_PORT": ["0", "65536", "http"],
    "LOG_LEVEL": ["LOUD", "info", "INFO\nDEBUG", "WARN"],
    "FALLBACK_MATCH": ["yes", "1", "true", "onn"],
    "FALLBACK_WINDOW_MINUTES": ["0", "1441", "1.5", "an hour"],
    "BMC_WEBHOOK_SECRETS": [",", " , ,"],
    "CREDITS_PER_UNIT": [
        "100",
        "USD",
        "USD=",
        "USD=0",
        "USD=-1",
        "USD=NaN",
        "USD=Infinity",
        "USD=1e9",
        "usd=100",
        "US=100",
        "USD=100,",
        "USD=100,USD=110",
        "USD=100;EUR=110",
        "USD:100",
        "ГРН=4",
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_setting_is_named_with_advice(name: str, value: str) -> None:
    line = problem(**{name: value})

    assert line == f"{name} is malformed: write {WebhookSettings.model_fields[name].description}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PENDING_TTL_HOURS", "0"), ("PENDING_TTL_HOURS", "8761"), ("RETENTION_DAYS", "0"), ("RETENTION_DAYS", "3651")],
)
def test_the_janitors_times_have_bounds(name: str, value: str) -> None:
    [line] = problems(JanitorSettings, environ(**OF_THE_JANITOR, **{name: value}))

    assert line == f"{name} is malformed: write {JanitorSettings.model_fields[name].description}"


def test_the_bounds_of_the_janitors_times_are_inclusive() -> None:
    least = read_settings(JanitorSettings, environ(**OF_THE_JANITOR, PENDING_TTL_HOURS="1", RETENTION_DAYS="1"))
    most = read_settings(JanitorSettings, environ(**OF_THE_JANITOR, PENDING_TTL_HOURS="8760", RETENTION_DAYS="3650"))

    assert (least.pending_ttl, least.retention) == (timedelta(hours=1), timedelta(days=1))
    assert (most.pending_ttl, most.retention) == (timedelta(days=365), timedelta(days=3650))


def test_a_problem_never_shows_the_value() -> None:
    wrong = "hunter2secret"
    values = dict.fromkeys(WebhookSettings.model_fields, wrong)

    with pytest.raises(SettingsError) as refused:
        read_settings(WebhookSettings, values)

    assert wrong not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(read()) + str(read())

    assert "hunter2secret" not in shown
    assert "a-signing-secret" not in shown


def test_the_token_of_the_api_is_optional_and_hidden(tmp_path: Path) -> None:
    file = tmp_path / "bmc_api_token"
    file.write_text("a.jwt-like.token\n")

    unset = read_settings(JanitorSettings, environ(**OF_THE_JANITOR, BMC_API_TOKEN=""))
    settings = read_settings(JanitorSettings, environ(**OF_THE_JANITOR, BMC_API_TOKEN_FILE=str(file)))

    assert unset.BMC_API_TOKEN is None
    assert SecretStr("a.jwt-like.token") == settings.BMC_API_TOKEN
    assert "a.jwt-like.token" not in f"{settings} {settings!r}"


@pytest.mark.parametrize("token", ["Bearer a-token", "a\ntoken", "токен"])
def test_a_token_that_does_not_fit_into_a_header_is_refused(token: str) -> None:
    [line] = problems(JanitorSettings, environ(**OF_THE_JANITOR, BMC_API_TOKEN=token))

    assert line == f"BMC_API_TOKEN is malformed: write {JanitorSettings.model_fields['BMC_API_TOKEN'].description}"


# Rates, lists and switches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("USD=100", {"USD": "100"}),
        ("USD=100,EUR=110", {"USD": "100", "EUR": "110"}),
        (" USD = 100 , EUR = 1.5 ", {"USD": "100", "EUR": "1.5"}),
        ("JPY=0.01", {"JPY": "0.01"}),
        ("USD=999999999", {"USD": "999999999"}),
    ],
)
def test_rates_are_credits_for_one_unit_of_each_currency(text: str, rates: dict[str, str]) -> None:
    settings = read_settings(MatchingSettings, environ(CREDITS_PER_UNIT=text))

    assert {currency: Decimal(rate) for currency, rate in rates.items()} == settings.CREDITS_PER_UNIT


def test_a_new_and_an_old_secret_can_be_set_together() -> None:
    assert read(BMC_WEBHOOK_SECRETS=" a-newer-secret , an-older-secret,").secrets == (
        b"a-newer-secret",
        b"an-older-secret",
    )


SENSIBLE_SECRETS = [
    "3f9a0c1d",
    "a-longer-secret",
    "sandbox-secret-that-signs-nothing-real",
    "whsec_7d1fa9",
    "bmc-9QxT",
]


@pytest.mark.parametrize("name", ["BMC_WEBHOOK_SECRETS", "PROBE_SECRET"])
@pytest.mark.parametrize("secret", SENSIBLE_SECRETS)
def test_a_secret_that_is_hard_to_guess_is_accepted(name: str, secret: str) -> None:
    settings = read(**{name: secret})

    assert SecretStr(secret) in (*settings.BMC_WEBHOOK_SECRETS, settings.PROBE_SECRET)


@pytest.mark.parametrize("name", ["BMC_WEBHOOK_SECRETS", "PROBE_SECRET"])
@pytest.mark.parametrize("secret", ["x", "s3cret", "3f9a0c1"])
def test_a_short_secret_is_refused(name: str, secret: str) -> None:
    line = problem(**{name: secret})

    assert line.startswith(f"{name} has a secret of fewer than 8 characters: write ")


PLACEHOLDERS = [
    "changeme1", "change-me-please", "your-secret", "Your_Signing_Secret_Here", "xxxxxxxx", "********", "12345678",
    "secretsecret", "password1", "bmc-webhook-secret", "aaaa-bbbb", "<your secret>",
]  # fmt: skip


@pytest.mark.parametrize("name", ["BMC_WEBHOOK_SECRETS", "PROBE_SECRET"])
@pytest.mark.parametrize("secret", PLACEHOLDERS)
def test_a_placeholder_is_refused_as_a_secret(name: str, secret: str) -> None:
    line = problem(**{name: secret})

    assert line.startswith(f"{name} has a placeholder instead of a secret: write ")
    assert secret not in line


def test_each_of_several_secrets_is_checked() -> None:
    line = problem(BMC_WEBHOOK_SECRETS="a-signing-secret,changeme1")

    assert line.startswith("BMC_WEBHOOK_SECRETS has a placeholder instead of a secret: ")


def test_the_probes_secret_must_not_sign_payments() -> None:
    """
    A probe is a synthetic payment with a secret of its own. The webhook recognises it by this secret, and rolls it back.

    If the secret were also one of BMC_WEBHOOK_SECRETS, the webhook would settle the probe as a real payment.
    """
    line = problem(BMC_WEBHOOK_SECRETS="a-signing-secret,an-older-secret", PROBE_SECRET="an-older-secret")

    assert line.startswith("PROBE_SECRET is also one of BMC_WEBHOOK_SECRETS: write ")
    assert "an-older-secret" not in line


def test_the_probes_have_their_own_secret() -> None:
    probe_secret = read(PROBE_SECRET="a-secret-for-probes").PROBE_SECRET

    assert probe_secret is not None
    assert probe_secret.get_secret_value() == "a-secret-for-probes"


@pytest.mark.parametrize(("text", "on"), [("on", True), ("off", False), ("ON", True), ("Off", False)])
def test_a_switch_is_on_or_off(text: str, on: bool) -> None:
    assert read(FALLBACK_MATCH=text).FALLBACK_MATCH is on
