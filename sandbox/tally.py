"""
Follow each payment from the checkout to the message in Telegram, as anyone outside the product sees it.

The tally knows only the requests and answers of the webhook, and the messages of the bot. It does not read the database. So it
derives some facts by these rules:

- A code belongs to the chat in which the bot showed it first.
- A message reports a credit if it contains the amount of a payment and a number of credits with a plus sign, as in "$5: +500".
- A payment without a webhook was found in the list of BMC's API if the list was read and a message then reported its credit.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

_PAYMENTS_MAX = 10_000
_SHOWN_MAX = 100
_CODES_MAX = 10_000
_CODE_SIGNS = 8
_CODE = re.compile(r"\b[2-9A-Z]{4}-?[2-9A-Z]{4}\b")
_NUMBER = r"\d(?:[\d.,\u00a0\u202f]*\d)?"
_GAIN = re.compile(rf"\+({_NUMBER})")
_UNSIGNED = re.compile(rf"(?<![+\d])({_NUMBER})")
_FRACTION = re.compile(r"(.*?)(?:[.,](\d{1,2}))?")
# The webhook answers with this outcome if it has stored the event on its own disk, because the database is unreachable.
_SPOOLED = "spooled"
_CREDITED = "credited"


class Reading(Enum):
    """The result of looking for a code in the supporter's words about a payment."""

    CODE = "code"
    # The note contains a code with one wrong character.
    SLIP = "slip"
    NO_CODE = "no_code"


class Sending(Enum):
    """The state of an event that BMC sends to the webhook."""

    UNDER_WAY = "under_way"
    RETRY = "retry"
    ACCEPTED = "accepted"
    GIVEN_UP = "given_up"
    # BMC sends no webhook (`Fault.FORGOTTEN`). Only the list of the API shows the payment.
    FORGOTTEN = "forgotten"


@dataclass
class Trail:
    """The deliveries of one event. Times are in seconds since 1970."""

    event_id: int
    sending: Sending = Sending.UNDER_WAY
    attempts: int = 0
    status: int | None = None
    outcome: str | None = None
    # The time of the next attempt; None if there will be no attempt.
    next_at: float | None = None
    # The times of three answers of the webhook: the first one that confirmed the signature, the first one that said that the
    # event is spooled, and the first one that said that the event is committed. None if there was no such answer.
    verified_at: float | None = None
    spooled_at: float | None = None
    committed_at: float | None = None


@dataclass
class Told:
    """A message that reports a credit to a person. *repeats* counts the times that the bot sent the same text again."""

    person_id: int
    name: str
    at: float
    credits: int
    text: str
    repeats: int = 0


@dataclass
class Paid:
    """One payment. *of* is the id of the transaction or subscription. *key* differs for each payment of a subscription."""

    key: str
    of: str
    amount: Decimal
    at: float
    reading: Reading
    owner_id: int | None
    trails: dict[int, Trail] = field(default_factory=dict)
    told: Told | None = None
    # The time when BMC's API last listed this payment. Lists that come after the bot's report of the credit, or after a refund,
    # do not count. None if no list counted.
    listed_at: float | None = None
    is_refunded: bool = False
    # True if an answer of the webhook or a message of the bot has shown a second credit for this payment.
    is_twice: bool = False

    @property
    def trail(self) -> Trail | None:
        """
        Return the trail of the event that was credited. If no event was credited, return the newest trail.

        Use FORGOTTEN trails only if there are no others. Return None if there is no trail. A payment can have several trails,
        because BMC reports a new subscription by two events.
        """
        known = list(self.trails.values())
        trails = [one for one in known if one.sending is not Sending.FORGOTTEN] or known
        return next((one for one in trails if one.outcome == _CREDITED), trails[-1] if trails else None)

    @property
    def is_credited(self) -> bool:
        return self.told is not None or any(trail.outcome == _CREDITED for trail in self.trails.values())

    @property
    def is_waiting(self) -> bool:
        return self.told is None and not self.is_refunded


class Tally:
    """Keeps the newest payments since the last `clear`, and the codes that the bot has shown."""

    def __init__(self) -> None:
        self._payments: OrderedDict[str, Paid] = OrderedDict()
        self._codes: OrderedDict[str, int] = OrderedDict()
        # The keys are codes in which one character is replaced by a dot. The values are the ids of the people with these codes.
        # A code has one key for each of its characters, so that a code with one wrong character is recognised.
        self._slips: dict[str, int] = {}
        self._is_code_new = False

    @property
    def is_empty(self) -> bool:
        """True if no payment was made and the bot has shown no new code since the last `clear`."""
        return not self._payments and not self._is_code_new

    def clear(self) -> None:
        """Forget the payments. Keep the codes, because people can still use them in payments."""
        self._payments.clear()
        self._is_code_new = False

    def known(self) -> set[str]:
        """Return the ids of the transactions and subscriptions of the newest payments since the last `clear`."""
        return {paid.of for paid in self._payments.values()}

    def as_read(self) -> dict[str, Any]:
        payments = self._payments.values()
        return {
            "paid": len(payments),
            "credited": sum(paid.is_credited for paid in payments),
            "twice": sum(paid.is_twice for paid in payments),
            "waiting": sum(paid.is_waiting for paid in payments),
            "payments": [_as_read(paid) for paid in list(reversed(payments))[:_SHOWN_MAX]],
        }

    # Buy Me a Coffee -----------------------------------------------------------------------------------------------------

    def note_payment(self, key: str, *, of: str, amount: Decimal, words: str, at: float) -> None:
        reading, owner_id = self._read_words(words)
        self._payments[key] = Paid(key, of, amount, at, reading, owner_id)
        if len(self._payments) > _PAYMENTS_MAX:
            self._payments.popitem(last=False)

    def note_words(self, key: str, words: str) -> None:
        """
        Look for a code in *words*, which replace the earlier words of the supporter.

        The supporter may send the code after the payment, in the answer to a Shop item's question.
        """
        if (paid := self._payments.get(key)) is not None:
            paid.reading, paid.owner_id = self._read_words(words)

    def note_event(self, key: str, event_id: int) -> None:
        """Record an event that reports the payment. Call this before the event is sent."""
        if (paid := self._payments.get(key)) is not None:
            paid.trails[event_id] = Trail(event_id)

    def note_refund(self, key: str) -> None:
        if (paid := self._payments.get(key)) is not None:
            paid.is_refunded = True

    def note_sending(self, event_id: int) -> None:
        if (trail := self._trail(event_id)) is not None:
            trail.sending, trail.next_at = Sending.UNDER_WAY, None
            trail.attempts += 1

    def note_answer(self, event_id: int, *, status: int | None, text: str, at: float) -> None:
        """Record the answer to a delivery. *status* is None if there was no answer."""
        found = self._find(event_id)
        if found is None:
            return
        paid, trail = found
        trail.status = status
        if status is None or not 200 <= status < 300:
            return
        outcome = _outcome(text)
        trail.sending = Sending.ACCEPTED
        trail.verified_at = trail.verified_at or at
        if outcome == _CREDITED:
            paid.is_twice |= any(one.outcome == _CREDITED for one in paid.trails.values())
        if outcome == _SPOOLED:
            trail.spooled_at = trail.spooled_at or at
        else:
            trail.committed_at = trail.committed_at or at
        # Keep the outcome of the first answer, unless a later answer says "credited". If BMC sends the event twice, the second
        # answer only says that the event is known already.
        if trail.outcome is None or outcome == _CREDITED:
            trail.outcome = outcome

    def note_retry(self, event_id: int, *, next_at: float) -> None:
        if (trail := self._trail(event_id)) is not None and trail.sending is not Sending.ACCEPTED:
            trail.sending, trail.next_at = Sending.RETRY, next_at

    def note_given_up(self, event_id: int) -> None:
        if (trail := self._trail(event_id)) is not None and trail.sending is not Sending.ACCEPTED:
            trail.sending, trail.next_at = Sending.GIVEN_UP, None

    def note_forgotten(self, event_id: int) -> None:
        if (trail := self._trail(event_id)) is not None:
            trail.sending = Sending.FORGOTTEN

    def note_listed(self, ids: Container[str], *, at: float) -> None:
        """
        Record that a page of BMC's API was read. *ids* are the ids of the transactions and subscriptions on the page.

        The row of a subscription shows only its newest payment, so only this payment counts as listed.
        """
        seen = set[str]()
        for paid in reversed(self._payments.values()):
            if paid.of in ids and paid.of not in seen and paid.is_waiting:
                paid.listed_at = at
            seen.add(paid.of)

    # The messages of the bot ---------------------------------------------------------------------------------------------

    def note_message(
        self, person_id: int, name: str, text: str, copied: Iterator[str], *, at: float, pressed_at: float
    ) -> None:
        """
        Record a message of the bot.

        *copied* are the texts of its copy buttons. *pressed_at* is the time when a person last pressed one of the bot's buttons.
        """
        for code in copied:
            self._note_code(code, person_id)
        gain = _GAIN.search(text)
        if gain is not None:
            told = Told(person_id, name, at, int(re.sub(r"\D", "", gain[1])), text)
            self._note_receipt(told, _amounts(text), pressed_at=pressed_at)

    def _note_receipt(self, told: Told, amounts: set[Decimal], *, pressed_at: float) -> None:
        fitting = [paid for paid in self._payments.values() if paid.amount in amounts]
        waiting = [paid for paid in fitting if paid.is_waiting and paid.owner_id in (told.person_id, None)]
        if waiting:
            # Prefer a payment with a code of this person to a payment without a code. Of several equally good
            # payments, `min` returns the oldest.
            min(waiting, key=lambda paid: paid.owner_id is None).told = told
            return
        before = [paid for paid in fitting if paid.told is not None and paid.told.person_id == told.person_id]
        for paid in before:
            if paid.told is not None and paid.told.text == told.text:
                paid.told.repeats += 1
                return
        for paid in reversed(before):
            # A second message about an equal credit shows that the payment was credited twice, but only if no button was
            # pressed after the first message. After a press, the second message may be about another payment, which an
            # operator matched to this user by hand.
            if paid.told is not None and _shape(paid.told.text) == _shape(told.text) and pressed_at < paid.told.at:
                paid.is_twice = True
                return

    def _note_code(self, text: str, person_id: int) -> None:
        if _CODE.fullmatch(text) is None:
            return
        code = text.replace("-", "")
        if code in self._codes:
            return
        self._is_code_new = True
        self._codes[code] = person_id
        self._slips |= dict.fromkeys(_with_a_gap(code), person_id)
        if len(self._codes) > _CODES_MAX:
            oldest, _ = self._codes.popitem(last=False)
            for slip in _with_a_gap(oldest):
                self._slips.pop(slip, None)

    def _read_words(self, words: str) -> tuple[Reading, int | None]:
        signs = re.sub(r"[\W_]", "", words.upper())
        windows = [signs[start : start + _CODE_SIGNS] for start in range(len(signs) - _CODE_SIGNS + 1)]
        for window in windows:
            if window in self._codes:
                return Reading.CODE, self._codes[window]
        for slip in (slip for window in windows for slip in _with_a_gap(window)):
            if slip in self._slips:
                return Reading.SLIP, self._slips[slip]
        return Reading.NO_CODE, None

    def _trail(self, event_id: int) -> Trail | None:
        found = self._find(event_id)
        return None if found is None else found[1]

    def _find(self, event_id: int) -> tuple[Paid, Trail] | None:
        # Search for the payment of the event from the newest payment on, because an event is sent soon after its payment.
        for paid in reversed(self._payments.values()):
            if event_id in paid.trails:
                return paid, paid.trails[event_id]
        return None


def _as_read(paid: Paid) -> dict[str, Any]:
    trail = paid.trail or Trail(0)
    told = paid.told
    return {
        "key": paid.key,
        "of": paid.of,
        "owner_id": paid.owner_id,
        "at": paid.at,
        "event_ids": list(paid.trails),
        "event_id": trail.event_id,
        "reading": paid.reading.value,
        "sending": trail.sending.value,
        "attempts": trail.attempts,
        "status": trail.status,
        "outcome": trail.outcome,
        "next_at": trail.next_at,
        "verified_at": trail.verified_at,
        "spooled_at": trail.spooled_at,
        "committed_at": trail.committed_at,
        "listed_at": paid.listed_at,
        "told": told and {"name": told.name, "at": told.at, "credits": told.credits, "repeats": told.repeats},
        "is_credited": paid.is_credited,
        "is_twice": paid.is_twice,
        "is_refunded": paid.is_refunded,
    }


def _outcome(text: str) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    outcome = found.get("outcome") if isinstance(found, dict) else None
    return outcome if isinstance(outcome, str) else None


def _amounts(text: str) -> set[Decimal]:
    """Return the numbers in the text that have no plus sign. "1,000.50", "1 000,50" and "1000.5" are the same number."""
    return {_amount(number) for number in _UNSIGNED.findall(text)}


def _amount(number: str) -> Decimal:
    whole, fraction = re.fullmatch(_FRACTION, number).groups()  # type: ignore[union-attr]  # the pattern matches every text
    return Decimal(f"{re.sub(r'[^0-9]', '', whole) or 0}.{fraction or 0}")


def _shape(text: str) -> str:
    return re.sub(_NUMBER, "#", text)


def _with_a_gap(code: str) -> Iterator[str]:
    return (f"{code[:place]}.{code[place + 1 :]}" for place in range(len(code)))
