"""Buy Me a Coffee (BMC) sends no webhook, and the user says "I paid". The janitor immediately searches BMC's own lists."""

import time

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack

ANSWERED_WITHIN_SECONDS = 10


async def claim(person: Person) -> float:
    """Claim the open payment. Return the time at which the person gave the last answer."""
    await person.say("/claim")
    await person.hear("Did you pay this one?")
    await person.press("Yes, paid today")
    await person.hear("Under which name")
    answered_at = time.monotonic()
    await person.press("Skip")
    return answered_at


async def test_a_claim_for_a_payment_without_a_webhook_is_credited_within_seconds(
    bmc: BuyMeACoffee, anna: Person, amount: str
) -> None:
    code = await anna.ask_to_pay(amount)
    await bmc.misbehave("forgotten")
    await bmc.check_out(amount=amount, note=code)

    answered_at = await claim(anna)

    await anna.see("Thank you!")
    seconds = time.monotonic() - answered_at
    assert seconds < ANSWERED_WITHIN_SECONDS
    assert await anna.balance() == 100 * int(amount)


async def test_a_claim_for_a_payment_without_a_code_becomes_a_card_within_seconds(
    bmc: BuyMeACoffee, anna: Person, operator: Person, stack: Stack, amount: str
) -> None:
    """
    Only Anna requested this amount, and her claim fits. But a row of Buy Me a Coffee's list is too weak as evidence to credit a
    payment by its amount.
    """
    await anna.ask_to_pay(amount)
    await bmc.misbehave("forgotten")
    paid = await bmc.check_out(amount=amount, note="Great work!")

    answered_at = await claim(anna)

    await anna.see("it shows no payment with your code yet")
    await operator.hear("No webhook came for it")
    seconds = time.monotonic() - answered_at
    assert seconds < ANSWERED_WITHIN_SECONDS
    known = f"SELECT state, doubt FROM charges WHERE transaction_id = '{paid['transaction_id']}'"
    assert (stack.sql(known), await anna.balance()) == ("unmatched|listed_only", 0)
