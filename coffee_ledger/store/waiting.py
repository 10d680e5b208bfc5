"""
Find the charges, claims and events that wait for an operator, and sort the charges with the rules of `coffee_ledger.triage`.

Sorting separates the charges that look like payments of ordinary supporters from the charges that need a decision. The results
fill the summary in each operator's chat. They also decide whether operators get a separate message about a charge.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.matching import CLOCK_SLACK
from coffee_ledger.model import NotificationKind, PaymentId, TelegramId
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.lookup import ShownCharge, load_known_users, load_shown_charges
from coffee_ledger.triage import Attention, Case, RaisedClaim, find_attention, only_candidate

SORTED_MAX = 100
"""
The maximum number of waiting charges that `sort_charges` gets for a summary. The charges that have waited longest are chosen.

Sorting reads the note of each charge. Each note takes about a millisecond, in which the event loop of the bot is blocked.
"""

OFFERED_MAX = 25
"""The maximum number of charges that one tap dismisses. The summary lists all of them, so they must fit into one message."""

PROBABLE_MAX = 3
"""
The maximum number of buttons that match a charge to a probable user.

More buttons would push the text of the summary off the screen.
"""

CLAIMS_MAX = 200


@dataclass(frozen=True)
class Probable:
    """A charge, and the user to whom it probably belongs."""

    charge: ShownCharge
    telegram_id: TelegramId
    username: str | None
    payment_id: PaymentId | None


@dataclass(frozen=True)
class Waiting:
    """The charges, claims and events that wait for an operator, as the summary shows them."""

    offered: Sequence[ShownCharge] = ()
    """Charges that look like payments of ordinary supporters. The summary shows these and offers to dismiss them."""
    offer_id: int | None = None
    """
    The id of the stored offer to dismiss *offered*, or None if *offered* is empty. The button for the offer contains the id.
    """
    ordinary: int = 0
    """
    The number of ordinary charges among the first `SORTED_MAX` waiting charges.

    The number may be higher than `OFFERED_MAX`, the maximum number of charges in *offered*.
    """
    to_decide: int = 0
    """The number of charges that need a decision. Only the first `SORTED_MAX` waiting charges are examined."""
    unsorted: int = 0
    """
    The number of waiting charges beyond the first `SORTED_MAX`. They are counted in neither *ordinary* nor *to_decide*.
    """
    probable: Sequence[Probable] = ()
    """
    Charges that need a decision, each with the only user to whom it probably belongs.

    Only the `PROBABLE_MAX` charges that have waited longest are in the list.
    """
    claims: int = 0
    events: int = 0
    """The number of events that failed or could not be read."""
    folded: Mapping[NotificationKind, int] = field(default_factory=dict)
    """The number of messages of each kind that the summary replaces. The most frequent kind comes first."""

    @property
    def total(self) -> int:
        return self.ordinary + self.to_decide + self.unsorted + self.claims + self.events


async def load_waiting(pool: Pool, *, now: datetime) -> Waiting:
    """Load the open decisions, and store the offer to dismiss the ordinary charges."""
    async with transaction(pool) as db:
        counts = await db.fetchrow(sql("count_waiting"))
        ids = [row["charge_id"] for row in await db.fetch(sql("find_longest_waiting"), SORTED_MAX)]
        sorted_cases = await sort_charges(db, ids)
        ordinary = [charge for charge, attention in sorted_cases if attention is None]
        offered = ordinary[:OFFERED_MAX]
        offer_id = await db.fetchval(sql("keep_offer"), [one.charge_id for one in offered], now) if offered else None
        probable = await _find_probable(db, [charge for charge, attention in sorted_cases if attention is not None])
    assert counts is not None
    return Waiting(
        offered=offered,
        offer_id=offer_id,
        ordinary=len(ordinary),
        to_decide=len(sorted_cases) - len(ordinary),
        unsorted=max(counts["charges"] - len(sorted_cases), 0),
        probable=probable,
        claims=counts["claims"],
        events=counts["events"],
    )


async def count_folded(pool: Pool, *, since: datetime) -> Mapping[NotificationKind, int]:
    """For each kind, count the messages to operators that summaries have replaced since the time *since*."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("count_folded"), since)
    return {NotificationKind(row["kind"]): row["messages"] for row in rows}


async def queue_summary(pool: Pool, operator: TelegramId, *, now: datetime) -> None:
    """
    Queue a new summary for an operator. If a summary is already queued, queue no second one.

    The bot sends the summary at the end of the operator's chat, and deletes the previous summary.
    """
    async with connected(pool) as db:
        await db.execute(sql("queue_summary"), operator, now)
        await db.execute(sql("announce"))


async def find_ordinary(pool: Pool, charge_ids: Collection[int]) -> set[int]:
    """Return the ids of the waiting charges in *charge_ids* that look like payments of ordinary supporters."""
    async with transaction(pool) as db:
        return {one.charge_id for one, attention in await sort_charges(db, charge_ids) if attention is None}


async def sort_charges(db: Connection, ids: Collection[int]) -> list[tuple[ShownCharge, Attention | None]]:
    """
    Load the charges *ids*, the longest waiting first, and find out which of them need a decision.

    Return each charge with the reason why it needs a decision, or with None if it looks like a payment of an ordinary
    supporter. Charges that do not exist are left out. The reasons are valid only for waiting charges.
    """
    if not ids:
        return []
    charges = sorted(await load_shown_charges(db, list(ids), []), key=lambda one: one.charge_id)
    near = {row["charge_id"] for row in await db.fetch(sql("find_charges_near_open_payments"), list(ids), CLOCK_SLACK)}
    claims = [
        RaisedClaim(ClaimedPayment(row["paid_on"], row["amount"], row["currency"], row["name"]), row["created_at"])
        for row in await db.fetch(sql("find_open_claims"), CLAIMS_MAX)
    ]
    return [
        (one, find_attention(Case(one, one.charge_id, one.supporter_name, one.charge_id in near), claims))
        for one in charges
    ]


async def _find_probable(db: Connection, charges: Sequence[ShownCharge]) -> list[Probable]:
    found = [(one, reason) for one in charges if (reason := only_candidate(one)) is not None][:PROBABLE_MAX]
    users = await load_known_users(db, {reason.telegram_id for _, reason in found})
    return [
        Probable(one, user.telegram_id, user.username, reason.payment_id)
        for one, reason in found
        if reason.telegram_id is not None and (user := users.get(reason.telegram_id)) is not None
    ]
