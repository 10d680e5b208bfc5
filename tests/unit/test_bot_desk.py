"""Test pure functions of the operators' commands: spreadsheet cells, periods, e-mail addresses and button data."""

import inspect
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import cast

import pytest

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.model import TelegramId
from coffee_ledger.runtime.settings import read_settings
from coffee_ledger.store.database import Pool
from coffee_ledger.store.suggestions import Cause, Suggestion, choose
from coffee_ledger.telegram.assembly import make_context
from coffee_ledger.telegram.days import read_date_range
from coffee_ledger.telegram.desk import doctor
from coffee_ledger.telegram.desk.answers import AnswerTo
from coffee_ledger.telegram.desk.buttons import (
    Delay,
    Dismiss,
    Listing,
    OnCharge,
    OnClaim,
    Postpone,
    RefundPart,
    Step,
    TurnFrom,
)
from coffee_ledger.telegram.desk.doctor import (
    BACKUP_OLD,
    DEPLOYMENT,
    RUNBOOK,
    Clocks,
    Profile,
    ago,
    check_mini_app,
    find_section,
)
from coffee_ledger.telegram.desk.later import next_morning, remind_at, zone_of
from coffee_ledger.telegram.desk.messages import Prompt
from coffee_ledger.telegram.desk.reports import write_cell, write_sheet
from coffee_ledger.telegram.desk.search import mask, read_payment_id
from coffee_ledger.telegram.settings import BotSettings
from coffee_ledger.telegram.speech import LOCALES, speech
from monitoring import thresholds
from tests.files import ROOT


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(sign: str) -> None:
    assert write_cell(f"{sign}1+1") == f"'{sign}1+1"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Ann;=cmd|' /C calc'!A0;", "Ann;'=cmd|' /C calc'!A0;"),
        ("Ann\n=1+1", "Ann\n'=1+1"),
        ("Ann;\t @SUM(1)", "Ann;'\t' @SUM(1)"),
        ("\n=1+1", "'\n'=1+1"),
        ('x;"=1+1;', "x;'\"=1+1;"),
        ('x\t"=1+1', "x\t'\"=1+1"),
        ('x\n "" @SUM', 'x\n\' "" @SUM'),
        ("  =1+1", "'  =1+1"),
        ("\uff1d1\uff0b1", "'\uff1d1\uff0b1"),
        ("\uff20SUM", "'\uff20SUM"),
    ],
)
def test_a_text_that_other_programs_split_into_cells_gets_apostrophes(text: str, cell: str) -> None:
    assert write_cell(text) == cell


@pytest.mark.parametrize(
    ("value", "cell"),
    [(-5, "-5"), (Decimal("-5.50"), "-5.50"), (None, ""), ("Anna", "Anna"), ("a=1; b-2", "a=1; b-2"), ("", "")],
)
def test_numbers_and_plain_texts_stay_unchanged(value: object, cell: str) -> None:
    assert write_cell(value) == cell


def test_a_sheet_begins_with_a_bom_and_its_columns() -> None:
    sheet = write_sheet(["name", "credits"], [{"name": 'A "B", C', "credits": -5}])

    assert sheet == b'\xef\xbb\xbfname,credits\r\n"A ""B"", C",-5\r\n'


@pytest.mark.parametrize(
    ("said", "since", "until"),
    [
        ("2026-11", (2026, 11, 1), (2026, 12, 1)),
        ("2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("2026-02", (2026, 2, 1), (2026, 3, 1)),
        ("2026-11-21", (2026, 11, 21), (2026, 11, 22)),
        (" 2026-11-01  2026-11-15 ", (2026, 11, 1), (2026, 11, 16)),
    ],
)
def test_a_time_is_parsed_as_people_write_it(
    said: str, since: tuple[int, int, int], until: tuple[int, int, int]
) -> None:
    span = read_date_range(said)

    assert span is not None
    assert (span.since, span.until) == (datetime(*since, tzinfo=UTC), datetime(*until, tzinfo=UTC))


@pytest.mark.parametrize(
    "said", ["", "7", "2026", "2026-13", "2026-02-30", "2026-11-15 2026-11-01", "9999-12", "November"]
)
def test_an_unreadable_time_is_parsed_as_none(said: str) -> None:
    assert read_date_range(said) is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [("anna@example.org", "a***@example.org"), ("a@b.c", "a***@b.c"), ("no address", "n***"), ("", "***")],
)
def test_an_email_address_is_masked(address: str, shown: str) -> None:
    assert mask(address) == shown


@pytest.mark.parametrize("said", ["K7QM-2XHD", "k7qm 2xhd", " K7QM2XHD "])
def test_a_code_is_read_as_people_type_it(said: str) -> None:
    assert read_payment_id(said) == "K7QM2XHD"


def test_the_longest_callback_data_fits_telegrams_limit() -> None:
    older = f"{2**52}_{2**33}"

    assert len(OnCharge(step=Step.MATCH, charge_id=10**12, payment_id=older).pack().encode()) <= 64
    assert len(OnClaim(step=Step.MATCH, claim_id=10**18, charge_id=10**18).pack().encode()) <= 64
    assert len(Dismiss(charge_id=10**18, remember=OutsiderKind.SUBSCRIPTION).pack().encode()) <= 64
    amount = Decimal("12345678.90")
    assert len(RefundPart(charge_id=10**18, amount=amount, kept=amount).pack().encode()) <= 64
    assert len(Postpone(charge_id=10**18, delay=Delay.MORNING).pack().encode()) <= 64
    assert len(TurnFrom(listing=Listing.PENDING, is_back=False, mark=older).pack().encode()) <= 64
    assert all(len(AnswerTo(prompt=one, number=10**18).pack().encode()) <= 64 for one in Prompt)


def test_a_dismissal_without_memory_survives_packing() -> None:
    assert Dismiss.unpack(Dismiss(charge_id=7).pack()) == Dismiss(charge_id=7, remember=None)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_a_duration_is_shown_in_the_most_useful_unit(seconds: int, said: str) -> None:
    assert ago(timedelta(seconds=seconds), speech("en")) == said


def test_the_doctor_and_the_alert_use_the_same_age_limit_for_backups() -> None:
    assert BACKUP_OLD.total_seconds() == thresholds.BACKUP_AGE_SECONDS


@pytest.mark.parametrize("ahead", [-1, 1])
def test_the_doctor_and_the_alert_use_the_same_limit_for_clocks(ahead: int) -> None:
    limit = thresholds.CLOCK_OFFSET_SECONDS

    assert not Clocks(0.0, ahead * limit).is_off
    assert Clocks(0.0, ahead * (limit + 0.1)).is_off
    assert Clocks(ahead * (limit + 0.1), None).is_off


@pytest.mark.parametrize(
    ("host", "sets_menu_button", "menu_url", "opens_main_app", "words"),
    [
        (
            "localhost",
            True,
            None,
            True,
            "🔴 Telegram cannot open the Mini App, because PUBLIC_HOST is not a public name.",
        ),
        ("pay.example", True, None, True, "🟡 The button beside the message field does not open the Mini App."),
        ("pay.example", True, "https://old.example/app/", True, "🟡 The button beside the message field does not open"),
        (
            "pay.example",
            True,
            "https://pay.example/app/",
            False,
            "🟡 Links such as https://t.me/coffee_bot?startapp=10 do not",
        ),
        ("pay.example", True, "https://pay.example/app/", True, "✅ The Mini App opens from the button"),
        # If Coffee Ledger is embedded in another bot, the other bot sets the menu button. So /doctor does not check the button,
        # and assumes that it opens the Mini App.
        ("pay.example", False, None, True, "✅ The Mini App opens from the button"),
    ],
)
def test_the_doctor_names_the_first_thing_that_the_mini_app_lacks(
    host: str, sets_menu_button: bool, menu_url: str | None, opens_main_app: bool, words: str
) -> None:
    environ = {
        "DATABASE_URL": "postgresql://bot:x@db/ledger",
        "BOT_TOKEN": "123456789:AAFxxxxxxxxxxxxx",
        "ADMIN_IDS": "1",
        "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
        "PUBLIC_HOST": host,
        "CREDITS_PER_UNIT": "USD=100",
    }
    context = make_context(read_settings(BotSettings, environ), cast(Pool, None))

    step = check_mini_app(
        Profile("coffee_bot", opens_main_app, menu_url), replace(context, sets_menu_button=sets_menu_button)
    )

    assert step.line.startswith(words)
    assert step.is_done is words.startswith("✅")


@pytest.mark.parametrize(
    ("runbook_url", "file", "heading", "address"),
    [
        ("https://x.org/docs/runbook.md", RUNBOOK, "Nobody is told", "https://x.org/docs/runbook.md#nobody-is-told"),
        ("https://x.org/docs/runbook.md", DEPLOYMENT, "Alerts", "https://x.org/docs/deploy.md#alerts"),
        ("https://x.org/help", RUNBOOK, "BackupMissing", "https://x.org/help#backupmissing"),
        ("https://x.org/help", DEPLOYMENT, "Alerts", None),
        (None, RUNBOOK, "BackupMissing", None),
    ],
)
def test_a_document_is_linked_if_its_address_is_known(
    runbook_url: str | None, file: str, heading: str, address: str | None
) -> None:
    assert find_section(runbook_url, file, heading) == address


def test_the_documents_have_the_sections_that_the_doctor_names() -> None:
    named = re.findall(r'_document\("([^"]+)", context(, DEPLOYMENT)?\)', inspect.getsource(doctor))
    documents = {is_deployment: DEPLOYMENT if is_deployment else RUNBOOK for _, is_deployment in named}

    assert len(named) >= 6
    for heading, is_deployment in named:
        text = (ROOT / "docs" / documents[is_deployment]).read_text("utf-8")
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE), heading


def test_both_languages_have_the_same_desk_texts() -> None:
    english, ukrainian = (_names((LOCALES / one / "desk.ftl").read_text("utf-8")) for one in ("en", "uk"))

    assert english == ukrainian


def _names(texts: str) -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*) =", texts, re.MULTILINE))


KYIV = zone_of("uk")


@pytest.mark.parametrize(
    ("now", "morning"),
    [
        ((2026, 11, 21, 20, 0), (2026, 11, 22, 9, 0)),
        ((2026, 11, 21, 8, 0), (2026, 11, 22, 9, 0)),
        ((2026, 11, 21, 6, 0), (2026, 11, 22, 9, 0)),
        ((2026, 11, 21, 5, 59), (2026, 11, 21, 9, 0)),
        # The clocks in Kyiv go forward on 29 March 2026 and back on 25 October 2026.
        ((2026, 3, 28, 20, 0), (2026, 3, 29, 9, 0)),
        ((2026, 10, 24, 20, 0), (2026, 10, 25, 9, 0)),
    ],
)
@pytest.mark.parametrize("zone", [UTC, KYIV])
def test_the_next_morning_is_more_than_three_hours_away(
    zone: tzinfo, now: tuple[int, int, int, int, int], morning: tuple[int, int, int, int, int]
) -> None:
    assert next_morning(datetime(*now, tzinfo=zone), zone) == datetime(*morning, tzinfo=zone)


def test_a_reminder_is_due_after_its_delay_or_never() -> None:
    now = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

    assert [remind_at(delay, now=now, language="en") for delay in Delay] == [
        now + timedelta(hours=1),
        now + timedelta(hours=3),
        datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
        None,
    ]
    assert remind_at(Delay.MORNING, now=now, language="uk") == datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def suggest(cause: Cause, *users: int) -> list[Suggestion]:
    return [Suggestion(TelegramId(user), cause) for user in users]


def test_each_cause_keeps_a_place_and_each_user_is_suggested_once() -> None:
    chosen = choose(suggest(Cause.OPEN, *range(1, 10)), suggest(Cause.NAME, 1, 20, 21), suggest(Cause.CLAIM, 2, 30, 31))

    assert [one.telegram_id for one in chosen] == [1, 2, 3, 4, 20, 30]


def test_without_other_causes_all_places_are_used() -> None:
    assert len(choose(suggest(Cause.OPEN, *range(1, 10)), [], suggest(Cause.CLAIM, 1))) == 6
