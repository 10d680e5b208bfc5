"""Test settling without a database: recognising known charges, each kind of event, and the changes that a batch makes."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from coffee_ledger.charges import Charge, Flag, OutsiderKind, Reason, Rejection, RivalCharge
from coffee_ledger.events import ChargeReport, Event, EventKind, Supporter
from coffee_ledger.matching import GuessRecord, Rules
from coffee_ledger.mentions import Mentions
from coffee_ledger.model import (
    ChargeKey,
    ChargeState,
    DeliveryKey,
    Doubt,
    Family,
    Method,
    NotificationKind,
    Outcome,
    PaymentId,
    PaymentStatus,
    PendingPayment,
    Rates,
    TelegramId,
)
from coffee_ledger.notification_facts import (
    ChargeContradicted,
    ChargeFlagged,
    ChargeGuessed,
    ChargeRefunded,
    ChargeUnmatched,
    CodeCameLate,
    Contradiction,
    EventNews,
    EventUnknown,
    EventUnreadable,
    LegacyWebhook,
    NewNotification,
    PaymentCredited,
    PaymentRefunded,
    PaymentUnderReview,
    RefundUnknown,
)
from coffee_ledger.notification_facts import TestEvent as SentTest  # renamed, because pytest collects `Test*` classes
from coffee_ledger.settling import (
    Book,
    Completion,
    EventRecord,
    Settlement,
    match_by_operator,
    rematch,
    settle,
)
from coffee_ledger.words import read_words

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PAID_AT = NOW - timedelta(minutes=1)
MONTH = timedelta(days=30)
RATES = Rates({"USD": Decimal(100), "EUR": Decimal(110)})
RULES = Rules(RATES, fallback=True, fallback_window=timedelta(minutes=60))
NO_GUESSES = replace(RULES, fallback=False)
ANNA, BOHDAN = TelegramId(101), TelegramId(202)
CODE, OTHER_CODE, THIRD_CODE = map(PaymentId, ("K7QM2XHD", "P4RT9WEZ", "B7C8D9EF"))
OLENA = Supporter("77", "Olena", "olena@example.org")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DONATION_KEY = ChargeKey("donation:pi_1")
SUPPORTER_77 = (OutsiderKind.SUPPORTER, "77")

event_numbers = count(1)


# Factories -----------------------------------------------------------------------------------------------------------


def donation(number: str | None = "1", **said: Any) -> ChargeReport:
    """
    Return a donation of 5 USD without a note. *said* replaces fields of it (see `changed`).

    Its `bmc_id` is *number*. Its transaction id is `pi_` + *number*, unless *said* contains a `transaction_id`.
    """
    family = said.get("family", Family.DONATION)
    transaction_id = said.get("transaction_id", f"pi_{number}")
    charge = Charge(
        charge_key=ChargeKey(f"{family}:{transaction_id or number}"),
        family=family,
        bmc_id=number,
        transaction_id=transaction_id,
        psp_id=None,
        supporter_id=None,
        amount=Decimal(5),
        currency="USD",
        note=None,
        paid_at=PAID_AT,
    )
    return changed(ChargeReport(charge), **said)


def membership(number: str | None = "16", *, months: int = 0, **said: Any) -> ChargeReport:
    """
    Return a membership's charge of 3 USD, *months* after its first charge. If *months* is not 0, the charge is a renewal.

    Its `bmc_id` is *number*. *said* replaces fields of the charge (see `changed`).
    """
    psp_id = said.get("psp_id", "sub_1")
    period_start = PAID_AT + months * MONTH
    report = donation(
        number,
        charge_key=ChargeKey(f"{psp_id or f'membership:{number}'}:{int(period_start.timestamp())}"),
        family=Family.MEMBERSHIP,
        transaction_id=None,
        psp_id=psp_id,
        amount=Decimal(3),
        period_start=period_start,
        is_renewal=months > 0,
    )
    return changed(report, **said)


def changed(report: ChargeReport, **said: Any) -> ChargeReport:
    """Return the report with the given fields changed. A field that the report does not have is changed in its charge."""
    own: dict[str, Any] = {name: said.pop(name) for name in ("is_renewal", "side_text", "has_answer") if name in said}
    if "supporter" in said:
        own["supporter"] = said.pop("supporter")
        said["supporter_id"] = own["supporter"].supporter_id if own["supporter"] else None
    return replace(report, charge=replace(report.charge, **said), **own)


def event_of(report: ChargeReport | None, kind: EventKind = EventKind.PAID, **said: Any) -> Event:
    """Return an event about *report*, with a new id. *said* replaces fields of the event."""
    number = next(event_numbers)
    event = Event(DeliveryKey(f"live:{number}"), kind, b"{}", received_at=NOW, report=report)
    return replace(event, **said)


def refund_of(report: ChargeReport, **said: Any) -> Event:
    return event_of(changed(report, **said), EventKind.REFUNDED)


def payment(
    code: str = CODE,
    *,
    user: TelegramId = ANNA,
    amount: str = "5",
    currency: str = "USD",
    status: PaymentStatus = PaymentStatus.PENDING,
    minutes_ago: float = 10,
) -> PendingPayment:
    created_at = NOW - timedelta(minutes=minutes_ago)
    ended_at = None if status is PaymentStatus.PENDING else created_at
    return PendingPayment(PaymentId(code), user, Decimal(amount), currency, status, created_at, ended_at)


def book_of(payments: Iterable[PendingPayment] = (), charges: Iterable[Charge] = (), **known: Any) -> Book:
    book = Book(payments={one.payment_id: one for one in payments}, **known)
    for charge in charges:
        book.keep(charge)
    return book


def charge_of(report: ChargeReport, **known: Any) -> Charge:
    """Return the charge as it is stored after an event reported it and no rule matched it. *known* replaces fields of it."""
    return replace(report.charge, **known)


def credited_charge(facts: ChargeReport, user: TelegramId = ANNA, **known: Any) -> Charge:
    matched = {"state": ChargeState.MATCHED, "telegram_id": user, "method": Method.CODE, "payment_id": CODE}
    return charge_of(facts, **(matched | known))


def settle_all(
    *events: Event | ChargeReport, book: Book | None = None, rules: Rules = RULES, now: datetime = NOW
) -> Settlement:
    """Settle the events as one batch. A `ChargeReport` stands for an event of the kind `PAID` with this report."""
    batch = [event_of(one) if isinstance(one, ChargeReport) else one for one in events]
    return settle(batch, book or Book(), rules, now=now)


def told(done: Settlement, user: TelegramId | None = None) -> list[NotificationKind]:
    """Return the kinds of the notifications to *user* in order, or of the notifications to operators if *user* is None."""
    return [one.facts.kind for one in done.notifications if one.telegram_id == user]


def the_message(done: Settlement, kind: NotificationKind) -> NewNotification:
    [message] = [one for one in done.notifications if one.facts.kind is kind]
    return message


def the_credit(done: Settlement) -> PaymentCredited:
    facts = the_message(done, NotificationKind.PAYMENT_CREDITED).facts
    assert isinstance(facts, PaymentCredited)
    return facts


def whys(charge: Charge) -> set[str]:
    return {reason.why for reason in charge.reasons}


# The identity of a charge --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "later", "is_found"),
    [
        (donation(), donation(), True),
        (donation(), donation(family=Family.EXTRA_PURCHASE), True),
        (donation(), donation("2", transaction_id="pi_1", family=Family.EXTRA_PURCHASE), True),
        (donation(), donation(None, transaction_id="pi_1"), True),
        (donation(None, transaction_id="pi_1"), donation(), True),
        (donation(), donation("2", transaction_id="pi_1"), False),
        (donation(), donation(transaction_id="pi_2"), False),
        (donation(), donation(transaction_id=None), True),
        (donation(transaction_id=None), donation(), True),
        (donation(transaction_id=None), donation(transaction_id=None), True),
        (donation(transaction_id=None), donation(transaction_id=None, family=Family.EXTRA_PURCHASE), False),
        (donation(transaction_id=None), donation("2", transaction_id=None), False),
        (donation(), donation(source="other"), False),
        (donation(transaction_id=None), donation(transaction_id=None, source="other"), False),
        (membership(), membership("17"), True),
        (membership(), membership("17", source="other"), False),
        (membership(), membership(months=1), False),
        (membership(), membership("17", psp_id="sub_2"), False),
        (membership(), membership(psp_id="sub_2"), False),
        (membership(psp_id=None), membership(), True),
        (membership(), membership(psp_id=None), True),
        (membership(psp_id=None), membership(psp_id=None, months=1), False),
        (membership(psp_id=None), membership(psp_id=None, family=Family.RECURRING_DONATION), False),
        (membership(), donation("16", transaction_id=None, family=Family.MEMBERSHIP), False),
        (membership(transaction_id="pi_1"), membership(transaction_id="pi_2", psp_id=None), False),
        (membership(None), membership(None, psp_id="sub_2"), False),
    ],
)
def test_a_charge_is_found_by_its_transaction_its_number_or_its_period(
    known: ChargeReport, later: ChargeReport, is_found: bool
) -> None:
    charge = charge_of(known)

    assert book_of(charges=[charge]).find(later.charge) == (charge if is_found else None)


@pytest.mark.parametrize("doubt", [Doubt.PERIOD, Doubt.IDENTITY])
def test_a_charge_that_cannot_be_identified_is_found_only_by_its_own_key(doubt: Doubt) -> None:
    charge = charge_of(donation(charge_key=ChargeKey("donation:event-1")))
    book = book_of(charges=[charge])

    assert book.find(donation(charge_key=ChargeKey("donation:event-1"), doubt=doubt).charge) == charge
    assert book.find(donation(charge_key=ChargeKey("donation:event-2"), doubt=doubt).charge) is None


def test_a_charge_with_another_doubt_is_found_by_its_ids() -> None:
    charge = charge_of(donation())

    assert (
        book_of(charges=[charge]).find(donation(charge_key=ChargeKey("another"), doubt=Doubt.STATUS).charge) == charge
    )


@pytest.mark.parametrize(("seconds", "is_one"), [(1, True), (-300, True), (300, True), (301, False), (-301, False)])
@pytest.mark.parametrize("psp_id", ["sub_1", None])
def test_periods_that_begin_minutes_apart_are_the_same(psp_id: str | None, seconds: int, *, is_one: bool) -> None:
    known = charge_of(membership(psp_id=psp_id))
    later = membership(psp_id=psp_id, period_start=PAID_AT + timedelta(seconds=seconds), charge_key=ChargeKey("later"))

    assert book_of(charges=[known]).find(later.charge) == (known if is_one else None)


def test_a_refund_by_number_finds_the_charge_of_its_own_period() -> None:
    first, second = charge_of(membership(transaction_id="pi_1")), charge_of(membership(months=1, transaction_id="pi_2"))
    refund = membership(months=1, psp_id="sub_9", transaction_id="re_1")

    assert book_of(charges=[first, second]).find_refunded(refund.charge) == second


def test_a_renewal_of_an_erased_user_is_credited_and_kept_without_personal_data() -> None:
    book = book_of(subscribers={"sub_1": frozenset({ANNA})}, erased=frozenset({ANNA}))

    done = settle_all(membership(months=1, note="from Anna", supporter=OLENA, payer_name="Anna"), book=book)

    [charge], [record] = done.charges.values(), done.events
    assert done.payment_credits == {charge.charge_key: (ANNA, 300)}
    assert (charge.note, charge.payer_name, record.is_erased) == (None, None, True)
    assert done.supporters == {"77": Supporter("77", None, None)}


def test_a_waiting_payment_of_an_erased_user_keeps_its_note() -> None:
    done = settle_all(donation(note="again", supporter=OLENA), book=book_of(erased=frozenset({ANNA})))

    [charge], [record] = done.charges.values(), done.events
    assert (charge.note, record.is_erased, done.supporters) == ("again", False, {"77": OLENA})


@pytest.mark.parametrize(("supporter_id", "is_erased"), [("77", True), ("78", False), (None, False)])
def test_an_event_without_money_of_an_erased_supporter_is_kept_without_its_body(
    supporter_id: str | None, *, is_erased: bool
) -> None:
    event = event_of(None, EventKind.NO_MONEY, supporter_id=supporter_id)

    done = settle_all(event, book=Book(erased_supporters=frozenset({"77"})))

    assert [record.is_erased for record in done.events] == [is_erased]


def test_an_unreadable_event_of_an_erased_supporter_keeps_its_body() -> None:
    event = event_of(None, EventKind.UNREADABLE, supporter_id="77")

    done = settle_all(event, book=Book(erased_supporters=frozenset({"77"})))

    assert [record.is_erased for record in done.events] == [False]


@pytest.mark.parametrize(
    ("known", "later", "name"), [(None, "Anna", "Anna"), ("Anna", "Olha", "Anna"), ("Anna", None, "Anna")]
)
def test_a_payer_without_a_supporter_id_keeps_the_first_name(known: str | None, later: str | None, name: str) -> None:
    book = book_of(charges=[charge_of(donation(payer_name=known))])

    done = settle_all(donation(payer_name=later, note="now with words"), book=book)

    assert [charge.payer_name for charge in done.charges.values()] == [name]


def test_a_new_charge_keeps_the_name_of_a_payer_without_a_supporter_id() -> None:
    done = settle_all(donation(payer_name="Anna"))

    assert [charge.payer_name for charge in done.charges.values()] == ["Anna"]


def test_a_charge_is_found_by_its_period_before_its_number() -> None:
    by_number = charge_of(membership(psp_id=None))
    by_period = charge_of(membership("17"))

    assert book_of(charges=[by_number, by_period]).find(membership().charge) == by_period


def test_a_charge_is_found_by_its_number_before_its_transaction() -> None:
    by_transaction = charge_of(donation("2", transaction_id="pi_1", family=Family.EXTRA_PURCHASE))
    by_number = charge_of(donation(transaction_id=None))

    assert book_of(charges=[by_transaction, by_number]).find(donation().charge) == by_number


def test_a_charge_is_found_by_an_id_that_it_got_later() -> None:
    nameless = charge_of(donation(transaction_id=None))
    named = replace(nameless, transaction_id="pi_1")
    book = book_of(charges=[nameless, named])

    assert book.find(donation(None, transaction_id="pi_1").charge) == named
    assert book.find(donation(transaction_id=None).charge) == named


def test_a_refund_with_its_own_transaction_finds_its_charge_by_the_number() -> None:
    charge = charge_of(donation())
    refund = donation(transaction_id="re_9")

    assert book_of(charges=[charge]).find(refund.charge) is None
    assert book_of(charges=[charge]).find_refunded(refund.charge) == charge


def test_a_refund_finds_its_charge_by_the_transaction_before_the_number() -> None:
    by_transaction = charge_of(donation("2", transaction_id="pi_1", family=Family.EXTRA_PURCHASE))
    by_number = charge_of(donation(transaction_id="pi_3"))

    assert book_of(charges=[by_number, by_transaction]).find_refunded(donation().charge) == by_transaction


def test_a_conflict_is_found_with_a_charge_that_is_not_a_conflict_itself() -> None:
    first = charge_of(donation("1", transaction_id="pi_1"))
    second = charge_of(
        donation("2", transaction_id="pi_1", charge_key=ChargeKey("donation:2")), conflicts_with=first.charge_key
    )

    assert book_of(charges=[second, first]).find_conflict(donation("3", transaction_id="pi_1").charge) == first


@pytest.mark.parametrize(
    "other",
    [
        donation("2"),
        donation("2", transaction_id="pi_1", family=Family.EXTRA_PURCHASE),
        donation("1"),
        donation(None, transaction_id="pi_1"),
        donation("2", transaction_id="pi_1", source="other"),
    ],
    ids=["another transaction", "another family", "the same number", "no number", "another source"],
)
def test_different_charges_and_equal_charges_are_no_conflict(other: ChargeReport) -> None:
    assert book_of(charges=[charge_of(donation())]).find_conflict(other.charge) is None


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (membership(), "sub_1"),
        (membership(psp_id=None), "membership:16"),
        (membership(None, psp_id=None), None),
        (membership(psp_id=None, period_start=None, doubt=Doubt.PERIOD), "membership:16"),
        (membership(psp_id=None, period_start=None), None),
        (donation(), None),
        (donation(doubt=Doubt.STATUS), None),
    ],
)
def test_a_subscription_is_identified_by_its_id_or_its_number(facts: ChargeReport, name: str | None) -> None:
    assert facts.charge.subscription == name


def test_an_outsider_is_remembered_by_supporter_subscription_and_item() -> None:
    assert list(membership(supporter=OLENA, item="level:5").charge.outsider_names()) == [
        (OutsiderKind.SUPPORTER, "77"),
        (OutsiderKind.SUBSCRIPTION, "sub_1"),
        (OutsiderKind.ITEM, "level:5"),
    ]
    assert list(donation().charge.outsider_names()) == []


def test_a_refunded_part_is_not_kept() -> None:
    assert charge_of(donation()).amount_kept == 5
    assert charge_of(donation(), refunded_amount=Decimal("1.50")).amount_kept == Decimal("3.50")
    assert charge_of(donation(amount=None)).amount_kept == 0


@pytest.mark.parametrize(
    ("known", "may_match"),
    [
        ({}, True),
        ({"is_held": True}, False),
        ({"state": ChargeState.DISMISSED}, False),
        ({"state": ChargeState.DISMISSED, "dismissed_by": 7}, True),
        ({"state": ChargeState.DISMISSED, "dismissed_by": 7, "is_held": True}, False),
        ({"state": ChargeState.MATCHED, "dismissed_by": 7}, False),
        ({"state": ChargeState.REFUNDED}, False),
    ],
)
def test_a_rule_may_match_a_charge_that_no_person_decided(known: dict[str, Any], may_match: bool) -> None:
    assert charge_of(donation(), **known).may_match is may_match


# Codes and users in the texts of an event ----------------------------------------------------------------------------


def test_an_exact_code_in_the_side_text_counts_as_one_in_the_note() -> None:
    words = read_words(f"from @olena_k, {CODE}", f"Olena {OTHER_CODE}")

    assert words.reading.codes == {CODE, OTHER_CODE}
    assert words.reading.holds_code
    assert words.mentions.usernames == {"olena_k"}


@pytest.mark.parametrize("side_text", ["", "@olena_k", "K7QM2XHE"])
def test_a_side_text_without_a_code_adds_nothing(side_text: str) -> None:
    assert read_words("thanks", side_text) == read_words("thanks")


def test_a_code_in_the_name_decides() -> None:
    facts = donation(note="Thanks!", side_text=f"Ola {CODE}", amount=Decimal(9))

    done = settle_all(facts, donation("2", note="Thanks!"), book=book_of([payment()]), rules=NO_GUESSES)

    assert done.outcomes == [Outcome.CREDITED, Outcome.UNMATCHED]


def test_a_report_has_the_words_of_both_texts() -> None:
    note, side_text = f"from @olena_k, {CODE}", f"Ola {OTHER_CODE}"

    assert donation(note=note, side_text=side_text).words == read_words(note, side_text)


def test_users_are_mentioned_by_a_known_id_or_by_their_name() -> None:
    mentions = Mentions(frozenset({"anna_k", "nobody_else"}), frozenset({BOHDAN, TelegramId(999)}))
    book = Book(usernames={"anna_k": frozenset({ANNA})}, known_users=frozenset({BOHDAN, TelegramId(5)}))

    assert book.users_mentioned(mentions) == {ANNA, BOHDAN}


def test_a_mentioned_user_is_only_a_candidate() -> None:
    book = book_of([payment(amount="9")], usernames={"anna_k": frozenset({ANNA})})

    done = settle_all(donation(note="for @Anna_K"), book=book)

    assert done.outcomes == [Outcome.UNMATCHED]
    assert done.charges[DONATION_KEY].reasons[-1] == Reason(Method.OPERATOR, Rejection.MENTIONED, telegram_id=ANNA)


# A payment with a code -----------------------------------------------------------------------------------------------


def test_a_payment_with_a_code_is_written_with_all_its_facts() -> None:
    facts = donation(
        note=f"Дякую! {CODE}",
        supporter=OLENA,
        item="extra:12",
        item_name="Sticker",
        amount=Decimal("4.50"),
        currency="EUR",
    )
    picked = payment(amount="10", minutes_ago=20)

    event = event_of(facts, traceparent=TRACE)
    done = settle_all(event, book=book_of([picked]))

    matched = charge_of(
        facts,
        state=ChargeState.MATCHED,
        method=Method.CODE,
        payment_id=CODE,
        telegram_id=ANNA,
        matched_at=NOW,
    )
    facts_told = PaymentCredited(
        amount=Decimal("4.50"),
        currency="EUR",
        credits=495,
        method=Method.CODE,
        flag=None,
        charge_key=DONATION_KEY,
        code=CODE,
        picked_amount=Decimal(10),
        picked_currency="USD",
        received_at=NOW,
    )
    assert done == Settlement(
        events=[EventRecord(event, Outcome.CREDITED, DONATION_KEY)],
        charges={DONATION_KEY: matched},
        supporters={"77": OLENA},
        completions=[Completion(CODE, matched, picked.created_at)],
        payment_credits={DONATION_KEY: (ANNA, 495)},
        notifications=[
            NewNotification(
                ANNA,
                facts_told,
                fact_key=f"credited:{DONATION_KEY}",
                traceparent=TRACE,
            )
        ],
        outcomes=[Outcome.CREDITED],
    )


def test_a_charge_keeps_every_id_and_doubt_of_its_event() -> None:
    facts = membership(supporter=OLENA, item="level:5", item_name="Gold", doubt=Doubt.STATUS, told="past_due")

    done = settle_all(facts)

    kept = done.charges[facts.charge.charge_key]
    assert replace(kept, reasons=()) == charge_of(facts)


def test_a_charge_keeps_the_source_of_its_event() -> None:
    assert settle_all(donation(source="other")).charges[DONATION_KEY].source == "other"


def test_a_payment_that_a_code_completed_is_completed_once() -> None:
    book = book_of([payment()])

    done = settle_all(donation(note=CODE, supporter=OLENA), donation("2", note=CODE), book=book)

    assert done.outcomes == [Outcome.CREDITED, Outcome.CREDITED]
    assert [one.payment_id for one in done.completions] == [CODE]
    assert (book.payments[CODE].status, book.payments[CODE].ended_at) == (PaymentStatus.COMPLETED, NOW)
    assert done.payment_credits == {DONATION_KEY: (ANNA, 500), "donation:pi_2": (ANNA, 500)}


def test_a_second_charge_is_shown_to_operators() -> None:
    facts = donation(note=CODE)

    done = settle_all(facts, book=book_of([payment(status=PaymentStatus.COMPLETED)]))

    assert done.charges[DONATION_KEY].flag is Flag.SECOND_CHARGE
    assert the_credit(done).flag is Flag.SECOND_CHARGE
    assert the_message(done, NotificationKind.CHARGE_FLAGGED) == NewNotification(
        None, ChargeFlagged.of(facts.charge, code=CODE), f"flagged:{DONATION_KEY}"
    )
    assert done.completions == []


@pytest.mark.parametrize(
    ("supporter", "is_shown"), [(OLENA, False), (replace(OLENA, supporter_id="78"), True), (None, True)]
)
def test_a_second_charge_by_a_known_payer_is_not_shown_to_operators(
    supporter: Supporter | None, is_shown: bool
) -> None:
    first, second = donation(note=CODE, supporter=OLENA), donation("2", note=CODE, supporter=supporter)

    done = settle_all(first, second, book=book_of([payment()]))

    assert told(done) == ([NotificationKind.CHARGE_FLAGGED] if is_shown else [])


def test_a_late_payment_is_credited_without_an_operators_card() -> None:
    done = settle_all(donation(note=CODE), book=book_of([payment(status=PaymentStatus.EXPIRED)]))

    assert done.charges[DONATION_KEY].flag is Flag.LATE
    assert (told(done), told(done, ANNA)) == ([], [NotificationKind.PAYMENT_CREDITED])
    assert done.completions == []


def test_codes_of_one_user_are_all_completed_by_their_sum() -> None:
    payments = [payment(amount="5"), payment(OTHER_CODE, amount="10", minutes_ago=5)]

    done = settle_all(donation(note=f"{CODE} and {OTHER_CODE}", amount=Decimal(15)), book=book_of(payments))

    assert [one.payment_id for one in done.completions] == [OTHER_CODE, CODE]
    assert the_credit(done).picked_amount == 15
    assert done.payment_credits == {DONATION_KEY: (ANNA, 1500)}


def test_users_whose_codes_are_in_one_text_are_both_told_of_the_review() -> None:
    facts = donation(note=f"{OTHER_CODE} {CODE}")

    done = settle_all(facts, book=book_of([payment(OTHER_CODE, user=BOHDAN), payment()]))

    under_review = PaymentUnderReview(amount=Decimal(5), currency="USD", charge_key=DONATION_KEY)
    assert done.notifications == [
        NewNotification(None, ChargeUnmatched.of(facts.charge), f"unmatched:{DONATION_KEY}"),
        NewNotification(ANNA, under_review, f"under_review:{DONATION_KEY}:{ANNA}"),
        NewNotification(BOHDAN, under_review, f"under_review:{DONATION_KEY}:{BOHDAN}"),
    ]
    assert [reason.telegram_id for reason in done.charges[DONATION_KEY].reasons] == [ANNA, BOHDAN]


def test_a_slip_is_corrected_to_the_one_code_near_it() -> None:
    done = settle_all(donation(note="K7QM2XHE"), book=book_of([payment(), payment(OTHER_CODE, user=BOHDAN)]))

    assert (done.charges[DONATION_KEY].method, done.charges[DONATION_KEY].telegram_id) == (Method.CORRECTED_CODE, ANNA)
    assert done.charges[DONATION_KEY].reasons == (Reason(Method.CODE, Rejection.NO_CODE),)


def test_a_user_is_told_of_the_review_of_a_charge_without_a_rate() -> None:
    done = settle_all(donation(note=CODE, currency="SEK"), book=book_of([payment()]))

    assert done.outcomes == [Outcome.UNMATCHED]
    assert done.charges[DONATION_KEY].reasons[-1] == Reason(Method.CODE, Rejection.NO_RATE, CODE, ANNA)
    assert told(done, ANNA) == [NotificationKind.PAYMENT_UNDER_REVIEW]
    assert done.payment_credits == {}


def test_a_charge_without_any_candidate_waits_for_an_operator() -> None:
    facts = donation(note="great work")

    done = settle_all(facts)

    kept = done.charges[DONATION_KEY]
    assert (kept.state, kept.waits, kept.note) == (ChargeState.UNMATCHED, True, "great work")
    assert kept.reasons[0] == Reason(Method.CODE, Rejection.NO_CODE)
    assert told(done) == [NotificationKind.CHARGE_UNMATCHED]


# Repeated deliveries and events without a charge ---------------------------------------------------------------------


def test_the_same_event_again_changes_nothing() -> None:
    event = event_of(donation(note=CODE))

    done = settle_all(event, event, book=book_of([payment()]))

    assert done.outcomes == [Outcome.CREDITED, Outcome.DUPLICATE]
    assert len(done.events) == 1
    assert told(done, ANNA) == [NotificationKind.PAYMENT_CREDITED]


def test_an_event_that_was_settled_in_an_earlier_batch_is_a_duplicate() -> None:
    event = event_of(donation(note=CODE))

    done = settle_all(event, book=book_of([payment()], delivered={event.delivery_key}))

    assert done == Settlement(outcomes=[Outcome.DUPLICATE])


def test_other_content_of_an_event_is_another_event_of_its_charge() -> None:
    event = event_of(donation(note=CODE))
    other = replace(event, delivery_key=DeliveryKey("live:1:other"), report=donation(note=CODE, amount=Decimal(500)))

    done = settle_all(event, other, other, book=book_of([payment()]))

    assert done.outcomes == [Outcome.CREDITED, Outcome.RECORDED, Outcome.DUPLICATE]
    assert done.events[1:] == [EventRecord(other, Outcome.RECORDED, DONATION_KEY)]
    assert done.payment_credits == {DONATION_KEY: (ANNA, 500)}
    facts = the_message(done, NotificationKind.CHARGE_CONTRADICTED).facts
    assert isinstance(facts, ChargeContradicted)
    assert facts.told_amount == 500


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (EventKind.NO_MONEY, Outcome.RECORDED),
        (EventKind.TEST, Outcome.TEST),
        (EventKind.UNKNOWN, Outcome.UNKNOWN),
        (EventKind.UNREADABLE, Outcome.UNREADABLE),
        (EventKind.LEGACY, Outcome.LEGACY),
    ],
)
def test_an_event_without_a_charge_is_only_recorded(kind: EventKind, outcome: Outcome) -> None:
    event = event_of(None, kind)

    done = settle_all(event)

    assert done.events == [EventRecord(event, outcome)]
    assert (done.outcomes, done.charges) == ([outcome], {})


@pytest.mark.parametrize(
    ("kind", "told_as", "fact_key"),
    [
        (EventKind.TEST, SentTest, "test:test:1"),
        (EventKind.UNKNOWN, EventUnknown, f"unknown:{'x' * 100}:2026-11-23"),
        (EventKind.UNREADABLE, EventUnreadable, "unreadable:test:1"),
        (EventKind.LEGACY, LegacyWebhook, "legacy:2026-11-23"),
    ],
)
def test_operators_are_told_of_an_event_that_needs_them(
    kind: EventKind, told_as: type[EventNews], fact_key: str
) -> None:
    event = event_of(None, kind, delivery_key=DeliveryKey("test:1"), type="x" * 101, traceparent=TRACE)

    done = settle_all(event)

    assert done.notifications == [NewNotification(None, told_as(type="x" * 100), fact_key, TRACE)]


def test_an_unknown_event_without_a_type_is_reported() -> None:
    message = the_message(settle_all(event_of(None, EventKind.UNKNOWN)), NotificationKind.EVENT_UNKNOWN)

    assert (message.facts, message.fact_key) == (EventUnknown(type=None), "unknown::2026-11-23")


def test_operators_are_not_told_of_a_cancellation() -> None:
    assert settle_all(event_of(None, EventKind.NO_MONEY)).notifications == []


def test_each_notification_has_the_trace_of_its_own_event() -> None:
    events = [event_of(donation(str(number)), traceparent=f"trace {number}") for number in (1, 2)]

    done = settle_all(*events, rules=NO_GUESSES)

    assert [one.traceparent for one in done.notifications] == ["trace 1", "trace 2"]
    assert not hasattr(done.notifications[0].facts, "received_at")


# Later events of a known charge --------------------------------------------------------------------------------------


def test_another_event_of_the_same_charge_credits_nobody_twice() -> None:
    facts = donation(note=CODE)

    done = settle_all(facts, facts, book=book_of([payment()]))

    assert done.outcomes == [Outcome.CREDITED, Outcome.RECORDED]
    assert [record.charge_key for record in done.events] == [DONATION_KEY, DONATION_KEY]
    assert done.payment_credits == {DONATION_KEY: (ANNA, 500)}
    assert told(done) == []


def test_a_later_event_with_the_same_facts_writes_no_charge() -> None:
    book = book_of(charges=[credited_charge(donation(supporter=OLENA))])

    done = settle_all(donation(supporter=OLENA), book=book)

    assert (done.outcomes, done.charges, done.notifications) == ([Outcome.RECORDED], {}, [])
    assert done.supporters == {"77": OLENA}


def test_a_later_event_adds_missing_ids() -> None:
    bare = membership(None)
    full = membership(
        "16",
        transaction_id="pi_9",
        supporter=OLENA,
        item="level:5",
        item_name="Gold",
        note="hi",
        charge_key=bare.charge.charge_key,
    )

    done = settle_all(full, book=book_of(charges=[credited_charge(bare)]))

    assert done.charges == {bare.charge.charge_key: credited_charge(full)}


def test_a_later_event_adds_the_id_of_the_subscription() -> None:
    nameless = membership(psp_id=None)

    done = settle_all(membership(), book=book_of(charges=[credited_charge(nameless)]))

    assert done.charges[nameless.charge.charge_key].psp_id == "sub_1"


def test_a_later_event_does_not_change_known_facts() -> None:
    known = credited_charge(
        donation(transaction_id="pi_1", psp_id="sub_1", supporter=OLENA, item="extra:1", item_name="Mug", note="hi")
    )
    later = donation(
        "2",
        transaction_id="pi_1",
        family=Family.EXTRA_PURCHASE,
        psp_id="sub_2",
        supporter=replace(OLENA, supporter_id="78"),
        item="extra:2",
        item_name="Cap",
    )

    done = settle_all(later, book=book_of(charges=[known]))

    assert (done.outcomes, done.charges) == ([Outcome.RECORDED], {})


def test_an_unreadable_amount_is_read_from_a_later_event() -> None:
    unreadable = donation(amount=None, currency="XXX", note=CODE, doubt=Doubt.AMOUNT, told="5_0")
    book = book_of([payment()])

    done = settle_all(unreadable, donation(note=CODE), book=book)

    kept = done.charges[DONATION_KEY]
    assert done.outcomes == [Outcome.UNMATCHED, Outcome.CREDITED]
    assert (kept.amount, kept.currency, kept.doubt, kept.told) == (Decimal(5), "USD", None, None)
    assert NotificationKind.CHARGE_CONTRADICTED not in told(done)


def test_a_charge_whose_status_becomes_paid_is_matched() -> None:
    done = settle_all(
        donation(note=CODE, doubt=Doubt.STATUS, told="processing"), donation(note=CODE), book=book_of([payment()])
    )

    assert done.outcomes == [Outcome.UNMATCHED, Outcome.CREDITED]
    assert (done.charges[DONATION_KEY].doubt, done.charges[DONATION_KEY].told) == (None, None)
    assert told(done, ANNA) == [NotificationKind.PAYMENT_UNDER_REVIEW, NotificationKind.PAYMENT_CREDITED]


@pytest.mark.parametrize("doubt", [Doubt.PERIOD, Doubt.CONFLICT, Doubt.ANNOUNCED_TWICE])
def test_other_doubts_are_not_cleared_by_a_later_event(doubt: Doubt) -> None:
    known = charge_of(donation(), doubt=doubt, told="seen")

    done = settle_all(donation(), book=book_of([payment()], [known]))

    assert (done.outcomes, done.charges) == ([Outcome.RECORDED], {})


def test_a_waiting_charge_whose_status_becomes_doubtful_is_in_doubt() -> None:
    waiting = charge_of(donation())

    done = settle_all(donation(doubt=Doubt.STATUS, told="disputed"), book=book_of(charges=[waiting]))

    kept = done.charges[DONATION_KEY]
    assert (kept.doubt, kept.told) == (Doubt.STATUS, "disputed")
    assert the_message(done, NotificationKind.CHARGE_CONTRADICTED).facts == ChargeContradicted.of(
        donation().charge,
        about=Contradiction.STATUS,
        told_amount=Decimal(5),
        told_currency="USD",
        told="disputed",
    )


def test_a_doubtful_status_of_a_credited_charge_is_reported_and_changes_nothing() -> None:
    done = settle_all(
        donation(doubt=Doubt.STATUS, told="disputed"), book=book_of(charges=[credited_charge(donation())])
    )

    assert done.charges == {}
    message = the_message(done, NotificationKind.CHARGE_CONTRADICTED)
    assert message.fact_key == f"contradicted:{DONATION_KEY}:status:5:USD:disputed"


@pytest.mark.parametrize(
    "known",
    [
        charge_of(donation(), doubt=Doubt.STATUS),
        charge_of(donation(), state=ChargeState.REFUNDED, refunded_at=NOW),
    ],
    ids=["in doubt before", "refunded"],
)
def test_a_doubtful_status_of_a_doubtful_or_refunded_charge_is_not_reported(known: Charge) -> None:
    done = settle_all(donation(doubt=Doubt.STATUS, told="disputed"), book=book_of(charges=[known]))

    assert done.notifications == []


@pytest.mark.parametrize(
    ("later", "amount", "currency"),
    [(donation(amount=Decimal("50.00")), "50.00", "USD"), (donation(currency="EUR"), "5", "EUR")],
)
def test_a_different_amount_of_a_known_charge_is_shown_with_both_amounts(
    later: ChargeReport, amount: str, currency: str
) -> None:
    done = settle_all(later, book=book_of(charges=[credited_charge(donation())]))

    assert (done.outcomes, done.charges) == ([Outcome.RECORDED], {})
    assert the_message(done, NotificationKind.CHARGE_CONTRADICTED) == NewNotification(
        None,
        ChargeContradicted.of(
            donation().charge,
            code=CODE,
            about=Contradiction.AMOUNT,
            told_amount=Decimal(amount),
            told_currency=currency,
            told=None,
        ),
        f"contradicted:{DONATION_KEY}:amount:{amount}:{currency}:",
    )


def test_an_unreadable_amount_is_no_contradiction() -> None:
    done = settle_all(donation(amount=None), book=book_of(charges=[credited_charge(donation())]))

    assert done.notifications == []


def test_an_answer_in_a_later_event_may_have_the_code() -> None:
    bought = donation(family=Family.EXTRA_PURCHASE, amount=Decimal(8))

    done = settle_all(bought, changed(bought, note=CODE), changed(bought, note=CODE), book=book_of([payment()]))

    assert done.outcomes == [Outcome.UNMATCHED, Outcome.CREDITED, Outcome.RECORDED]
    assert done.payment_credits == {bought.charge.charge_key: (ANNA, 800)}
    assert done.charges[bought.charge.charge_key].note == CODE


def test_a_note_in_a_later_event_causes_no_guess() -> None:
    book = book_of([payment()], [charge_of(donation())])

    done = settle_all(donation(note="size L"), book=book)

    assert done.outcomes == [Outcome.UNMATCHED]
    assert "asked_late" in whys(done.charges[DONATION_KEY])


def test_a_charge_held_by_an_operator_is_not_matched_by_a_later_code() -> None:
    held = charge_of(donation(), is_held=True)

    done = settle_all(donation(note=CODE), book=book_of([payment()], [held]))

    assert (done.outcomes, done.payment_credits) == ([Outcome.RECORDED], {})
    assert done.charges[DONATION_KEY].note == CODE


def test_a_late_code_of_another_user_is_reported() -> None:
    book = book_of(
        [payment(), payment(OTHER_CODE, user=BOHDAN)], [credited_charge(donation(), method=Method.AMOUNT_AND_TIME)]
    )

    done = settle_all(donation(note=f"{CODE} {OTHER_CODE} {THIRD_CODE}"), book=book)

    assert done.outcomes == [Outcome.RECORDED]
    assert done.notifications == [
        NewNotification(
            None,
            CodeCameLate.of(donation().charge, code=OTHER_CODE),
            f"code_late:{DONATION_KEY}:{OTHER_CODE}",
        )
    ]


def test_a_code_after_a_refund_is_not_reported() -> None:
    refunded = charge_of(donation(), state=ChargeState.REFUNDED, refunded_at=NOW)

    done = settle_all(donation(note=CODE), book=book_of([payment()], [refunded]))

    assert (done.outcomes, done.notifications) == ([Outcome.RECORDED], [])


def test_a_repeated_note_is_not_read_as_a_late_code() -> None:
    book = book_of([payment(OTHER_CODE, user=BOHDAN)], [credited_charge(donation(note=OTHER_CODE))])

    assert settle_all(donation(note=OTHER_CODE), book=book).notifications == []


def test_a_later_event_does_not_restore_erased_data() -> None:
    event = event_of(donation(note="Anna K", supporter=OLENA))
    book = book_of(charges=[credited_charge(donation())], erased=frozenset({ANNA}))

    done = settle_all(event, book=book)

    assert done == Settlement(
        events=[EventRecord(event, Outcome.RECORDED, DONATION_KEY, is_erased=True)],
        outcomes=[Outcome.RECORDED],
    )


def test_a_different_amount_of_an_erased_users_charge_is_still_reported() -> None:
    book = book_of(charges=[credited_charge(donation())], erased=frozenset({ANNA}))

    assert told(settle_all(donation(amount=Decimal(6)), book=book)) == [NotificationKind.CHARGE_CONTRADICTED]


def test_the_body_of_an_event_of_another_user_is_kept() -> None:
    book = book_of(charges=[credited_charge(donation())], erased=frozenset({BOHDAN}))

    [record] = settle_all(donation(), book=book).events

    assert not record.is_erased


# Charges that only a person may match --------------------------------------------------------------------------------


def test_the_second_number_under_one_transaction_is_held_as_a_conflict() -> None:
    first = donation("1", transaction_id="T", note=CODE)
    second = donation("2", transaction_id="T", note=OTHER_CODE, amount=Decimal(10))
    book = book_of([payment(), payment(OTHER_CODE, user=BOHDAN, amount="10")])

    done = settle_all(first, second, second, book=book)

    kept = done.charges[ChargeKey("donation:2")]
    assert done.outcomes == [Outcome.CREDITED, Outcome.UNMATCHED, Outcome.RECORDED]
    assert (kept.doubt, kept.conflicts_with, kept.amount) == (Doubt.CONFLICT, "donation:T", Decimal(10))
    assert kept.reasons[-1] == Reason(Method.CODE, Rejection.CONFLICT, OTHER_CODE, BOHDAN)
    assert told(done, BOHDAN) == [NotificationKind.PAYMENT_UNDER_REVIEW]


def test_a_conflict_gets_a_key_that_no_charge_has() -> None:
    first = charge_of(donation("1", transaction_id="T"))
    of_that_number = charge_of(donation("2", transaction_id="U", charge_key=ChargeKey("donation:2")))

    done = settle_all(donation("2", transaction_id="T"), book=book_of(charges=[first, of_that_number]))

    assert list(done.charges) == ["donation:2:T"]
    assert done.charges[ChargeKey("donation:2:T")].conflicts_with == first.charge_key


MONTHLY = membership(family=Family.RECURRING_DONATION, amount=Decimal(5), supporter=OLENA, note=CODE)
ONCE = donation(supporter=OLENA, note=CODE)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ONCE, MONTHLY),
        (MONTHLY, ONCE),
        (ONCE, changed(MONTHLY, family=Family.MEMBERSHIP)),
        (ONCE, changed(MONTHLY, paid_at=PAID_AT + timedelta(minutes=15))),
        (ONCE, changed(MONTHLY, paid_at=PAID_AT - timedelta(minutes=15))),
    ],
)
def test_a_first_month_also_announced_as_a_donation_is_credited_once(first: ChargeReport, second: ChargeReport) -> None:
    done = settle_all(first, second, book=book_of([payment()]))

    kept = done.charges[second.charge.charge_key]
    assert done.outcomes == [Outcome.CREDITED, Outcome.UNMATCHED]
    assert (kept.doubt, kept.told) == (Doubt.ANNOUNCED_TWICE, first.charge.charge_key)
    assert told(done, ANNA) == [NotificationKind.PAYMENT_CREDITED]


@pytest.mark.parametrize(
    "second",
    [
        changed(MONTHLY, amount=Decimal(6)),
        changed(MONTHLY, currency="EUR"),
        changed(MONTHLY, note=f"{CODE}!"),
        changed(MONTHLY, supporter=replace(OLENA, supporter_id="78")),
        changed(MONTHLY, supporter=None),
        changed(MONTHLY, paid_at=PAID_AT + timedelta(minutes=15, seconds=1)),
        changed(MONTHLY, is_renewal=True),
        donation("2", supporter=OLENA, note=CODE),
        donation("2", supporter=OLENA, note=CODE, family=Family.EXTRA_PURCHASE),
    ],
    ids=["amount", "currency", "note", "supporter", "nameless", "later", "renewal", "donation", "purchase"],
)
def test_a_payment_that_differs_from_a_donation_is_a_separate_one(second: ChargeReport) -> None:
    done = settle_all(ONCE, second, book=book_of([payment()]))

    assert done.outcomes == [Outcome.CREDITED, Outcome.CREDITED]


@pytest.mark.parametrize(
    ("note", "erased", "is_held"),
    [(None, {ANNA}, True), (None, {BOHDAN}, False), (None, set(), False), (f"{CODE}!", {ANNA}, False)],
)
def test_a_first_month_is_held_although_the_donations_note_was_erased(
    note: str | None, erased: set[TelegramId], *, is_held: bool
) -> None:
    """
    No rule matches a subscription's first month if it may be the same payment as a donation whose note was erased.

    BMC may announce one payment twice: as a donation and as a first month. The donation's note was deleted when its user was
    erased. So the ledger compares the two charges without their notes.
    """
    before = credited_charge(ONCE, note=note)

    done = settle_all(MONTHLY, book=book_of([payment()], charges=[before], erased=frozenset(erased)))

    assert done.charges[MONTHLY.charge.charge_key].doubt == (Doubt.ANNOUNCED_TWICE if is_held else None)


def test_two_subscriptions_are_not_one_payment_announced_twice() -> None:
    done = settle_all(MONTHLY, membership("17", psp_id="sub_2", amount=Decimal(5), supporter=OLENA, note=CODE))

    assert [charge.doubt for charge in done.charges.values()] == [None, None]


@pytest.mark.parametrize(
    "before",
    [charge_of(ONCE, is_paid=False), charge_of(ONCE, doubt=Doubt.STATUS), charge_of(changed(ONCE, supporter=None))],
    ids=["only its refund came", "in doubt", "nameless"],
)
def test_a_first_month_is_not_held_for_a_donation_in_doubt(before: Charge) -> None:
    month = changed(MONTHLY, supporter=None) if before.supporter_id is None else MONTHLY

    assert settle_all(month, book=book_of([payment()], [before])).charges[month.charge.charge_key].doubt is None


def test_a_first_month_in_doubt_keeps_its_doubt() -> None:
    done = settle_all(ONCE, changed(MONTHLY, doubt=Doubt.STATUS, told="past_due"), book=book_of([payment()]))

    assert (done.charges[MONTHLY.charge.charge_key].doubt, done.charges[MONTHLY.charge.charge_key].told) == (
        Doubt.STATUS,
        "past_due",
    )


def test_a_doubt_unknown_to_this_version_is_still_a_doubt() -> None:
    charge = charge_of(donation(note=CODE), doubt="a_new_doubt")

    assert rematch(charge, book_of([payment()]), RULES, now=NOW) == Settlement()


# Subscriptions and known supporters ----------------------------------------------------------------------------------


def test_a_renewal_credits_the_user_of_the_subscription() -> None:
    first, renewal = membership(note=CODE), membership(note=CODE, months=1)
    book = book_of([payment()])

    done = settle_all(first, renewal, book=book)

    kept = done.charges[renewal.charge.charge_key]
    assert done.outcomes == [Outcome.CREDITED, Outcome.CREDITED]
    assert (kept.method, kept.telegram_id, kept.flag, kept.payment_id) == (Method.SUBSCRIPTION, ANNA, None, None)
    assert (told(done), told(done, ANNA)) == ([], [NotificationKind.PAYMENT_CREDITED] * 2)
    facts = done.notifications[-1].facts
    assert isinstance(facts, PaymentCredited)
    assert (facts.code, facts.picked_amount, facts.picked_currency) == (None, None, None)
    assert book.subscribers == {"sub_1": {ANNA}}


@pytest.mark.parametrize(("facts", "why"), [(membership(), "new_subscription"), (donation(), "no_subscription")])
def test_an_operators_card_shows_if_the_charge_belongs_to_a_subscription(facts: ChargeReport, why: str) -> None:
    assert why in whys(settle_all(facts).charges[facts.charge.charge_key])


def test_a_subscription_may_have_two_users() -> None:
    book = book_of([payment()], subscribers={"sub_1": frozenset({BOHDAN})})

    settle_all(membership(note=CODE), book=book)

    assert book.subscribers == {"sub_1": {ANNA, BOHDAN}}


def test_a_used_code_does_not_restore_a_subscription_that_was_undone() -> None:
    book = book_of([payment(status=PaymentStatus.COMPLETED)], undone={"sub_1": frozenset({ANNA})})

    done = settle_all(membership(note=CODE, months=1), book=book)

    assert done.outcomes == [Outcome.UNMATCHED]
    assert "code_undone" in {reason.why for charge in done.charges.values() for reason in charge.reasons}


@pytest.mark.parametrize(("supporter", "outcome"), [(OLENA, Outcome.CREDITED), (None, Outcome.UNMATCHED)])
def test_a_supporter_who_paid_with_a_code_is_known_the_next_time(supporter: Supporter | None, outcome: Outcome) -> None:
    book = book_of([payment(), payment(OTHER_CODE, amount="9", minutes_ago=600)])

    done = settle_all(
        donation(note=CODE, supporter=OLENA), donation("2", amount=Decimal(9), supporter=supporter), book=book
    )

    assert done.outcomes == [Outcome.CREDITED, outcome]
    assert book.supporters == {"77": {ANNA}}


def test_a_supporter_may_be_known_as_two_users() -> None:
    book = book_of([payment()], supporters={"77": frozenset({BOHDAN})})

    settle_all(donation(note=CODE, supporter=OLENA), book=book)

    assert book.supporters == {"77": {ANNA, BOHDAN}}


def test_only_a_code_links_a_supporter_to_a_user() -> None:
    book = book_of([payment()], subscribers={"sub_1": frozenset({ANNA})})

    settle_all(membership(supporter=OLENA, months=1), donation(note="K7QM2XHE", supporter=OLENA), book=book)

    assert book.supporters == {}


# Guesses -------------------------------------------------------------------------------------------------------------


def test_a_guess_is_labelled_and_reported_to_both_sides() -> None:
    facts = donation(supporter=OLENA)
    book = book_of([payment()])

    done = settle_all(facts, book=book)

    assert the_credit(done).method is Method.AMOUNT_AND_TIME
    assert the_message(done, NotificationKind.CHARGE_GUESSED) == NewNotification(
        None, ChargeGuessed.of(facts.charge, code=CODE), f"guessed:{DONATION_KEY}"
    )
    assert done.guesses == {DONATION_KEY: ANNA}
    assert done.completions == [Completion(CODE, done.charges[DONATION_KEY], payment().created_at)]


def test_a_guess_links_no_supporter_and_counts_towards_the_limit() -> None:
    taken_back_at = NOW - timedelta(days=91)
    book = book_of([payment(amount="3")], guesses={ANNA: GuessRecord(taken_back_at=taken_back_at)})

    done = settle_all(membership(supporter=OLENA), book=book)

    assert done.outcomes == [Outcome.CREDITED]
    assert (book.subscribers, book.supporters) == ({}, {})
    assert book.guesses == {ANNA: GuessRecord(guessed_at=NOW, taken_back_at=taken_back_at)}


def test_a_user_gets_one_guess_in_a_batch() -> None:
    book = book_of([payment(), payment(OTHER_CODE, amount="7")])

    done = settle_all(donation(), donation("2", amount=Decimal(7)), book=book)

    assert done.outcomes == [Outcome.CREDITED, Outcome.UNMATCHED]
    assert whys(done.charges[ChargeKey("donation:pi_2")]) >= {"guessed_lately"}


@pytest.mark.parametrize(
    "said",
    [{"is_renewal": True}, {"has_answer": True}, {"note": "P4RT-9WE"}],
    ids=["a renewal", "an answer", "something like a code"],
)
def test_a_renewal_an_answer_or_something_like_a_code_forbids_a_guess(said: dict[str, Any]) -> None:
    assert settle_all(donation(**said), book=book_of([payment()])).outcomes == [Outcome.UNMATCHED]


def test_no_guess_is_made_when_an_event_is_settled_again() -> None:
    done = settle_all(donation(), book=book_of([payment()], is_fresh=False))

    assert done.outcomes == [Outcome.UNMATCHED]
    assert "asked_late" in whys(done.charges[DONATION_KEY])


@pytest.mark.parametrize(("days", "outcome"), [(29, Outcome.UNMATCHED), (31, Outcome.CREDITED)])
def test_the_month_after_a_guess_is_counted_up_to_the_settling(days: float, outcome: Outcome) -> None:
    book = book_of([payment()], guesses={ANNA: GuessRecord(guessed_at=NOW - timedelta(days=days))})

    assert settle_all(donation(), book=book).outcomes == [outcome]


@pytest.mark.parametrize(
    ("other", "is_rival"),
    [
        (charge_of(donation("2")), True),
        (charge_of(donation("2", paid_at=PAID_AT - timedelta(minutes=60))), True),
        (charge_of(donation("2", paid_at=PAID_AT + timedelta(minutes=60))), True),
        (charge_of(donation("2", paid_at=PAID_AT - timedelta(minutes=61))), False),
        (charge_of(donation("2", amount=Decimal(6))), False),
        (charge_of(donation("2", currency="EUR")), False),
        (charge_of(donation("2"), state=ChargeState.DISMISSED), False),
        (credited_charge(donation("2"), BOHDAN), False),
    ],
)
def test_a_waiting_charge_of_the_same_amount_around_the_same_time_forbids_a_guess(
    other: Charge, is_rival: bool
) -> None:
    done = settle_all(donation(), book=book_of([payment()], [other]))

    assert done.outcomes == [Outcome.UNMATCHED if is_rival else Outcome.CREDITED]
    assert ("other_charge_waits" in whys(done.charges[DONATION_KEY])) is is_rival


def waiting_charge(facts: ChargeReport) -> RivalCharge:
    return RivalCharge(facts.charge.charge_key, facts.charge.amount, facts.charge.currency, facts.charge.paid_at)


@pytest.mark.parametrize(
    ("waiting", "is_rival"),
    [
        (donation("2"), True),
        (donation("2", paid_at=PAID_AT + timedelta(minutes=61)), False),
        (donation("2", amount=Decimal(6)), False),
        (donation("2", currency="EUR"), False),
    ],
)
def test_a_waiting_charge_outside_the_book_forbids_a_guess_too(waiting: ChargeReport, is_rival: bool) -> None:
    book = book_of([payment()])
    book.keep_rivals([waiting_charge(waiting)])

    assert settle_all(donation(), book=book).outcomes == [Outcome.UNMATCHED if is_rival else Outcome.CREDITED]


def test_a_waiting_charge_decided_by_the_batch_no_longer_forbids_a_guess() -> None:
    decided = donation("2", note=OTHER_CODE)
    book = book_of([payment(), payment(OTHER_CODE, user=BOHDAN, amount="9")], [charge_of(donation("2"))])
    book.keep_rivals([waiting_charge(donation("2"))])

    done = settle_all(decided, donation(), book=book)

    assert done.outcomes == [Outcome.CREDITED, Outcome.CREDITED]


def test_waiting_charges_and_later_charges_of_the_batch_are_counted_together() -> None:
    done = settle_all(donation(), donation("3"), book=book_of([payment()], [charge_of(donation("2"))]))

    assert done.outcomes[0] is Outcome.UNMATCHED


def test_two_charges_without_a_code_in_one_batch_prevent_a_guess() -> None:
    done = settle_all(donation(), donation("2", supporter=OLENA), book=book_of([payment()]))

    assert done.outcomes == [Outcome.UNMATCHED, Outcome.UNMATCHED]


@pytest.mark.parametrize(
    "other",
    [
        event_of(donation("2", note=OTHER_CODE)),
        event_of(donation("2", amount=Decimal(6))),
        event_of(donation("2", paid_at=PAID_AT - timedelta(minutes=61))),
        event_of(donation("2"), EventKind.REFUNDED),
        event_of(donation()),
    ],
    ids=["has a code", "another amount", "another time", "a refund", "the same charge"],
)
def test_a_later_event_of_the_batch_that_does_not_fit_forbids_no_guess(other: Event) -> None:
    book = book_of([payment(), payment(OTHER_CODE, user=BOHDAN, amount="9")])

    assert settle_all(donation(), other, book=book).outcomes[0] is Outcome.CREDITED


def test_a_later_event_of_the_batch_with_an_unknown_code_forbids_a_guess() -> None:
    done = settle_all(donation(), donation("2", note=OTHER_CODE), book=book_of([payment()]))

    assert done.outcomes == [Outcome.UNMATCHED, Outcome.UNMATCHED]


def test_a_decided_charge_no_longer_counts_as_a_later_one() -> None:
    book = book_of([payment(), payment(OTHER_CODE, user=BOHDAN, amount="7")])
    sevens = [donation(str(number), amount=Decimal(7), note=note) for number, note in ((2, OTHER_CODE), (3, None))]

    done = settle_all(*sevens, donation(), book=book)

    assert done.outcomes == [Outcome.CREDITED, Outcome.UNMATCHED, Outcome.CREDITED]
    assert not any(book.undecided.values())


# Refunds -------------------------------------------------------------------------------------------------------------


def test_a_refund_reverses_the_credits_and_tells_both_sides() -> None:
    facts = donation(note=CODE)
    paid = event_of(facts)

    done = settle_all(paid, refund_of(facts), book=book_of([payment()]))

    assert done.outcomes == [Outcome.CREDITED, Outcome.REFUNDED]
    kept = done.charges[DONATION_KEY]
    assert (kept.state, kept.refunded_at, kept.telegram_id) == (ChargeState.REFUNDED, NOW, ANNA)
    assert done.refunded == {DONATION_KEY}
    assert done.notifications[1:] == [
        NewNotification(
            ANNA,
            PaymentRefunded(amount=Decimal(5), currency="USD", charge_key=DONATION_KEY, code=CODE),
            f"refunded:{DONATION_KEY}",
        ),
        NewNotification(
            None,
            ChargeRefunded.of(facts.charge, code=CODE),
            f"charge_refunded:{DONATION_KEY}",
        ),
    ]


def test_a_second_refund_changes_nothing() -> None:
    done = settle_all(refund_of(donation()), refund_of(donation()), book=book_of(charges=[credited_charge(donation())]))

    assert done.outcomes == [Outcome.REFUNDED, Outcome.RECORDED]
    assert told(done) == [NotificationKind.CHARGE_REFUNDED]
    assert [record.charge_key for record in done.events] == [DONATION_KEY, DONATION_KEY]


@pytest.mark.parametrize("known", [{}, {"state": ChargeState.DISMISSED, "dismissed_by": 7}])
def test_a_refund_of_an_uncredited_charge_is_silent(known: dict[str, Any]) -> None:
    done = settle_all(refund_of(donation()), book=book_of(charges=[charge_of(donation(), **known)]))

    kept = done.charges[DONATION_KEY]
    assert (kept.state, kept.dismissed_by, kept.refunded_at) == (ChargeState.REFUNDED, None, NOW)
    assert (done.refunded, done.notifications) == (set(), [])


@pytest.mark.parametrize(
    "said",
    [{"transaction_id": None}, {"transaction_id": "re_9"}, {"amount": None}, {"amount": Decimal("5.00")}],
    ids=["no transaction", "a transaction of its own", "no amount", "the amount in other words"],
)
def test_a_full_refund_finds_its_charge(said: dict[str, Any]) -> None:
    done = settle_all(refund_of(donation(), **said), book=book_of(charges=[credited_charge(donation())]))

    assert (done.outcomes, done.refunded) == ([Outcome.REFUNDED], {DONATION_KEY})


def test_a_refund_of_a_charge_with_an_unknown_amount_is_a_full_one() -> None:
    unread = charge_of(donation(amount=None))

    assert settle_all(refund_of(donation()), book=book_of(charges=[unread])).outcomes == [Outcome.REFUNDED]


@pytest.mark.parametrize(
    ("refund", "known", "told_amount", "fact_key"),
    [
        (donation(amount=Decimal("2.50")), {}, "2.50", "refund:2.50:USD:"),
        (donation(currency="EUR"), {}, "5", "refund:5:EUR:"),
        (donation(amount=None, doubt=Doubt.AMOUNT, told="5_0"), {}, None, "refund:None:USD:5_0"),
        (donation(), {"refunded_amount": Decimal(2)}, "5", "refund:5:USD:"),
    ],
    ids=["another amount", "another currency", "an unreadable amount", "a part is back already"],
)
def test_a_refund_that_may_be_partial_is_left_to_operators(
    refund: ChargeReport, known: dict[str, Any], told_amount: str | None, fact_key: str
) -> None:
    done = settle_all(refund_of(refund), book=book_of(charges=[credited_charge(donation(), **known)]))

    assert (done.outcomes, done.charges, done.refunded) == ([Outcome.RECORDED], {}, set())
    assert done.events[0].charge_key == DONATION_KEY
    message = the_message(done, NotificationKind.CHARGE_CONTRADICTED)
    assert message.fact_key == f"contradicted:{DONATION_KEY}:{fact_key}"
    assert message.facts == ChargeContradicted.of(
        donation().charge,
        code=CODE,
        about=Contradiction.REFUND,
        told_amount=None if told_amount is None else Decimal(told_amount),
        told_currency=refund.charge.currency,
        told=refund.charge.told,
    )


def test_a_refund_without_a_charge_is_kept_and_reported() -> None:
    facts = donation(supporter=OLENA, doubt=Doubt.STATUS, told="odd")

    done = settle_all(refund_of(facts))

    assert (done.outcomes, done.events[0].charge_key) == ([Outcome.REFUNDED], DONATION_KEY)
    assert done.charges == {
        DONATION_KEY: charge_of(facts, is_paid=False, doubt=None, state=ChargeState.REFUNDED, refunded_at=NOW)
    }
    assert done.supporters == {"77": OLENA}
    assert done.notifications == [
        NewNotification(None, RefundUnknown.of(facts.charge), f"refund_unknown:{DONATION_KEY}")
    ]


@pytest.mark.parametrize("said", [{}, {"amount": None}, {"transaction_id": None}])
def test_an_early_refund_is_applied_when_its_payment_arrives(said: dict[str, Any]) -> None:
    facts = donation(note=CODE, supporter=OLENA)
    refunded_at = NOW - timedelta(hours=1)
    book = book_of([payment()])
    settle_all(refund_of(donation(**said)), book=book, now=refunded_at)

    done = settle_all(facts, book=book)

    [kept] = done.charges.values()
    assert done.outcomes == [Outcome.REFUNDED]
    assert (kept.state, kept.is_paid, kept.refunded_at) == (ChargeState.REFUNDED, True, refunded_at)
    assert (kept.telegram_id, kept.amount, kept.matched_at) == (ANNA, Decimal(5), NOW)
    assert done.payment_credits == {kept.charge_key: (ANNA, 500)}
    assert done.refunded == {kept.charge_key}
    assert done.completions == []
    assert told(done, ANNA) == [NotificationKind.PAYMENT_REFUNDED]
    assert done.supporters == {"77": OLENA}
    assert book.payments[CODE].is_open


def test_a_payment_takes_its_facts_from_its_own_event_and_not_from_its_early_refund() -> None:
    paid_at = PAID_AT - timedelta(hours=2)
    early = refund_of(donation(amount=None, currency="XXX", paid_at=PAID_AT))
    facts = donation(paid_at=paid_at, doubt=Doubt.STATUS, told="disputed", currency="EUR")

    done = settle_all(early, facts)

    kept = done.charges[DONATION_KEY]
    assert (kept.amount, kept.currency, kept.paid_at) == (Decimal(5), "EUR", paid_at)
    assert (kept.doubt, kept.told, kept.is_paid) == (Doubt.STATUS, "disputed", True)


def test_an_unmatched_payment_whose_refund_came_first_needs_no_operator() -> None:
    done = settle_all(refund_of(donation()), donation())

    kept = done.charges[DONATION_KEY]
    assert done.outcomes == [Outcome.REFUNDED, Outcome.REFUNDED]
    assert (kept.state, kept.is_paid) == (ChargeState.REFUNDED, True)
    assert "no_code" in whys(kept)
    assert told(done) == [NotificationKind.REFUND_UNKNOWN]


def test_a_payment_of_more_than_its_early_refund_is_credited_and_reported() -> None:
    facts = donation(note=CODE, amount=Decimal(50))

    done = settle_all(refund_of(facts, amount=Decimal(20)), facts, book=book_of([payment()]))

    kept = done.charges[DONATION_KEY]
    assert done.outcomes == [Outcome.REFUNDED, Outcome.CREDITED]
    assert (kept.state, kept.refunded_at) == (ChargeState.MATCHED, None)
    assert done.payment_credits == {DONATION_KEY: (ANNA, 5000)}
    facts_told = the_message(done, NotificationKind.CHARGE_CONTRADICTED).facts
    assert facts_told == ChargeContradicted.of(
        facts.charge,
        about=Contradiction.REFUND,
        told_amount=Decimal(20),
        told_currency="USD",
        told=None,
    )


def test_a_payment_in_another_currency_than_its_early_refund_is_credited_and_reported() -> None:
    facts = donation(note=CODE, currency="EUR")

    done = settle_all(refund_of(donation()), facts, book=book_of([payment()]))

    assert done.outcomes == [Outcome.REFUNDED, Outcome.CREDITED]
    assert done.charges[DONATION_KEY].currency == "EUR"
    assert done.payment_credits == {DONATION_KEY: (ANNA, 550)}


def test_a_part_refunded_before_the_match_is_not_credited() -> None:
    charge = charge_of(donation(note=CODE, amount=Decimal(50)), refunded_amount=Decimal(20))

    done = rematch(charge, book_of([payment()]), RULES, now=NOW)

    assert done.payment_credits == {DONATION_KEY: (ANNA, 3000)}
    assert the_credit(done).amount == 30


# Charges of people who are not our users -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (SUPPORTER_77, donation(supporter=OLENA)),
        ((OutsiderKind.SUBSCRIPTION, "sub_1"), membership()),
        ((OutsiderKind.ITEM, "extra:12"), donation(item="extra:12")),
    ],
)
def test_a_remembered_outsider_is_dismissed_without_a_card(name: tuple[OutsiderKind, str], facts: ChargeReport) -> None:
    done = settle_all(facts, book=book_of([payment(amount=str(facts.charge.amount))], outsiders={name: 7}))

    kept = done.charges[facts.charge.charge_key]
    assert done.outcomes == [Outcome.RECORDED]
    assert (kept.state, kept.dismissed_by, done.notifications) == (ChargeState.DISMISSED, 7, [])
    assert whys(kept) == {"no_code", "no_code_near", "outsider"}
    assert kept.reasons[-1] == Reason(Method.OPERATOR, Rejection.OUTSIDER)


def test_a_code_ends_the_record_of_an_outsider() -> None:
    book = book_of([payment()], outsiders={SUPPORTER_77: 7, (OutsiderKind.SUBSCRIPTION, "sub_1"): 8})

    done = settle_all(membership(note=CODE, supporter=OLENA), book=book)

    assert (done.outcomes, done.outsiders_ended, book.outsiders) == ([Outcome.CREDITED], {7, 8}, {})


def test_a_code_of_one_buyer_does_not_end_the_record_of_an_item() -> None:
    book = book_of([payment()], outsiders={(OutsiderKind.ITEM, "extra:12"): 9})

    done = settle_all(donation(note=CODE, item="extra:12"), book=book)

    assert (done.outcomes, done.outsiders_ended) == ([Outcome.CREDITED], set())
    assert book.outsiders == {(OutsiderKind.ITEM, "extra:12"): 9}


def test_an_outsider_whose_text_names_users_waits_for_an_operator() -> None:
    book = book_of([payment(), payment(OTHER_CODE, user=BOHDAN)], outsiders={SUPPORTER_77: 7})

    done = settle_all(donation(note=f"{CODE} {OTHER_CODE}", supporter=OLENA), book=book)

    assert done.outcomes == [Outcome.UNMATCHED]
    assert told(done) == [NotificationKind.CHARGE_UNMATCHED]
    assert (done.charges[DONATION_KEY].state, done.charges[DONATION_KEY].dismissed_by) == (ChargeState.UNMATCHED, None)


def test_an_automatically_dismissed_charge_is_matched_by_a_later_code() -> None:
    dismissed = charge_of(donation(supporter=OLENA), state=ChargeState.DISMISSED, dismissed_by=7)
    book = book_of([payment()], [dismissed], outsiders={SUPPORTER_77: 7})

    done = settle_all(donation(note=CODE, supporter=OLENA), book=book)

    kept = done.charges[DONATION_KEY]
    assert (done.outcomes, kept.state, kept.dismissed_by) == ([Outcome.CREDITED], ChargeState.MATCHED, None)


def test_a_dismissed_charge_waits_again_if_a_note_comes_after_the_record_ended() -> None:
    dismissed = charge_of(donation(), state=ChargeState.DISMISSED, dismissed_by=7)

    done = settle_all(donation(note="size L"), book=book_of(charges=[dismissed]))

    kept = done.charges[DONATION_KEY]
    assert (done.outcomes, kept.state, kept.dismissed_by) == ([Outcome.UNMATCHED], ChargeState.UNMATCHED, None)


# Matching a waiting charge again, and matching by operators ----------------------------------------------------------


def test_a_waiting_charge_is_matched_by_a_code_that_became_known() -> None:
    charge = charge_of(donation(note=CODE))

    done = rematch(charge, book_of([payment()]), RULES, now=NOW)

    matched = replace(
        charge, state=ChargeState.MATCHED, method=Method.CODE, payment_id=CODE, telegram_id=ANNA, matched_at=NOW
    )
    assert done.charges == {DONATION_KEY: matched}
    assert (done.events, done.outcomes) == ([], [])
    assert [(one.facts.kind, one.traceparent) for one in done.notifications] == [
        (NotificationKind.PAYMENT_CREDITED, None)
    ]


@pytest.mark.parametrize("note", [None, "size L", OTHER_CODE])
def test_rematching_a_waiting_charge_causes_no_guess(note: str | None) -> None:
    assert rematch(charge_of(donation(), note=note), book_of([payment()]), RULES, now=NOW) == Settlement()


def test_an_operator_matches_a_charge_to_a_users_payment() -> None:
    reasons = (Reason("a_new_rule", "a_new_reason"),)
    charge = charge_of(membership(), reasons=reasons, supporter_id="77")

    done = match_by_operator(charge, ANNA, payment(), RATES, now=NOW)

    matched = replace(
        charge, state=ChargeState.MATCHED, method=Method.OPERATOR, payment_id=CODE, telegram_id=ANNA, matched_at=NOW
    )
    assert done.charges == {charge.charge_key: matched}
    assert done.payment_credits == {charge.charge_key: (ANNA, 300)}
    assert done.completions == [Completion(CODE, matched, payment().created_at)]
    assert told(done, ANNA) == [NotificationKind.PAYMENT_CREDITED]
    assert (told(done), done.outsiders_ended, done.guesses) == ([], set(), {})


def test_an_operator_matches_a_charge_to_a_user_without_a_payment() -> None:
    done = match_by_operator(charge_of(donation(), dismissed_by=7), ANNA, None, RATES, now=NOW)

    kept = done.charges[DONATION_KEY]
    assert (kept.telegram_id, kept.payment_id, kept.flag, kept.dismissed_by) == (ANNA, None, None, None)
    assert done.completions == []
    assert done.outsiders_ended == {7}


@pytest.mark.parametrize(("said", "flag"), [({}, Flag.SECOND_CHARGE), ({"is_own": True}, None)])
def test_an_operators_match_to_a_payment_completed_by_another_charge_is_a_second_charge(
    said: dict[str, bool], flag: Flag | None
) -> None:
    completed = payment(status=PaymentStatus.COMPLETED)

    done = match_by_operator(charge_of(donation()), ANNA, completed, RATES, now=NOW, **said)

    assert done.charges[DONATION_KEY].flag is flag
    assert told(done) == ([] if flag is None else [NotificationKind.CHARGE_FLAGGED])
    assert done.completions == []


def test_an_operators_match_of_a_charge_without_a_rate_credits_nothing() -> None:
    done = match_by_operator(charge_of(donation(currency="SEK")), ANNA, None, RATES, now=NOW)

    assert done.payment_credits == {DONATION_KEY: (ANNA, 0)}
