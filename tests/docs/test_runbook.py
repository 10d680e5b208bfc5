"""
Check that the runbook covers every state of a payment, event and message, quotes the bot correctly, and has remedies that work.

The tests create the state that a remedy is for. Then they run the remedy exactly as the runbook gives it. A remedy is either SQL
for the database or a command for the chat.
"""

import enum
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from typing import Any, cast

import pytest
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from coffee_ledger.bmc_api import SECONDS_MAX as RETRY_AFTER_SECONDS_MAX
from coffee_ledger.bmc_api import ApiState
from coffee_ledger.charges import Flag, Rejection
from coffee_ledger.claiming import DECLINE_LIMITS, ClaimedPayment
from coffee_ledger.events import read_event
from coffee_ledger.model import (
    ChargeState,
    CreditKind,
    Method,
    NotificationKind,
    Outcome,
    PaymentStatus,
    Rates,
    TelegramId,
)
from coffee_ledger.reconciling import News
from coffee_ledger.store.claims import CLAIMS_A_DAY_MAX, NotRaised, raise_claim
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.decisions import RefusalCause
from coffee_ledger.store.pending_payments import OPEN_MAX
from coffee_ledger.store.reconciliation import LISTED_AFTER, UNLISTED_MAX
from coffee_ledger.store.settlement import STREAK_PAUSE, keep_failed_event
from coffee_ledger.store.upkeep import expire_payments, measure_drift, rematch_waiting_charges, retry_requested_events
from coffee_ledger.telegram.client import COMMANDS, OPERATOR_COMMANDS
from coffee_ledger.telegram.desk.answers import ANSWER_WITHIN
from coffee_ledger.telegram.desk.later import LONG, MORNING, SHORT
from coffee_ledger.telegram.notifier import ATTEMPTS_MAX, BACKOFF_SECONDS_MAX, SWEEP_SECONDS
from coffee_ledger.telegram.speech import LOCALES, speech
from monitoring import thresholds
from services.janitor.bmc_client import REQUESTS_PER_MINUTE_MAX, SECONDS_MAX
from services.janitor.reconciliation import PASS_PERIOD, WEBHOOK_WAIT
from services.webhook.batcher import DATABASE_WAIT_SECONDS
from tests.bot.desk import answer, ask, card_of, data_of, shown
from tests.bot.people import Message, Person
from tests.files import ROOT
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw
from tests.integration.janitor import janitor_tasks
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.test_settling import CODE, OTHER_CODE
from tests.integration.webhook import RULES, Webhook, serve_webhook

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
STATES, ALERTS = RUNBOOK.split("\n## Alerts\n")
SECTIONS = dict(re.findall(r"^#{2,3} (.+?)\n(.*?)(?=^#{2,3} |\Z)", STATES, re.MULTILINE | re.DOTALL))
NAMES = {
    heading: re.findall("`([a-z]+ [a-z_]+)`", line[1])
    for heading, section in SECTIONS.items()
    if (line := re.match(r"\n(`[a-z]+ [a-z_]+`(?: ·[ \n]`[a-z]+ [a-z_]+`)*)\n\n", section))
}
"""
Maps each heading of the runbook to the names in the first line below it, for example `charge unmatched`.

A name has two words: a kind of thing, such as `charge`, and a value of this kind, such as `unmatched`. The database, the logs and
the metrics use the same values.
"""

[CONNECTIONS_MAX] = map(int, re.findall(r"max_connections=(\d+)", (ROOT / "compose.yaml").read_text(encoding="utf-8")))

PARTS = ("Signs", "Users see", "Cause", "Fix", "Check")
BLOCKS = [
    (heading, block)
    for heading, section in re.findall(r"^#{2,3} (.+?)\n(.*?)(?=^#{2,3} |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
]
IN_THE_CHAT = {
    heading: found
    for heading, section in SECTIONS.items()
    if (found := re.findall(r"^/\w+ .+$", section, re.MULTILINE))
}
"""Maps a heading of the runbook to the chat commands in its section. Headings without chat commands are left out."""

FIXED: set[str] = set()
"""The headings of the runbook whose remedy a test runs. The decorator `fixes` adds them."""

Test = Callable[..., Any]


def fixes(heading: str) -> Callable[[Test], Test]:
    def note(test: Test) -> Test:
        FIXED.add(heading)
        return test

    return note


def remedy(heading: str, place: int = -1, **values: object) -> str:
    """
    Return the SQL block with index *place* under the heading, as SQL that runs without psql.

    The `\\set` lines define psql variables. Each variable is replaced by its value in *values*. If *values* does not contain
    the variable, the value of its `\\set` line is used.
    """
    block = [block for under, block in BLOCKS if under == heading][place]
    known = dict(re.findall(r"^\\set (\w+) '?([^'\n]+)'?$", block, re.MULTILINE))
    assert values.keys() <= known.keys()
    known |= {name: str(value) for name, value in values.items()}
    statements = re.sub(r"^\\set .*\n", "", block, flags=re.MULTILINE)
    return re.sub(r":('?)(\w+)\1", lambda found: f"{found[1]}{known[found[2]]}{found[1]}", statements)


def command(heading: str, place: int = 0, *, of: int | str | None = None) -> str:
    """
    Return the command with index *place* under the heading.

    If *of* is given, it replaces the number after `/undo`.
    """
    said = IN_THE_CHAT[heading][place]
    return said if of is None else re.sub(r"(?<=^/undo )\S+", str(of), said)


# Headings of the runbook ---------------------------------------------------------------------------------------------


def members(word: str, kind: Iterable[enum.StrEnum]) -> set[str]:
    return {f"{word} {member}" for member in kind}


async def allowed(pool: Pool, word: str, table: str) -> set[str]:
    """Return the values that the column `status` of the table may have. Put *word* and a space before each value."""
    rule = await pool.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'status_is_known' AND conrelid = $1::regclass",
        table,
    )
    return {f"{word} {status}" for status in re.findall(r"'(\w+)'", rule)}


async def test_states_and_headings_are_the_same(pool: Pool) -> None:
    known = members("payment", PaymentStatus) | members("charge", ChargeState) | {"charge held"}
    known |= members("reason", Rejection) | members("flag", Flag) | members("method", Method)
    known |= members("event", Outcome) | members("entry", CreditKind) | members("message", NotificationKind)
    known |= members("refusal", RefusalCause) | members("list", ApiState) | {f"row {one.name.lower()}" for one in News}
    known |= await allowed(pool, "sending", "notifications") | await allowed(pool, "claim", "claims")

    assert {name for names in NAMES.values() for name in names} == known


@pytest.mark.parametrize("word", ["reason", "refusal", "flag", "list", "row"])
def test_a_reason_leads_to_one_heading(word: str) -> None:
    named = [name for names in NAMES.values() for name in names if name.startswith(f"{word} ")]

    assert len(named) == len(set(named)) + (named.count("refusal no_rate") - 1 if word == "refusal" else 0)


@pytest.mark.parametrize("heading", NAMES)
def test_a_section_has_all_parts_in_order(heading: str) -> None:
    found = re.findall(r"^\*([A-Z][a-z ]+)\.\*\s+(.)", SECTIONS[heading], re.MULTILINE)

    assert [part for part, _ in found] == list(PARTS)


@pytest.mark.parametrize("heading", NAMES)
def test_the_first_tables_link_to_every_section(heading: str) -> None:
    assert f"[{heading}](#" in SECTIONS["What do you see?"]


# Quotations, names and numbers in the runbook ------------------------------------------------------------------------


class Words(Visitor):
    """A visitor that collects the texts of a Fluent file. It writes a NUL character in place of each inserted value."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Pattern(self, node: ast.Pattern) -> None:  # noqa: N802 — the library prescribes the method's name
        parts = [part.value if isinstance(part, ast.TextElement) else "\0" for part in node.elements]
        self.found.append(_plain("".join(parts)))
        self.generic_visit(node)


def _plain(text: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", "", text)).split())


def all_words() -> list[str]:
    words, say = Words(), speech("en").say
    for file in sorted((LOCALES / "en").glob("*.ftl")):
        words.visit(FluentParser().parse(file.read_text(encoding="utf-8")))
    lines = [say("reason", rule=say(f"rule-{rule}"), why=say(f"why-{why}")) for rule in Method for why in Rejection]
    lines += [f"Decided by: {say(f'rule-{rule}')}." for rule in Method]
    lines += [
        f"told: {say(f'desk-kind-{kind}')}, {say(f'desk-sent-{status}')}"
        for kind in ("payment_credited", "payment_refunded")
        for status in ("sent", "dead", "unreachable", "withheld")
    ]
    return words.found + lines


WORDS = all_words()


def is_said(quoted: str) -> bool:
    """Return whether the bot can say *quoted*. Split it at each "…", and look for each part in the bot's texts."""
    return all(any(_plain(piece) in text for text in WORDS) for piece in quoted.split("…"))


@pytest.mark.parametrize("heading", SECTIONS)
def test_quotations_of_the_bot_are_correct(heading: str) -> None:
    quoted = re.findall("“([^”]+)”", SECTIONS[heading])

    assert [one for one in quoted if not is_said(one)] == []


@pytest.mark.parametrize("heading", SECTIONS)
def test_names_of_buttons_are_correct(heading: str) -> None:
    on_buy_me_a_coffee = {"Send test"}
    bold = set(re.findall(r"\*\*([^*]+)\*\*", SECTIONS[heading]))

    assert [one for one in bold - on_buy_me_a_coffee if not is_said(one)] == []


@pytest.mark.parametrize(
    ("said", "meant", "is_so"),
    [
        ("after one hour, after three hours", (timedelta(hours=1), timedelta(hours=3)), (SHORT, LONG)),
        ("at nine in the morning", 9, MORNING.hour),
        ("less than ten minutes old", timedelta(minutes=10), ANSWER_WITHIN),
        ("thirty attempts", 30, ATTEMPTS_MAX),
        ("up to three times a day", 3, CLAIMS_A_DAY_MAX),
        (
            "After two claims declined within 30 days they must wait 7 days, after four within 90 days 30 days",
            [(2, timedelta(days=30), timedelta(days=7)), (4, timedelta(days=90), timedelta(days=30))],
            [(limit.declined_min, limit.within, limit.pause) for limit in DECLINE_LIMITS],
        ),
        ("With ten open ones", 10, OPEN_MAX),
        ("For six seconds", 6, DATABASE_WAIT_SECONDS),
        ("our own limit of 15 a minute", 15, REQUESTS_PER_MINUTE_MAX),
        ("did not answer within 30 seconds", 30, SECONDS_MAX),
        ("to its webhook for a quarter of an hour", timedelta(minutes=15), WEBHOOK_WAIT),
        ("came by webhook more than a day ago", timedelta(days=1), LISTED_AFTER),
        ("It begins within ten minutes", timedelta(minutes=10), PASS_PERIOD),
        ("as long as Buy Me a Coffee demands, an hour at most", 3600, RETRY_AFTER_SECONDS_MAX),
        ("Within thirty seconds", 30, SWEEP_SECONDS),
    ],
)
def test_numbers_agree_with_the_code(said: str, meant: object, is_so: object) -> None:
    assert said in " ".join(STATES.split())
    assert meant == is_so


HEADED = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", ALERTS, re.MULTILINE | re.DOTALL))
PERIODS = {name: task.period for name, task in janitor_tasks(cast(Pool, None)).items()}
SCRAPED_SECONDS = 15
"""Prometheus reads each metric once in this interval, so a new value becomes visible up to 15 seconds late."""


@pytest.mark.parametrize(
    ("alert", "said", "seconds", "period"),
    [
        ("WebhookProbeFailing", "The age is below a minute again", 60, PERIODS["send_probe"]),
        ("PaymentPendingExpiryStuck", "This falls below 90", 90, PERIODS["expire_payments"]),
        ("SnapshotStale", "This is below 45", 45, PERIODS["take_snapshot"]),
        ("BalanceDrift", "gives 0 within two minutes", 120, PERIODS["check_balances"]),
        ("OutboxDeadLetters", "gives 0 within a minute", 60, PERIODS["take_snapshot"]),
    ],
)
def test_a_healthy_stack_reaches_the_values_of_the_checks(
    alert: str, said: str, seconds: int, period: timedelta
) -> None:
    assert said in " ".join(HEADED[alert].split())
    assert period.total_seconds() + SCRAPED_SECONDS < seconds


@pytest.mark.parametrize(
    ("alert", "said", "meant", "is_so"),
    [
        ("WebhookNearDisable", "Six hours after the last refusal", timedelta(hours=6), STREAK_PAUSE),
        ("OutboxUndelivered", "at most ten minutes", 600, BACKOFF_SECONDS_MAX),
        ("OutboxUndelivered", "after thirty attempts", 30, ATTEMPTS_MAX),
        ("OutboxUndelivered", "for a quarter of an hour or longer", 900, thresholds.UNDELIVERED_AGE_SECONDS),
        ("ListenDisconnected", "up to half a minute later", 30, SWEEP_SECONDS),
        ("WebhookProbeAbsent", "The query gives 30", timedelta(seconds=30), PERIODS["send_probe"]),
        ("SnapshotStale", "This is below 45", 45, thresholds.SNAPSHOT_FRESH_SECONDS),
        ("ChargeNotListed", "up to 20 are reported in one pass", 20, UNLISTED_MAX),
        ("ReconciliationNotSucceeding", "below a quarter of an hour", True, timedelta(minutes=15) > PASS_PERIOD),
        ("DiskNearlyFull", "above two gigabytes", 2 * 1024**3, thresholds.DISK_FREE_BYTES),
        ("PostgresConnectionsHigh", "below 48", 48, thresholds.POSTGRES_CONNECTIONS_SHARE * CONNECTIONS_MAX),
        ("ToldBudgetBurnFast", "more than half a minute late", 30, thresholds.TOLD_SECONDS),
        ("BotBudgetBurnFast", "after more than a second", 1, thresholds.HANDLED_SECONDS),
    ],
)
def test_numbers_of_alerts_agree_with_the_code(alert: str, said: str, meant: object, is_so: object) -> None:
    assert said in " ".join(HEADED[alert].split())
    assert meant == is_so


def test_names_of_dashboards_and_panels_are_correct() -> None:
    titles = set(
        re.findall(r'"title": "([^"]+)"', "".join(one.read_text() for one in ROOT.glob("grafana/dashboards/*.json")))
    )
    named = {re.sub(r"\s+", " ", one) for one in re.findall(r"(?<!\*)\*([A-Z][^*.:]+)\*(?!\*)", STATES)}

    assert named - titles == set()


def test_commands_in_the_text_exist() -> None:
    named = set(re.findall(r"(?:`|^)/([a-z_]+)[ `]", RUNBOOK, re.MULTILINE))

    assert named <= {*COMMANDS, *OPERATOR_COMMANDS, "start"}
    assert {"desk", "unmatched", "find", "undo", "credit", "doctor"} <= named


# Texts by which operators recognise a state --------------------------------------------------------------------------


def says(heading: str, words: str, seen: str) -> None:
    """
    Assert that the runbook quotes the bot correctly: *words* are in the section under the heading and in the bot's text *seen*.
    """
    assert words in " ".join(SECTIONS[heading].split())
    assert words in seen


async def card_in_words(operator: Person, number: int) -> str:
    """Open the bot's message about the charge (its card) in the operator's chat, and return the text."""
    found = await ask(operator, f"/find {number}")
    await operator.press(data_of(found, f"#{number}"), message_id=found["message_id"])
    return str((await operator.hear())["text"])


@pytest.mark.usefixtures("bot")
async def test_a_late_payment_has_the_signs_in_the_runbook(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await known(operator)
    code = await anna.ask_for_code("5")
    now = datetime.now(UTC)
    await expire_payments(pool, now=now, opened_before=now)
    await pool.execute("SELECT pg_notify('payments', '')")
    closed = (await anna.hear())["text"]
    await webhook.settle(a_payment(support_note=code))
    credited = (await anna.hear())["text"]

    life, card = await operator.ask(f"/payment {code}"), await card_in_words(operator, 1)

    says("Paid late, or after cancelling", "arrived in time, so the code has been closed", closed)
    says("Paid late, or after cancelling", "The code had been closed by then.", card)
    says("Paid late, or after cancelling", "expired", life)
    assert "That code had been closed, but your payment is credited all the same." in credited


@pytest.mark.usefixtures("bot")
async def test_a_second_payment_has_the_signs_in_the_runbook(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(operator)
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))
    await anna.hear()
    await webhook.settle(a_payment(support_note=code))
    heading = "Paid twice with one code"

    says(heading, "A code was paid twice", (await operator.hear())["text"])
    says(heading, "The code was paid twice.", await card_in_words(operator, 2))
    says(heading, "You got credits for both.", (await anna.hear())["text"])
    assert await ledger.balance() == 1000


@pytest.mark.usefixtures("bot")
async def test_refunds_have_the_signs_in_the_runbook(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(operator)
    credited, waiting = a_payment(support_note=await anna.ask_for_code("5")), a_payment(amount=9)
    early = a_payment(support_note=(open_code := await anna.ask_for_code("7")), amount=7)
    await webhook.settle(credited, waiting)
    await operator.hear()
    await anna.hear()
    await webhook.settle(a_refund_of(credited), a_refund_of(waiting), a_refund_of(early))
    refunded, unknown = [(await operator.hear())["text"] for _ in range(2)]
    await webhook.settle(early)
    settled = (await operator.hear())["text"]
    heading = "A payment was refunded"

    says(heading, "A payment was refunded", refunded)
    says("A refund came before its payment", "A refund came that fits no payment.", unknown)
    says(heading, "A payment was refunded", settled)
    says(heading, "Refunded. It was matched to", await card_in_words(operator, 1))
    says(heading, "Refunded. No user had been credited.", await card_in_words(operator, 2))
    for said in [(await anna.hear())["text"], (await anna.hear())["text"]]:
        says(heading, "was refunded, so its credits were taken back", said)
        says("A refund came before its payment", "was refunded", said)
    assert await ledger.status(open_code) == "pending"
    assert await ledger.balance() == 0


@pytest.mark.usefixtures("bot")
async def test_a_corrected_code_has_the_signs_in_the_runbook(anna: Person, operator: Person, webhook: Webhook) -> None:
    await known(operator)
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=("2" if code[0] != "2" else "3") + code[1:]))
    heading = "A code with a slip"

    says(heading, "There was a small slip in the code, but I recognised it.", (await anna.hear())["text"])
    says(heading, "Decided by: Corrected code.", await card_in_words(operator, 1))


@pytest.mark.usefixtures("bot")
async def test_renewals_are_matched_to_the_user_of_the_first_charge(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(anna)
    await known(operator)
    await webhook.settle(a_subscription(supporter_id=7))
    await operator.hear()
    await operator.press(data_of(await ask(operator, "/unmatched"), "#1"))
    first = await operator.hear()
    await operator.press(data_of(first, "Find the user"), message_id=first["message_id"])
    asked = await answer(operator, await operator.hear(), "@anna")
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])
    await shown(operator, asked, "Matched to @anna")

    outcomes = await webhook.settle(a_subscription("membership.updated", period=1_783_000_000, supporter_id=7))

    says("A subscription seen for the first time", "Subscription: seen for the first time", first["text"])
    assert outcomes == ["credited"]
    renewal = await ledger.pool.fetchval("SELECT max(charge_id) FROM charges")
    says("A renewal brought no credits", "Decided by: Subscription.", await card_in_words(operator, renewal))
    assert await ledger.balance() == 600


# Remedies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("heading", "block"), BLOCKS, ids=[heading for heading, _ in BLOCKS])
async def test_every_block_runs_when_there_is_nothing_to_fix(pool: Pool, heading: str, block: str) -> None:
    place = [one for under, one in BLOCKS if under == heading].index(block)
    await pool.execute("INSERT INTO users (telegram_id) VALUES ($1), ($2)", ANNA, BOHDAN)

    await pool.execute(remedy(heading, place))


def test_every_remedy_is_tested_in_the_state_that_it_is_for() -> None:
    assert {heading for heading, _ in BLOCKS if heading in SECTIONS} | IN_THE_CHAT.keys() == FIXED


async def obey(operator: Person, said: str) -> str:
    """Send a command, confirm the bot's question with Yes, and return the text that then replaces the question."""
    asked = await ask(operator, said)
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])
    return await answered(operator, asked)


async def answered(operator: Person, asked: Message) -> str:
    """Wait until the bot replaces its question *asked* by the result of the decision, and return the new text."""
    takes_back = any(words in asked["text"] for words in ("Take this back?", "Reverse a part"))
    mark = "↩️" if takes_back else "✅"
    return str((await shown(operator, asked, mark))["text"])


@asynccontextmanager
async def webhook_with_rates(role_url: Callable[[str], str], **per_unit: str) -> AsyncIterator[Webhook]:
    rates = Rates({currency: Decimal(rate) for currency, rate in per_unit.items()})
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, replace(RULES, rates=rates)) as webhook:
        yield webhook


async def known(*people: Person) -> None:
    for person in people:
        await person.ask("/start")


@pytest.mark.usefixtures("bot")
@fixes("Several codes")
async def test_two_users_who_paid_together_share_the_credits(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    codes = [await anna.ask_for_code("5"), await bohdan.ask_for_code("5")]
    card = await card_of(operator, webhook, support_note=" ".join(codes))
    await operator.press(data_of(card, "@anna"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to @anna")

    for place in (0, 1):
        await obey(operator, command("Several codes", place))

    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (250, 250)


@pytest.mark.usefixtures("bot")
@fixes("No rate for the currency")
async def test_a_charge_without_a_rate_is_credited_by_hand_and_dismissed(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    card = await card_of(operator, webhook, support_note=code, amount=700, currency="JPY")
    refused = await operator.press(data_of(card, "@anna"))

    await obey(operator, command("No rate for the currency"))
    await operator.press(data_of(card, "Other…"), message_id=card["message_id"])
    await answer(operator, await operator.hear(), "given by hand")

    assert "no rate" in card["text"]
    assert refused["text"].startswith("This currency has no rate")
    assert "No payment waits" in await operator.ask("/unmatched")
    assert await ledger.balance() == 300


@pytest.mark.usefixtures("bot")
@fixes("Only a person may match it")
async def test_a_charge_with_an_unreadable_amount_is_credited_by_hand_and_dismissed(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    code = await anna.ask_for_code("5")
    card = await card_of(operator, webhook, support_note=code, amount="5_0")
    says("Only a person may match it", "so it cannot be matched", card["text"])

    await obey(operator, command("Only a person may match it"))
    await operator.press(data_of(card, "Other…"), message_id=card["message_id"])
    question = await operator.hear()
    await answer(operator, question, "given by hand")

    assert "No payment waits" in await operator.ask("/unmatched")
    assert await ledger.balance() == 500


async def test_a_charge_with_a_code_is_credited_once_its_currency_has_a_rate(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    assert await webhook.settle(a_payment(support_note=CODE, amount=700, currency="JPY")) == ["unmatched"]
    rules = replace(RULES, rates=Rates({"JPY": Decimal("0.5")}))

    assert await rematch_waiting_charges(ledger.pool, rules, now=datetime.now(UTC)) == 1
    assert await ledger.balance() == 350


@pytest.mark.usefixtures("bot")
@fixes("A charge is not meant for a user")
async def test_a_charge_that_was_dismissed_by_mistake_waits_again(
    operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    card = await card_of(operator, webhook, support_note="for the cats")
    await operator.press(data_of(card, "Other…"))
    await answer(operator, await operator.hear(), "a tip")
    assert (await ledger.charge())["state"] == "dismissed"

    said = await obey(operator, command("A charge is not meant for a user", of=1))

    assert "waits for an operator again" in said
    assert "#1" in await operator.ask("/unmatched")


@pytest.mark.usefixtures("bot")
@fixes("The wrong user was credited")
async def test_credits_move_to_the_right_user(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(bohdan, operator)
    await anna.ask_for_code("5")
    assert await webhook.settle(a_payment(amount=5)) == ["credited"]
    await anna.hear()
    assert "Decided by: Amount and time." in (await operator.hear())["text"]

    await obey(operator, command("The wrong user was credited", of=1))
    found = await ask(operator, "/find 1")
    await operator.press(data_of(found, "#1"), message_id=found["message_id"])
    held = await operator.hear()
    assert "A match was taken back: no rule decides this one any more." in held["text"]
    await operator.press(data_of(held, "Find the user"))
    asked = await answer(operator, await operator.hear(), str(BOHDAN))
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])

    assert "took 500 credits back" in (await anna.hear())["text"]
    assert "500" in (await bohdan.hear())["text"]
    assert "somebody else’s" in (said := await anna.ask("/history")) or "somebody else's" in said
    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (0, 500)


@pytest.mark.usefixtures("bot")
@fixes("A wrong adjustment")
async def test_an_adjustment_is_taken_back_by_its_number(anna: Person, operator: Person, ledger: Ledger) -> None:
    await known(anna, operator)
    await obey(operator, "/credit @anna +5000 a present")
    listed = await ask(operator, "/undo @anna")
    entry = re.search(r"c\d+", listed["text"])
    assert entry is not None

    said = await obey(operator, command("A wrong adjustment", of=entry[0]))

    assert "Taken back" in said
    assert await ledger.balance() == 0


@pytest.mark.usefixtures("bot")
@fixes("Another amount or currency than picked")
async def test_the_difference_to_the_picked_amount_is_added(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(operator)
    code = await anna.ask_for_code("10")
    await webhook.settle(a_payment(support_note=code, amount=5))
    told = (await anna.hear())["text"]
    life = await operator.ask(f"/payment {code}")

    await obey(operator, command("Another amount or currency than picked"))

    assert "You picked $10; the credits are for the amount that arrived" in told
    assert "$10" in life.splitlines()[0]
    assert "charge #1, $5" in life
    assert await ledger.balance() == 1000


@pytest.mark.usefixtures("bot")
@fixes("The rates were changed")
async def test_the_difference_to_the_old_rate_is_added(
    anna: Person, operator: Person, role_url: Callable[[str], str], ledger: Ledger
) -> None:
    await known(operator)
    code = await anna.ask_for_code("5")
    async with webhook_with_rates(role_url, USD="50") as webhook:
        await webhook.settle(a_payment(support_note=code))
    await anna.hear()
    assert await ledger.balance() == 250

    await obey(operator, command("The rates were changed"))

    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
@fixes("Less than one credit")
async def test_a_payment_worth_less_than_a_credit_is_rounded_up_by_hand(
    anna: Person, operator: Person, role_url: Callable[[str], str], ledger: Ledger
) -> None:
    await known(operator)
    code = await anna.ask_for_code("1")
    async with webhook_with_rates(role_url, USD="0.5") as webhook:
        assert await webhook.settle(a_payment(support_note=code, amount=1)) == ["credited"]
    assert "+0 credits" in (await anna.hear())["text"]

    await obey(operator, command("Less than one credit"))

    assert await ledger.balance() == 1


@pytest.mark.usefixtures("bot")
@fixes("A balance is below zero")
async def test_a_debt_is_found_and_waived(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    await known(operator)
    payment = a_payment(support_note=await anna.ask_for_code("5"))
    await webhook.settle(payment)
    await anna.hear()
    await pool.execute("SELECT spend_credits($1, 200, 'a song', 'song-1')", ANNA)
    await webhook.settle(a_refund_of(payment))
    heard = "\n".join([(await operator.hear())["text"] for _ in range(2)])
    assert "A payment was refunded" in heard
    assert "A refund came after its credits were spent" in heard
    await anna.hear()

    [debtor] = await pool.fetch(remedy("A balance is below zero"))
    assert "New credits fill the gap first." in await anna.ask("/balance")
    await obey(operator, command("A balance is below zero"))

    assert (debtor["telegram_id"], debtor["balance"]) == (ANNA, -200)
    assert await ledger.balance() == 0


@pytest.mark.usefixtures("bot")
@fixes("Refunded in part, or disputed")
async def test_a_part_is_reversed_and_the_rest_is_taken_by_hand(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await known(operator)
    payment = a_payment(support_note=await anna.ask_for_code("5"))
    await webhook.settle(payment, a_refund_of(payment))
    card = await operator.hear()
    await operator.press(data_of(card, "Only a part was refunded"))
    asked = await answer(operator, await operator.hear(), "2.50")
    await operator.press(data_of(asked, "Yes"))
    await answered(operator, asked)
    after_part = await ledger.balance()

    await obey(operator, command("Refunded in part, or disputed"))

    assert (after_part, await ledger.balance()) == (250, -250)


@pytest.mark.usefixtures("bot")
@fixes("A payment never came")
async def test_a_payment_that_never_came_is_credited_by_hand_and_the_next_operator_finds_it(
    anna: Person, operator: Person, ledger: Ledger
) -> None:
    await known(anna, operator)
    assert "Nothing found" in await operator.ask("/find pi_1001")

    await obey(operator, command("A payment never came"))

    assert "“your payment pi_1001”" in await operator.ask("/undo @anna")
    assert await ledger.balance() == 500


@fixes("An event failed, or could not be read")
async def test_an_unreadable_event_is_found(pool: Pool, webhook: Webhook) -> None:
    await webhook.post(b"\xff not JSON")

    [unread] = await pool.fetch(remedy("An event failed, or could not be read"))

    assert unread["outcome"] == "unreadable"


@pytest.mark.usefixtures("bot")
async def test_a_failed_event_is_settled_again(anna: Person, operator: Person, pool: Pool, ledger: Ledger) -> None:
    await known(operator)
    payment = a_payment(support_note=await anna.ask_for_code("5"))
    await keep_failed_event(pool, read_event(raw(payment), received_at=datetime.now(UTC), nonce="1"))
    assert "An event could not be read" in (await operator.hear())["text"]
    assert "could not be settled or read" in await operator.ask("/doctor")

    listed = await ask(operator, "/failed")
    await operator.press(data_of(listed, "Settle"))
    asked = await shown(operator, listed, "Today’s rules decide it as if it came now.")
    await operator.press(data_of(asked, "Yes, settle it"))
    await retry_requested_events(pool, RULES, now=datetime.now(UTC))

    assert "was settled again: credited" in (await operator.hear())["text"]
    assert "500" in (await anna.hear())["text"]
    assert "Every event was settled or dismissed." in await operator.ask("/failed")
    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_a_claim_without_its_card_is_shown_again(
    anna: Person, operator: Person, pool: Pool, ledger: Ledger
) -> None:
    await known(anna, operator)
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(5), "USD", "Anna")
    raised = await raise_claim(pool, TelegramId(ANNA), claimed, now=datetime.now(UTC))
    assert not isinstance(raised, NotRaised)
    await operator.hear()

    listed = await ask(operator, "/claims")
    await operator.press(data_of(listed, "Open claim"))
    again = await operator.hear()
    assert "Paid, but no credits came" in again["text"]
    await operator.press(data_of(again, "None of these"), message_id=again["message_id"])
    await answer(operator, await operator.hear(), "nothing fits")

    assert "did not find it" in (await anna.hear())["text"]
    assert "There are no open claims." in await operator.ask("/claims")


@fixes("Nobody is told")
async def test_a_message_that_was_given_up_is_due_again(pool: Pool, ledger: Ledger) -> None:
    await pool.execute(
        "INSERT INTO notifications (telegram_id, kind, status, attempts) VALUES ($1, 'payment_credited', 'dead', 30)",
        ANNA,
    )

    await pool.execute(remedy("Nobody is told"))

    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'pending' AND attempts = 0") == 1


@fixes("Balances differ from the ledger")
async def test_the_remedy_sets_balances_to_the_sums_of_the_ledger(pool: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE))
    await pool.execute("ALTER TABLE balances DISABLE TRIGGER USER; UPDATE balances SET balance = 7")
    await pool.execute("ALTER TABLE balances ENABLE TRIGGER USER")

    await pool.execute(remedy("Balances differ from the ledger"))

    assert await measure_drift(pool) == 0
    assert await ledger.balance(ANNA) == 500


PERSONAL: dict[str, Any] = {"supporter_id": 9, "supporter_name": "Anna", "supporter_email": "a@b.c"}


async def names_found(pool: Pool) -> list[str]:
    """Return the tables that still contain personal data of Anna."""
    tables = ("events", "supporters", "charges", "users")
    rows = {table: await pool.fetch(f"SELECT to_jsonb({table})::text AS said FROM {table}") for table in tables}
    return [table for table in tables for row in rows[table] if "anna" in row["said"].lower() or "a@b.c" in row["said"]]


@fixes("Somebody asks to be forgotten")
async def test_the_remedy_erases_a_user_and_a_repeat_is_still_recognised(
    pool: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    payment = a_payment(support_note=f"Anna {CODE}", **PERSONAL)
    await ledger.open(CODE)
    await pool.execute("UPDATE users SET username = 'anna'")
    await webhook.settle(payment)

    await pool.execute(remedy("Somebody asks to be forgotten", user=ANNA))

    assert await names_found(pool) == []
    assert await webhook.settle(payment) == ["duplicate"]
    assert await ledger.balance(ANNA) == 500


async def test_a_later_payment_of_an_erased_user_is_credited_without_personal_data(
    pool: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE)
    await pool.execute("SELECT erase_user($1)", ANNA)

    await webhook.settle(a_payment(support_note=f"Anna {CODE}", **PERSONAL))

    assert await names_found(pool) == []
    assert await ledger.balance(ANNA) == 500
