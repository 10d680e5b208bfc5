"""The bot's texts are complete in all languages, and consistent between the languages."""

import re
from decimal import Decimal
from functools import cache

import pytest
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from coffee_ledger.charges import Rejection
from coffee_ledger.model import CreditKind, Doubt, Method, NotificationKind
from coffee_ledger.store.decisions import Action, Disowned, RefusalCause
from coffee_ledger.store.pending_payments import Change
from coffee_ledger.telegram.amounts import AmountProblem
from coffee_ledger.telegram.client import COMMANDS, OPERATOR_COMMANDS
from coffee_ledger.telegram.desk.messages import Prompt
from coffee_ledger.telegram.speech import LANGUAGES, LOCALES, TextError, language_of, speech

SELLING = re.compile(
    r"\b(buy|buys|bought|purchase\w*|order\w*|купи\w*|куплен\w*|придба\w*|покуп\w*|продаж\w*)\b", re.IGNORECASE
)
TAG = re.compile(r"</?([a-z]+)[^>]*>")
TAGS = ("b", "i", "code", "blockquote")


class Names(Visitor):
    """Visits the syntax tree of a text, and collects the names of its variables."""

    def __init__(self) -> None:
        self.variables: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:  # noqa: N802 — `Visitor` requires this name
        self.variables.add(node.id.name)


@cache
def messages(language: str) -> dict[str, ast.Message]:
    texts = "\n".join(one.read_text(encoding="utf-8") for one in sorted((LOCALES / language).glob("*.ftl")))
    resource = FluentParser().parse(texts)
    assert not [entry for entry in resource.body if isinstance(entry, ast.Junk)]
    found = [entry for entry in resource.body if isinstance(entry, ast.Message)]
    assert len({one.id.name for one in found}) == len(found), "a text stands there twice"
    return {one.id.name: one for one in found}


def variables(message: ast.Message) -> set[str]:
    names = Names()
    names.visit(message)
    return names.variables


@cache
def said(language: str) -> list[tuple[str, str]]:
    """
    Return the name and the text of every message.

    Format each message five times, each time with a different number, so that all plural forms occur.
    """
    texts = []
    for name, message in messages(language).items():
        for number in (0, 1, 2, 5, 21):
            numbers = {"credits": number, "count": number}
            values = {variable: numbers.get(variable, "<value>") for variable in variables(message)}
            texts.append((name, speech(language).say(name, **values)))
    return texts


def test_both_languages_have_the_same_texts_with_the_same_variables() -> None:
    english, ukrainian = ({name: variables(one) for name, one in messages(language).items()} for language in LANGUAGES)

    assert english == ukrainian


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_enum_value_has_a_text(language: str) -> None:
    texts = set(messages(language))

    assert {one.value.replace("_", "-") for one in NotificationKind} <= texts
    assert {f"why-{one}" for one in Rejection} | {f"rule-{one}" for one in Method} <= texts
    assert {f"history-{one.replace('_', '-')}" for one in (*CreditKind, *Change)} <= texts
    assert {f"desk-doubt-{one}" for one in Doubt} | {f"desk-action-{one}" for one in Action} <= texts
    assert {f"desk-refused-{one}" for one in RefusalCause if one is not RefusalCause.DECIDED_BEFORE} <= texts
    assert {f"not-mine-{one.name.lower().replace('_', '-')}" for one in Disowned} <= texts
    assert {f"desk-remembered-{one}" for one in ("supporter", "subscription", "level", "item")} <= texts
    assert set(AmountProblem) <= texts
    assert {f"command-{name}" for name in (*COMMANDS, *OPERATOR_COMMANDS)} <= texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_well_formed_html_and_short_enough(language: str) -> None:
    for name, text in said(language):
        assert TAG.sub("", text).count("<") == 0, name
        assert [tag for tag in TAG.findall(text) if tag not in TAGS] == [], name
        assert all(text.count(f"<{tag}>") == text.count(f"</{tag}>") for tag in TAGS), name
        assert "&lt;value&gt;" in text or "<value>" not in text
        assert len(text) < 2000, name


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_speaks_of_a_sale(language: str) -> None:
    """
    Telegram allows the sale of digital goods only in its own currency.

    So the texts call the credits a thank-you, and never say that the user buys them.
    """
    for name, text in said(language):
        assert not SELLING.search(text.replace("Buy Me a Coffee", "")), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_stay_within_telegrams_limits(language: str) -> None:
    alerts = (
        "try-later",
        "went-wrong",
        "cancelled-short",
        "already-cancelled",
        "already-expired",
        "already-completed",
        "button-old",
        "not-mine-decided-before",
        "not-mine-too-late",
    )

    assert all(len(speech(language).label(name)) <= 200 for name in alerts)
    assert all(1 <= len(speech(language).label(f"command-{name}")) <= 256 for name in COMMANDS)
    assert len(speech(language).label("about")) <= 120
    assert all(1 <= len(speech(language).label(f"desk-placeholder-{one}")) <= 64 for one in Prompt)


@pytest.mark.parametrize(
    ("credits", "words"),
    [
        (0, "0 кредитів"),
        (1, "1 кредит"),
        (2, "2 кредити"),
        (4, "4 кредити"),
        (5, "5 кредитів"),
        (11, "11 кредитів"),
        (14, "14 кредитів"),
        (21, "21 кредит"),
        (22, "22 кредити"),
        (111, "111 кредитів"),
        (1000, "1\N{NO-BREAK SPACE}000 кредитів"),
        (-2, "−2 кредити"),
    ],
)
def test_ukrainian_numbers_have_their_plural_forms(credits: int, words: str) -> None:
    assert speech("uk").say("credits", credits=credits) == words


@pytest.mark.parametrize(
    ("credits", "words"), [(0, "0 credits"), (1, "1 credit"), (2, "2 credits"), (1000, "1,000 credits")]
)
def test_english_numbers_have_their_plural_forms(credits: int, words: str) -> None:
    assert speech("en").say("credits", credits=credits) == words


def test_inserted_values_are_escaped_in_messages_but_not_on_labels() -> None:
    values = {"amount": "<b>5</b> & more", "code": "K7QM-2XHD"}

    assert "&lt;b&gt;5&lt;/b&gt; &amp; more" in speech("en").say("cancelled", **values)
    assert speech("en").label("cancel-choice", **values) == "<b>5</b> & more · K7QM-2XHD"


def test_a_missing_text_or_value_raises_an_error() -> None:
    with pytest.raises(TextError):
        speech("en").say("no-such-text")
    with pytest.raises(TextError):
        speech("en").say("cancelled", code="K7QM-2XHD")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("uk", "uk"),
        ("uk-UA", "uk"),
        ("UK", "uk"),
        ("en", "en"),
        ("ru", "en"),
        ("be", "en"),
        ("ukr", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_the_language_is_chosen_by_telegrams_language_code(tag: str | None, language: str) -> None:
    assert language_of(tag) == language


@pytest.mark.parametrize(
    ("amount", "currency", "english", "ukrainian"),
    [
        ("5", "USD", "$5", "$5"),
        ("5.00", "EUR", "€5", "€5"),
        ("7.5", "USD", "$7.50", "$7,50"),
        ("10", "CAD", "CA$10", "10\N{NO-BREAK SPACE}CAD"),
        ("7.5", "PLN", "PLN\N{NO-BREAK SPACE}7.50", "7,50\N{NO-BREAK SPACE}PLN"),
        ("10000", "UAH", "UAH\N{NO-BREAK SPACE}10,000", "10\N{NO-BREAK SPACE}000\N{NO-BREAK SPACE}₴"),
    ],
)
def test_money_is_formatted_for_the_language(amount: str, currency: str, english: str, ukrainian: str) -> None:
    assert speech("en").money(Decimal(amount), currency) == english
    assert speech("uk").money(Decimal(amount), currency) == ukrainian


def test_changes_of_credits_have_a_sign_and_grouped_thousands() -> None:
    assert [speech("en").change(credits) for credits in (1234, -5, 0)] == ["+1,234", "−5", "+0"]
    assert speech("uk").change(-1234) == "−1\N{NO-BREAK SPACE}234"


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_about_payments_without_a_code_mention_the_claim(language: str) -> None:
    ways = ("paysupport", "payment-expired", "code-goes-elsewhere", "amount-offered")

    assert [name for name, text in said(language) if name in ways and "/claim" not in text] == []


@pytest.mark.parametrize(("language", "code"), [("en", "code"), ("uk", "кодом")])
def test_texts_about_closed_payments_promise_credits_only_for_the_code(language: str, code: str) -> None:
    promising = ("cancelled", "already-expired", "erase-open-payments", "payment-expired")

    promises = [re.split(r"(?<=[.?])\s", text)[1:] for name, text in said(language) if name in promising]

    assert [lines for lines in promises if code not in " ".join(lines)] == []
