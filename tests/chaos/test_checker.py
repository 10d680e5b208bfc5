"""The checker finds each error that a test writes into the tables, such as a payment credited twice, and reports nothing else."""

import ast
import html
import itertools
import re
import time
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest

from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import speech
from tests.chaos import bodies
from tests.chaos.checker import READ_TABLES, Kind, Tables, Verdict, check
from tests.chaos.facts import Charge, Event, Fault, Message, Role, Sent
from tests.chaos.messages import Told, read_code, read_told
from tests.integration.bmc import SECRET
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook

HERE = Path(__file__).parent
ANNAS_CODE, BOHDANS_CODE = "K7QM2XHD", "P4RT9WEZ"
BEGAN_AT = time.time() - 60
PERIOD = int(BEGAN_AT)


@dataclass
class World:
    """A database with payments, the record of the deliveries that were sent, and the messages that users got."""

    pool: Pool
    webhook: Webhook
    ledger: Ledger
    sent: Sent = field(default_factory=Sent)
    messages: list[Message] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1000))

    def charge(self, name: str, user: int | None, amount: str) -> Charge:
        charge = Charge(name, user, f"${amount}", int(Decimal(amount) * 100))
        self.sent.charges[name] = charge
        return charge

    def event(self, charge: Charge, role: Role, *, acknowledged: int = 1) -> Event:
        event = Event(next(self.numbers), f"donation.{role}", charge.name, role, acknowledged=acknowledged)
        self.sent.events[event.event_id] = event
        return event

    async def deliver(self, event: Event, type_: str, data: bodies.Data) -> None:
        body = bodies.wire(event_id=event.event_id, type_=type_, attempt=1, created=int(time.time()), data=data)
        status, _ = await self.webhook.post(body, headers=bodies.headers(SECRET.decode(), body))
        assert status == 200

    async def pay(self, name: str, amount: str, *, user: int | None = ANNA, acknowledged: int = 1) -> Charge:
        charge = self.charge(name, user, amount)
        pays = self.event(charge, Role.PAYS, acknowledged=acknowledged)
        await self.deliver(pays, "donation.created", self.data(charge))
        return charge

    async def refund(self, charge: Charge) -> None:
        gone = bodies.refund(self.data(charge), at=int(time.time()), is_part=False)
        await self.deliver(self.event(charge, Role.REFUNDS), "donation.refunded", gone)

    def data(self, charge: Charge) -> bodies.Data:
        return bodies.payment(self.paid(charge, {ANNA: ANNAS_CODE, BOHDAN: BOHDANS_CODE, None: "thanks"}[charge.user]))

    def paid(self, charge: Charge, note: str) -> bodies.Paid:
        return bodies.Paid(
            number=hash(charge.name) % 10**9,
            amount=Decimal(charge.credits) / 100,
            supporter_id=charge.user or 7,
            note=note,
            paid_at=PERIOD,
            name=charge.name,
        )

    def tell(self, user: int, text: str, *, at: float | None = None) -> Message:
        message = Message(at or time.time(), user, next(self.numbers), text)
        self.messages.append(message)
        return message

    def tell_credited(self, charge: Charge, *, at: float | None = None) -> Message:
        assert charge.user is not None
        return self.tell(
            charge.user, f"Thank you! {charge.amount} arrived: +{charge.credits} credits. You now have 7.", at=at
        )

    def tell_refunded(self, charge: Charge) -> Message:
        assert charge.user is not None
        return self.tell(charge.user, f"Your payment of {charge.amount} was refunded, so its credits were taken back.")

    def take_back(self, text: str) -> None:
        """Remove the one message that contains *text*, as if it had never been sent."""
        kept = [message for message in self.messages if text not in message.text]
        assert len(kept) == len(self.messages) - 1
        self.messages = kept

    async def plant(self, *statements: str) -> None:
        """Run SQL with triggers and foreign keys switched off, to create states that the schema would refuse."""
        async with self.pool.acquire() as db, db.transaction():
            await db.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await db.execute(statement)

    async def verdict(self) -> Verdict:
        tables = Tables.read(await self.pool.fetchval(READ_TABLES))
        return check(self.sent, tables, self.messages, self.faults)

    async def found(self) -> set[StrEnum]:
        return {violation.kind for violation in (await self.verdict()).violations}


@pytest.fixture
async def world(pool: Pool, webhook: Webhook, ledger: Ledger) -> World:
    """Return a world without violations: credited, refunded and unmatched payments, and all messages that users must get."""
    await ledger.open(ANNAS_CODE, user=ANNA, amount="5")
    await ledger.open(BOHDANS_CODE, user=BOHDAN, amount="5")
    world = World(pool, webhook, ledger)
    world.tell_credited(await world.pay("pi_plain", "1.02"))
    world.tell_credited(await world.pay("pi_stored_unacknowledged", "1.03", acknowledged=0))
    world.tell_credited(refunded := await world.pay("pi_refunded", "1.04"))
    await world.refund(refunded)
    world.tell_refunded(refunded)
    before = world.charge("pi_refunded_before", ANNA, "1.05")
    await world.refund(before)
    await world.pay("pi_refunded_before", "1.05")
    world.tell_refunded(before)
    subscription = world.charge(f"sub_1:{PERIOD}", BOHDAN, "1.06")
    data = bodies.membership(
        world.paid(subscription, BOHDANS_CODE), psp_id="sub_1", period_start=PERIOD, period_end=PERIOD + 2_592_000
    )
    for type_ in ("membership.started", "membership.updated"):
        await world.deliver(world.event(subscription, Role.PAYS), type_, data)
    world.tell_credited(subscription)
    await world.pay("pi_nobody", "5000.07", user=None)
    world.event(world.charge("pi_given_up", ANNA, "1.08"), Role.PAYS, acknowledged=0)
    world.tell(ANNA, "Hello!")
    return world


async def test_a_clean_state_has_no_violation(world: World) -> None:
    verdict = await world.verdict()

    assert verdict.violations == []
    assert verdict.repeats == []
    assert len(verdict.seconds_to_message) == 4


async def test_a_lost_event_is_found(world: World) -> None:
    world.event(world.charge("pi_lost", BOHDAN, "2.01"), Role.PAYS)

    assert await world.found() == {Kind.LOST}


async def test_an_acknowledged_event_that_was_deleted_is_found(world: World) -> None:
    await world.plant("DELETE FROM events WHERE charge_key = 'donation:pi_nobody'")

    assert await world.found() == {Kind.LOST}


async def test_an_event_that_is_stored_twice_is_found(world: World) -> None:
    await world.plant(
        "INSERT INTO events (delivery_key, type, body, outcome)"
        " SELECT 'again', type, body, 'recorded' FROM events WHERE charge_key = 'donation:pi_plain'"
    )

    assert await world.found() == {Kind.STORED_TWICE}


async def test_an_event_that_was_not_sent_is_found(world: World) -> None:
    await world.plant("INSERT INTO events (delivery_key, body, outcome) VALUES ('x', '{}', 'unknown')")

    assert await world.found() == {Kind.UNKNOWN}


async def test_a_doubled_credit_is_found(world: World) -> None:
    """The schema refuses a second credit, so the test drops the unique index first."""
    await world.plant(
        "DROP INDEX credited_once",
        "INSERT INTO credits (telegram_id, kind, credits, charge_id)"
        " SELECT telegram_id, kind, credits, charge_id FROM credits WHERE credits = 102",
        f"UPDATE balances SET balance = balance + 102 WHERE telegram_id = {ANNA}",
    )

    assert await world.found() == {Kind.DOUBLED, Kind.OUT_OF_BALANCE}


async def test_a_payment_that_was_stored_and_not_credited_is_found(world: World) -> None:
    await world.plant(
        "DELETE FROM credits WHERE credits = 102",
        f"UPDATE balances SET balance = balance - 102 WHERE telegram_id = {ANNA}",
    )
    world.take_back("$1.02")

    assert await world.found() == {Kind.NOT_CREDITED, Kind.OUT_OF_BALANCE}


async def test_a_credit_for_the_wrong_user_is_found(world: World) -> None:
    await world.plant(
        f"UPDATE credits SET telegram_id = {BOHDAN} WHERE credits = 102",
        f"UPDATE balances SET balance = balance - 102 WHERE telegram_id = {ANNA}",
        f"UPDATE balances SET balance = balance + 102 WHERE telegram_id = {BOHDAN}",
    )
    world.take_back("$1.02")
    world.tell(BOHDAN, "Thank you! $1.02 arrived: +102 credits.")

    assert await world.found() == {Kind.WRONG_CREDIT, Kind.OUT_OF_BALANCE}


async def test_a_credit_of_the_wrong_size_is_found(world: World) -> None:
    await world.plant(
        "UPDATE credits SET credits = 1020 WHERE credits = 102",
        f"UPDATE balances SET balance = balance + 918 WHERE telegram_id = {ANNA}",
    )
    world.take_back("$1.02")
    world.tell(ANNA, "Thank you! $1.02 arrived: +1,020 credits.")

    assert await world.found() == {Kind.WRONG_CREDIT, Kind.OUT_OF_BALANCE}


async def test_a_credit_without_a_known_code_is_found(world: World) -> None:
    await world.plant(
        "INSERT INTO credits (telegram_id, kind, credits, charge_id)"
        f" SELECT {ANNA}, 'payment', 500007, charge_id FROM charges WHERE transaction_id = 'pi_nobody'",
        f"UPDATE balances SET balance = balance + 500007 WHERE telegram_id = {ANNA}",
    )
    world.tell(ANNA, "Thank you! $5000.07 arrived: +500,007 credits.")

    assert await world.found() == {Kind.WRONG_CREDIT, Kind.OUT_OF_BALANCE}


async def test_a_refund_that_took_nothing_back_is_found(world: World) -> None:
    await world.plant(
        "DELETE FROM credits WHERE credits = -104",
        f"UPDATE balances SET balance = balance + 104 WHERE telegram_id = {ANNA}",
    )
    world.take_back("Your payment of $1.04 was refunded")

    assert await world.found() == {Kind.NOT_REFUNDED, Kind.OUT_OF_BALANCE}


async def test_a_drifted_balance_is_found(world: World) -> None:
    await world.plant(f"UPDATE balances SET balance = balance + 1 WHERE telegram_id = {ANNA}")

    assert await world.found() == {Kind.OUT_OF_BALANCE}


async def test_a_missing_balance_is_found(world: World) -> None:
    await world.plant(f"DELETE FROM balances WHERE telegram_id = {BOHDAN}")

    assert await world.found() == {Kind.OUT_OF_BALANCE}


async def test_an_entry_that_no_payment_explains_is_found(world: World) -> None:
    """
    An adjustment changes the ledger and the balance by the same amount, so the ledger and the balance agree.

    The checker finds the wrong entry only because it compares the ledger with the payments.
    """
    await world.ledger.adjust(10)

    assert await world.found() == {Kind.UNKNOWN, Kind.OUT_OF_BALANCE}


async def test_a_credited_user_who_was_never_told_is_found(world: World) -> None:
    world.take_back("$1.02")

    assert await world.found() == {Kind.NEVER_TOLD}


async def test_a_refunded_user_who_was_never_told_is_found(world: World) -> None:
    world.take_back("Your payment of $1.04 was refunded")

    assert await world.found() == {Kind.NEVER_TOLD}


async def test_a_user_who_was_told_only_of_the_refund_is_found(world: World) -> None:
    """
    The payment was credited before the refund arrived.

    So the user must get two messages: one about the credit and one about the refund.
    """
    world.take_back("Thank you! $1.04")

    assert await world.found() == {Kind.NEVER_TOLD}


async def test_a_message_to_another_user_does_not_count(world: World) -> None:
    world.take_back("$1.02")
    world.tell(BOHDAN, "Thank you! $1.02 arrived: +102 credits.")

    assert await world.found() == {Kind.NEVER_TOLD, Kind.TOLD_WRONGLY}


async def test_a_user_who_was_told_of_a_credit_that_does_not_exist_is_found(world: World) -> None:
    world.tell_credited(world.sent.charges["pi_given_up"])

    assert await world.found() == {Kind.TOLD_WRONGLY}


async def test_a_message_with_the_wrong_number_of_credits_is_found(world: World) -> None:
    world.take_back("$1.02")
    world.tell(ANNA, "Thank you! $1.02 arrived: +1,020 credits.")

    assert await world.found() == {Kind.NEVER_TOLD, Kind.TOLD_WRONGLY}


async def test_a_repeated_message_without_a_fault_is_found(world: World) -> None:
    world.tell_credited(world.sent.charges["pi_plain"])

    assert await world.found() == {Kind.UNEXPLAINED_REPEAT}


async def test_a_repeated_message_around_a_kill_of_the_bot_is_counted_and_explained(world: World) -> None:
    first = next(message for message in world.messages if "$1.02" in message.text)
    world.faults = [a_fault("bot", first.at - 0.5, first.at + 3)]
    world.tell_credited(world.sent.charges["pi_plain"], at=first.at + 5)

    verdict = await world.verdict()

    assert verdict.violations == []
    assert [repeat.first for repeat in verdict.repeats] == [first]
    assert verdict.repeats[0].faults == world.faults


@pytest.mark.parametrize(
    ("service", "seconds_before"),
    [("janitor", 1.0), ("proxy", 1.0), ("bot", 60.0), ("bot", -10.0)],
    ids=["of another service", "of the proxy", "long before", "only afterwards"],
)
async def test_a_fault_explains_no_repeat_that_it_cannot_have_caused(
    world: World, service: str, seconds_before: float
) -> None:
    first = next(message for message in world.messages if "$1.02" in message.text)
    begun_at = first.at - seconds_before
    world.faults = [a_fault(service, begun_at, begun_at + 5)]
    world.tell_credited(world.sent.charges["pi_plain"], at=first.at + 30)

    assert await world.found() == {Kind.UNEXPLAINED_REPEAT}


async def test_each_violation_is_reported_once_for_each_charge(world: World) -> None:
    world.take_back("$1.02")
    world.take_back("$1.03")

    verdict = await world.verdict()

    assert verdict.count(Kind.NEVER_TOLD) == len(verdict.violations) == 2


def a_fault(service: str, begun_at: float, ended_at: float) -> Fault:
    return Fault(f"kill {service}", frozenset({service}), begun_at, ended_at)


@pytest.mark.parametrize(("credits", "amount"), [(1, "0.01"), (102, "1.02"), (123_456, "1234.56")])
def test_the_bots_real_messages_are_parsed(credits: int, amount: str) -> None:
    english = speech("en")
    money, balance = english.money(Decimal(amount), "USD"), english.say("credits", credits=7)
    said = english.say("payment-credited", amount=money, credits=credits, rate=" ($1 = 100 credits)", balance=balance)
    taken = english.say("payment-refunded", amount=money, balance=balance)

    assert read_told(a_message(said)) == Told(ANNA, f"credited {credits}", f"${Decimal(amount):,.2f}")
    assert read_told(a_message(taken)) == Told(ANNA, "refunded", f"${Decimal(amount):,.2f}")


def test_the_code_is_read_from_the_bots_real_message() -> None:
    said = speech("en").say("payment-request", amount="$5", credits=500, code="K7QM-2XHD")

    assert read_code(a_message(said)) == "K7QM-2XHD"
    assert read_code(replace(a_message(said), text="$5 arrived")) is None


def a_message(said: str) -> Message:
    """Return a message to Anna with the text *said*. Remove its HTML tags and decode its HTML escapes, as Telegram does."""
    return Message(BEGAN_AT, ANNA, 1, html.unescape(re.sub("<[^>]+>", "", said)))


@pytest.mark.parametrize(
    "file", [file for file in sorted(HERE.glob("*.py")) if not re.match("test_|conftest", file.name)]
)
def test_the_checker_shares_no_code_with_the_product(file: Path) -> None:
    """
    If the checker shared code with the product, it could not find mistakes in this code.

    The checker's modules may import each other. They may import two other modules of this project: `tests.network`, to find free
    ports, and `tests.files`, to find the checkout.
    """
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    ours = {
        name
        for name in modules
        if name.split(".")[0] in ("coffee_ledger", "services", "sandbox", "monitoring", "tests")
    }

    assert {name for name in ours if not name.startswith("tests.chaos")} <= {"tests.network", "tests.files"}
