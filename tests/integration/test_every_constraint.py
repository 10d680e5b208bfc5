"""
Test each integrity rule of `db/init.sql` with a statement that only this rule refuses. A rule is a constraint, a unique index, a
trigger, a branch of a trigger's function, or a policy.

The error must name the rule, and the statement must succeed if the rule is removed. If a new rule has no statement,
`test_each_rule_of_the_schema_has_its_violation` fails.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from coffee_ledger.store.database import Connection

SERVICE_ROLES = ("webhook", "bot", "janitor", "spender", "watcher", "grafana_reader")

ARRANGEMENT = """
INSERT INTO users (telegram_id) VALUES (1), (2);

INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, status, completed_at, ended_at, request_key) VALUES
    ('K7QM2XHD', 1, 1, 5, 'pending', NULL, NULL, 'asked-1'),
    ('P4RT9WEZ', 2, 2, 5, 'completed', now(), now(), 'asked-2');

INSERT INTO events (delivery_key, body, outcome) VALUES ('live:1', 'body', 'credited');

INSERT INTO outsiders (outsider_id, kind, name) OVERRIDING SYSTEM VALUE VALUES (1, 'supporter', 's-1');

INSERT INTO charges (
    charge_id, charge_key, family, bmc_id, transaction_id, psp_id, period_start, amount, currency, paid_at, is_paid,
    state, method, telegram_id, refunded_at
) OVERRIDING SYSTEM VALUE VALUES
    (1, 'matched', 'donation', '1', 'pi_1', NULL, NULL, 5, 'USD', now(), true, 'matched', 'code', 1, NULL),
    (2, 'waiting', 'donation', '2', NULL, NULL, NULL, 5, 'USD', now(), true, 'unmatched', NULL, NULL, NULL),
    (3, 'refunded', 'donation', '3', 'pi_3', NULL, NULL, 5, 'USD', now(), true, 'refunded', 'code', 1, now()),
    (4, 'undone', 'donation', '4', 'pi_4', NULL, NULL, 5, 'USD', now(), true, 'unmatched', NULL, NULL, NULL),
    (5, 'refunded in part, undone', 'donation', '5', 'pi_5', NULL, NULL, 5, 'USD', now(), true, 'unmatched', NULL, NULL, NULL),
    (6, 'credited again', 'donation', '6', 'pi_6', NULL, NULL, 5, 'USD', now(), true, 'matched', 'operator', 2, NULL),
    (7, 'refund taken back', 'donation', '7', 'pi_7', NULL, NULL, 5, 'USD', now(), true, 'matched', 'code', 1, NULL),
    (11, 'guessed', 'donation', '11', 'pi_11', NULL, NULL, 5, 'USD', now(), true, 'matched', 'amount_and_time', 1, NULL),
    (8, 'subscription', 'membership', '8', NULL, 'sub_1', '2026-11-01', 5, 'USD', now(), true, 'unmatched', NULL, NULL, NULL),
    (9, 'numbered', 'membership', '9', NULL, NULL, '2026-11-01', 5, 'USD', now(), true, 'unmatched', NULL, NULL, NULL);

INSERT INTO guesses (charge_id, telegram_id, guessed_at) VALUES (11, 1, now());

INSERT INTO notifications (telegram_id, kind, fact_key) VALUES (1, 'payment_credited', 'credited:matched');

INSERT INTO claims (claim_id, telegram_id, paid_on, amount, currency) OVERRIDING SYSTEM VALUE VALUES (1, 1, '2026-11-01', 5, 'USD');

INSERT INTO operator_actions (action_id, operator_id, action, reason, request_key) OVERRIDING SYSTEM VALUE
VALUES (1, 9, 'credit', 'a gift', 'ordered-1');

INSERT INTO credits (credit_id, telegram_id, kind, credits, charge_id, reverses, follows, action_id, cause, idempotency_key)
OVERRIDING SYSTEM VALUE VALUES
    (10, 1, 'payment', 500, 1, NULL, NULL, NULL, NULL, NULL),
    (30, 1, 'payment', 500, 3, NULL, NULL, NULL, NULL, NULL),
    (31, 1, 'refund', -500, 3, 30, NULL, NULL, NULL, NULL),
    (40, 1, 'payment', 500, 4, NULL, NULL, NULL, NULL, NULL),
    (41, 1, 'reversal', -500, 4, 40, NULL, 1, 'wrong user', NULL),
    (50, 1, 'payment', 500, 5, NULL, NULL, NULL, NULL, NULL),
    (51, 1, 'refund', -200, 5, 50, NULL, 1, NULL, NULL),
    (52, 1, 'reversal', -300, 5, 50, NULL, 1, 'wrong user', NULL),
    (60, 1, 'payment', 500, 6, NULL, NULL, NULL, NULL, NULL),
    (61, 1, 'reversal', -500, 6, 60, NULL, 1, 'wrong user', NULL),
    (62, 2, 'payment', 500, 6, NULL, 61, 1, NULL, NULL),
    (70, 1, 'payment', 500, 7, NULL, NULL, NULL, NULL, NULL),
    (71, 1, 'refund', -500, 7, 70, NULL, NULL, NULL, NULL),
    (72, 1, 'reversal', 500, 7, 71, NULL, 1, 'only a part', NULL),
    (80, 1, 'adjustment', 100, NULL, NULL, NULL, 1, 'a gift', NULL),
    (110, 1, 'payment', 500, 11, NULL, NULL, NULL, NULL, NULL),
    (90, 1, 'spend', -50, NULL, NULL, NULL, NULL, 'a picture', 'spent-1');
-- Rows that tests add get numbers from 1000 on. Run the deferred checks first, because ALTER TABLE fails while checks are pending.
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE credits ALTER credit_id RESTART WITH 1000;
ALTER TABLE charges ALTER charge_id RESTART WITH 1000;
ALTER TABLE outsiders ALTER outsider_id RESTART WITH 1000;
ALTER TABLE claims ALTER claim_id RESTART WITH 1000;
ALTER TABLE operator_actions ALTER action_id RESTART WITH 1000;
"""
"""SQL that inserts valid rows. Each `Violation` then tries to add or change rows in a way that breaks one rule."""


@dataclass(frozen=True)
class Violation:
    """A statement that breaks only one rule."""

    rule: str
    """The rule that refuses the statement, in the form `table.rule`."""
    statement: str
    refused_as: str = ""
    """The rule's name in the error message. Empty if the error message contains the name in `rule`."""
    role: str = ""
    """
    The role that runs the statement. An empty text means the database owner.

    The role must have the privilege to write the row. Without the privilege, Postgres would refuse the statement before it checks
    the rule.
    """

    @property
    def table(self) -> str:
        return self.rule.partition(".")[0]

    @property
    def name(self) -> str:
        return self.rule.partition(".")[2]


def charge(columns: str, values: str) -> str:
    return (
        f"INSERT INTO charges (charge_key, currency, amount, paid_at, is_paid, family, {columns})"
        f" VALUES ('another', 'USD', 5, now(), true, {values})"
    )


def credit(kind: str, credits: int, *, user: int = 1, **more: object) -> str:
    columns = {"kind": f"'{kind}'", "credits": credits, "telegram_id": user, **more}
    return f"INSERT INTO credits ({', '.join(columns)}) VALUES ({', '.join(map(str, columns.values()))})"


def change(charge_id: int, assignments: str) -> str:
    return f"UPDATE charges SET {assignments} WHERE charge_id = {charge_id}"


MATCH_WAITING = change(2, "state = 'matched', method = 'operator', telegram_id = 1") + ";"
MATCH_UNDONE = change(4, "state = 'matched', method = 'operator', telegram_id = 2") + ";"
BACK_TO_WAITING = "state = 'unmatched', method = NULL, telegram_id = NULL"
WAIT_AGAIN = change(1, BACK_TO_WAITING) + ";"
PENDING = "UPDATE pending_payments SET {} WHERE payment_id = 'K7QM2XHD'"
ENDED = "UPDATE pending_payments SET {} WHERE payment_id = 'P4RT9WEZ'"
CAUSE, ACTION, KEY = "'because'", 1, "'spent-2'"
TAKEN_BACK = "credits.entry_can_be_taken_back"
POLICY = 'new row violates row-level security policy for table "credits"'

VIOLATIONS = [
    Violation("users.language_is_supported", "UPDATE users SET language = 'de'"),
    Violation("webhook_answers.there_is_one_row", "INSERT INTO webhook_answers (is_only) VALUES (false)"),
    Violation("webhook_answers.refused_is_a_count", "UPDATE webhook_answers SET refused = -1"),
    # Pending payments
    Violation("pending_payments.status_is_known", PENDING.format("status = 'paid'")),
    Violation("pending_payments.amount_is_positive", PENDING.format("amount = 0")),
    Violation("pending_payments.completed_has_its_time", PENDING.format("status = 'completed'")),
    Violation("pending_payments.completed_has_its_time", PENDING.format("completed_at = now()")),
    Violation(
        "pending_payments.requested_once",
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount, request_key) VALUES ('N3XT', 1, 1, 5, 'asked-1')",
    ),
    Violation("pending_payments.pending_payment_ends_once", ENDED.format("status = 'pending', completed_at = NULL")),
    Violation("pending_payments.pending_payment_ends_once", ENDED.format("status = 'expired', completed_at = NULL")),
    # Events
    Violation(
        "events.delivered_once",
        "INSERT INTO events (delivery_key, body, outcome) VALUES ('live:1', 'b', 'unmatched')",
    ),
    Violation("events.body_stays_until_blanked", "UPDATE events SET body = NULL"),
    Violation("events.body_stays_until_blanked", "UPDATE events SET blanked_at = now()"),
    Violation("events.outcome_is_known", "UPDATE events SET outcome = 'lost'"),
    Violation("events.channel_is_known", "UPDATE events SET channel = 'mail'"),
    # Outsiders
    Violation("outsiders.kind_is_known", "UPDATE outsiders SET kind = 'country'"),
    Violation("outsiders.remembered_once", "INSERT INTO outsiders (kind, name) VALUES ('supporter', 's-1')"),
    # Charges
    Violation(
        "charges.recorded_once",
        charge("bmc_id", "'donation', '10'").replace("'another'", "'waiting'"),
    ),
    Violation("charges.state_is_known", change(2, "state = 'lost'")),
    Violation("charges.channel_is_known", change(2, "channel = 'mail'")),
    Violation("charges.method_is_known", change(2, "method = 'luck'")),
    Violation("charges.money_is_positive", change(2, "amount = 0")),
    Violation("charges.money_is_positive", change(2, "amount = 1e9")),
    Violation("charges.matched_has_its_amount", change(1, "amount = NULL")),
    Violation("charges.matched_has_its_user", change(1, "method = NULL")),
    Violation("charges.unmatched_has_no_user", change(2, "telegram_id = 1")),
    Violation("charges.unmatched_has_no_user", change(2, "state = 'dismissed', telegram_id = 1")),
    Violation("charges.payment_has_its_user", change(2, "payment_id = 'K7QM2XHD'")),
    Violation("charges.answers_a_payment_of_its_user", change(1, "payment_id = 'P4RT9WEZ'")),
    Violation("charges.doubtful_is_matched_by_a_person", change(1, "doubt = 'status'")),
    Violation("charges.only_a_dismissed_has_its_outsider", change(2, "dismissed_by = 1")),
    Violation("charges.conflicts_with_a_charge", change(2, "conflicts_with = 'unknown'")),
    Violation("charges.refunded_has_its_time", change(2, "refunded_at = now()")),
    Violation("charges.refunded_has_its_time", change(3, "refunded_at = NULL")),
    Violation("charges.refunded_part_is_smaller", change(2, "refunded_amount = 5")),
    Violation("charges.refunded_part_is_smaller", change(2, "refunded_amount = 0")),
    Violation(
        "reconciliation_lists.list_is_known",
        "INSERT INTO reconciliation_lists (list, state, checked_at) VALUES ('coffees', 'page', now())",
    ),
    Violation(
        "reconciliation_requests.cause_is_known", "INSERT INTO reconciliation_requests (cause) VALUES ('curiosity')"
    ),
    Violation(
        "reconciliation_requests.only_a_claim_has_its_claim",
        "INSERT INTO reconciliation_requests (cause) VALUES ('claim')",
    ),
    Violation(
        "reconciliation_requests.only_a_claim_has_its_claim",
        "INSERT INTO reconciliation_requests (cause, claim_id) VALUES ('operator', 1)",
    ),
    Violation(
        "reconciliation_requests.looked_up_once",
        "INSERT INTO reconciliation_requests (cause, claim_id) VALUES ('claim', 1), ('claim', 1)",
    ),
    Violation("charge_listings.is_listed_or_reported", "INSERT INTO charge_listings (charge_id) VALUES (1)"),
    Violation("charges.one_charge_per_transaction", charge("transaction_id", "'extra_purchase', 'pi_1'")),
    Violation("charges.one_charge_per_number", charge("bmc_id", "'donation', '2'")),
    Violation(
        "charges.one_charge_per_billing_period", charge("psp_id, period_start", "'membership', 'sub_1', '2026-11-01'")
    ),
    Violation(
        "charges.one_charge_per_numbered_period", charge("bmc_id, period_start", "'membership', '9', '2026-11-01'")
    ),
    Violation("charges.matched_charge_has_its_credit", MATCH_WAITING),
    Violation(
        "charges.matched_charge_has_its_credit",
        charge("state, method, telegram_id", "'donation', 'matched', 'code', 1"),
    ),
    Violation("charges.matched_charge_has_its_credit", change(1, "telegram_id = 2")),
    Violation("charges.matched_charge_has_its_credit", change(1, BACK_TO_WAITING)),
    Violation("charges.matched_charge_has_its_credit", change(1, "state = 'refunded', refunded_at = now()")),
    # Claims
    Violation("claims.status_is_known", "UPDATE claims SET status = 'lost', decided_at = now()"),
    Violation("claims.decided_has_its_time", "UPDATE claims SET status = 'declined'"),
    Violation("claims.decided_has_its_time", "UPDATE claims SET decided_at = now()"),
    Violation("claims.amount_is_positive", "UPDATE claims SET amount = 0"),
    Violation(
        "claims.one_open_claim_per_user",
        "INSERT INTO claims (telegram_id, paid_on, amount, currency) VALUES (1, '2026-11-02', 6, 'USD')",
    ),
    Violation(
        "operator_actions.ordered_once",
        "INSERT INTO operator_actions (operator_id, action, reason, request_key) VALUES (9, 'credit', 'again', 'ordered-1')",
    ),
    # The ledger
    Violation("credits.kind_is_known", credit("gift", 1, cause=CAUSE)),
    Violation("credits.sign_fits_the_kind", MATCH_WAITING + credit("payment", -1, charge_id=2)),
    Violation("credits.sign_fits_the_kind", credit("refund", 1, charge_id=1, reverses=10)),
    Violation("credits.sign_fits_the_kind", credit("adjustment", 0, cause=CAUSE, action_id=ACTION)),
    Violation("credits.sign_fits_the_kind", credit("spend", 1, cause=CAUSE, idempotency_key=KEY)),
    # An adjustment must not name a charge, because it would credit the charge a second time.
    Violation(
        "credits.charge_fits_the_kind", credit("adjustment", 500, cause=CAUSE, action_id=ACTION, charge_id=1, user=2)
    ),
    Violation("credits.charge_fits_the_kind", credit("payment", 500)),
    Violation("credits.other_has_its_cause", credit("adjustment", 1, action_id=ACTION)),
    Violation(
        "credits.only_a_spend_has_its_key",
        credit("adjustment", 1, cause=CAUSE, action_id=ACTION, idempotency_key=KEY),
    ),
    Violation("credits.only_a_spend_has_its_key", credit("spend", -1, cause=CAUSE)),
    Violation("credits.spent_once", credit("spend", -1, cause=CAUSE, idempotency_key="'spent-1'", user=2)),
    Violation("credits.names_the_entry_taken_back", credit("refund", -1, charge_id=1)),
    Violation("credits.names_the_entry_taken_back", credit("reversal", -1, cause=CAUSE, action_id=ACTION)),
    Violation(
        "credits.names_the_entry_taken_back", credit("adjustment", -1, cause=CAUSE, action_id=ACTION, reverses=80)
    ),
    Violation("credits.only_a_payment_follows", credit("adjustment", 1, cause=CAUSE, action_id=ACTION, follows=41)),
    Violation("credits.adjustment_has_its_action", credit("adjustment", 1, cause=CAUSE)),
    Violation("credits.reversal_has_its_author", credit("reversal", -100, cause=CAUSE, reverses=80)),
    Violation(
        "credits.reversal_has_its_author",
        change(11, BACK_TO_WAITING)
        + ";"
        + credit("reversal", -500, charge_id=11, cause=CAUSE, reverses=110, action_id=ACTION, is_not_mine="true"),
    ),
    Violation(
        "credits.only_a_reversal_is_not_mine",
        credit("adjustment", 1, cause=CAUSE, action_id=ACTION, is_not_mine="true"),
    ),
    Violation("credits.takes_back_from_the_same_user", credit("refund", -100, charge_id=1, reverses=10, user=2)),
    Violation(
        "credits.follows_an_entry_of_its_charge", MATCH_WAITING + credit("payment", 500, charge_id=2, follows=41)
    ),
    Violation("credits.credited_once", credit("payment", 500, charge_id=1)),
    Violation("credits.credited_once", credit("payment", 500, charge_id=6, follows=61, user=2)),
    Violation("credits.reversed_once", credit("reversal", 0, charge_id=4, reverses=40, cause=CAUSE, action_id=ACTION)),
    Violation(TAKEN_BACK, credit("refund", -1, charge_id=2, reverses=10), refused_as="takes_back_from_the_same_charge"),
    Violation(
        TAKEN_BACK,
        credit("reversal", 50, reverses=90, cause=CAUSE, action_id=ACTION),
        refused_as="takes_back_a_reversible_kind",
    ),
    Violation(
        TAKEN_BACK,
        credit("reversal", 500, charge_id=4, reverses=41, cause=CAUSE, action_id=ACTION),
        refused_as="takes_back_a_reversible_kind",
    ),
    Violation(TAKEN_BACK, credit("refund", -1, charge_id=7, reverses=72), refused_as="takes_back_a_reversible_kind"),
    Violation(
        TAKEN_BACK,
        credit("reversal", 200, charge_id=5, reverses=51, cause=CAUSE, action_id=ACTION),
        refused_as="refund_stays_once_its_credit_is_reversed",
    ),
    Violation(
        TAKEN_BACK,
        credit("reversal", -99, reverses=80, cause=CAUSE, action_id=ACTION),
        refused_as="reversal_takes_back_the_whole",
    ),
    Violation(
        TAKEN_BACK,
        credit("reversal", 9999, reverses=80, cause=CAUSE, action_id=ACTION),
        refused_as="reversal_takes_back_the_whole",
    ),
    Violation(
        TAKEN_BACK, credit("refund", -501, charge_id=1, reverses=10), refused_as="refunds_stay_within_the_credit"
    ),
    Violation(
        TAKEN_BACK,
        WAIT_AGAIN + credit("reversal", -500, charge_id=1, reverses=10, cause=CAUSE, is_not_mine="true"),
        refused_as="only_a_guess_is_disowned",
    ),
    # Each of the two refunds is smaller than the credit, but their sum exceeds the credit.
    Violation(
        TAKEN_BACK,
        credit("refund", -300, charge_id=1, reverses=10) + ";" + credit("refund", -201, charge_id=1, reverses=10),
        refused_as="refunds_stay_within_the_credit",
    ),
    Violation("credits.credit_follows_a_reversal", credit("payment", 500, charge_id=1, follows=10)),
    Violation("credits.credit_follows_a_reversal", credit("payment", 500, charge_id=7, follows=72)),
    Violation(
        "credits.credit_has_its_matched_charge",
        credit("payment", 500, charge_id=2),
        refused_as="matched_charge_has_its_credit",
    ),
    Violation(
        "credits.credit_has_its_matched_charge",
        credit("reversal", -500, charge_id=1, reverses=10, cause=CAUSE, action_id=ACTION),
        refused_as="matched_charge_has_its_credit",
    ),
    Violation("credits.ledger_only_grows", "UPDATE credits SET cause = 'another' WHERE credit_id = 80"),
    Violation("credits.ledger_only_grows", "DELETE FROM credits WHERE credit_id = 90"),
    # Truncate both tables. Postgres cannot truncate credits alone, because a foreign key of handovers refers to credits.
    Violation("credits.ledger_only_grows", "TRUNCATE credits, handovers"),
    Violation("balances.balance_follows_from_the_ledger", "UPDATE balances SET balance = balance + 1"),
    Violation(
        "balances.balance_follows_from_the_ledger",
        "INSERT INTO users (telegram_id) VALUES (3); INSERT INTO balances (telegram_id, balance) VALUES (3, 500)",
    ),
    Violation("balances.balance_follows_from_the_ledger", "DELETE FROM balances"),
    Violation("balances.balance_follows_from_the_ledger", "TRUNCATE balances"),
    Violation(
        "credits.settling_credits_and_refunds",
        credit("adjustment", 1, cause=CAUSE, action_id=ACTION),
        refused_as=POLICY,
        role="webhook",
    ),
    Violation(
        "credits.settling_credits_and_refunds",
        credit("spend", -1, cause=CAUSE, idempotency_key=KEY),
        refused_as=POLICY,
        role="janitor",
    ),
    Violation(
        "credits.settling_credits_and_refunds",
        MATCH_UNDONE + credit("payment", 500, charge_id=4, follows=41, user=2),
        refused_as=POLICY,
        role="webhook",
    ),
    Violation(
        "credits.settling_credits_and_refunds",
        credit("refund", -1, charge_id=1, reverses=10, action_id=ACTION),
        refused_as=POLICY,
        role="janitor",
    ),
    Violation(
        "credits.bot_adds_all_but_spend",
        credit("spend", -1, cause=CAUSE, idempotency_key=KEY),
        refused_as=POLICY,
        role="bot",
    ),
    # The rules of the tables that hand ledger entries over to another bot
    Violation("handover_start.there_is_one_row", "INSERT INTO handover_start (is_only) VALUES (false)"),
    Violation("handovers.has_the_user_of_its_entry", "INSERT INTO handovers (credit_id, telegram_id) VALUES (10, 2)"),
    # Dismissal offers
    Violation(
        "dismissal_offers.offers_some_charges",
        "INSERT INTO dismissal_offers (charge_ids, offered_at) VALUES ('{}', now())",
    ),
    Violation(
        "dismissal_offers.offered_once",
        "INSERT INTO dismissal_offers (charge_ids, offered_at) VALUES ('{1,2}', now()), ('{1,2}', now())",
    ),
    # Notifications and backups
    Violation(
        "notifications.queued_once",
        "INSERT INTO notifications (telegram_id, kind, fact_key) VALUES (1, 'payment_credited', 'credited:matched')",
    ),
    Violation("notifications.only_a_tried_message_is_set_aside", "UPDATE notifications SET is_set_aside = true"),
    Violation(
        "notifications.only_a_tried_message_is_set_aside",
        "UPDATE notifications SET is_set_aside = true, attempts = 1",
    ),
    Violation("notifications.status_is_known", "UPDATE notifications SET status = 'lost'"),
    Violation("notifications.traceparent_is_valid", "UPDATE notifications SET traceparent = '00-1-2-3'"),
    Violation("notifications.sent_has_its_time", "UPDATE notifications SET status = 'sent'"),
    Violation("backups.size_is_positive", "INSERT INTO backups (size_bytes) VALUES (0)"),
]

COUNTS = "It refuses nothing, it counts rows: tests/integration/test_counts.py."
WITHOUT_VIOLATION = {
    "pending_payments.payment_has_one_user": "The target of answers_a_payment_of_its_user; the primary key says more.",
    "credits.entry_has_one_user": "The target of takes_back_from_the_same_user; the primary key says more.",
    "credits.entry_has_one_charge": "The target of follows_an_entry_of_its_charge; the primary key says more.",
    "credits.balance_is_the_sum": "It refuses nothing, it keeps the balances: test_a_balance_follows_each_entry.",
    "credits.entries_are_counted": COUNTS,
    "credits.overdrawn_refund_is_counted": COUNTS,
    "balances.new_overdrawn_balance_is_counted": COUNTS,
    "balances.changed_overdrawn_balance_is_counted": COUNTS,
    "charges.new_charges_are_counted": COUNTS,
    "charges.changed_charge_is_counted": COUNTS,
    "pending_payments.new_payments_are_counted": COUNTS,
    "pending_payments.changed_payments_are_counted": COUNTS,
    "credits.entry_is_handed_over": "It refuses nothing, it queues entries for a handler: tests/bot/test_handovers.py.",
    "credits.services_read_all_credits": "It refuses no row: it lets the services read all of them.",
}
"""Maps each rule without a `Violation` to the reason: the rule refuses nothing, or another rule refuses the same statements."""

# Find the names of all rules. Omit primary keys, NOT NULL, and foreign keys with generated names, because they only describe
# columns.
RULES = """
SELECT conrelid::regclass || '.' || conname AS rule, 'constraint' AS kind
  FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
   AND (contype IN ('c', 'u', 'x') OR (contype = 'f' AND conname NOT LIKE '%\\_fkey'))
 UNION ALL
SELECT indrelid::regclass || '.' || relname, 'index'
  FROM pg_index
  JOIN pg_class ON pg_class.oid = indexrelid
 WHERE indisunique
   AND relnamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
 UNION ALL
SELECT tgrelid::regclass || '.' || tgname, 'trigger'
  FROM pg_trigger
 WHERE NOT tgisinternal
 UNION ALL
SELECT tablename || '.' || policyname, 'policy'
  FROM pg_policies
"""

BRANCHES = r"SELECT (regexp_matches(prosrc, 'broken := ''(\w+)''', 'g'))[1] FROM pg_proc WHERE proname = 'check_reversed_entry'"

numbers = itertools.count()


@pytest.fixture(scope="module")
def arranged(postgres_address: str) -> Iterator[str]:
    """
    Create a database with the rows of ARRANGEMENT, and yield its URL.

    All tests share it, because each test rolls its changes back.
    """
    name = f"rules_{next(numbers)}"
    asyncio.run(_arrange(f"postgresql://ledger_owner@{postgres_address}", name))
    yield f"postgresql://ledger_owner@{postgres_address}/{name}"
    asyncio.run(_execute(f"postgresql://ledger_owner@{postgres_address}/postgres", f"DROP DATABASE {name}"))


async def _arrange(server: str, name: str) -> None:
    await _execute(f"{server}/postgres", f"CREATE DATABASE {name} TEMPLATE ledger")
    await _execute(f"{server}/{name}", ARRANGEMENT)


async def _execute(url: str, statement: str) -> None:
    db = await asyncpg.connect(url)
    await db.execute(statement)
    await db.close()


@pytest.fixture
async def db(arranged: str) -> AsyncIterator[Connection]:
    """
    Return a connection with the role of the database owner.

    Its transaction is open, and is rolled back after the test.
    """
    db = await asyncpg.connect(arranged)
    step = db.transaction()
    await step.start()
    yield db
    await step.rollback()
    await db.close()


@asynccontextmanager
async def acting_as(db: Connection, role: str) -> AsyncIterator[None]:
    """
    Run the body of the `async with` statement with the privileges of *role*. Then check deferred constraints, and roll back.

    An empty *role* means the database owner.
    """
    step = db.transaction()
    await step.start()
    try:
        if role:
            await db.execute(f"SET LOCAL ROLE {role}")
        yield
        await db.execute("SET CONSTRAINTS ALL IMMEDIATE")
    finally:
        await step.rollback()


def names_of(violations: list[Violation]) -> list[str]:
    return [f"{number}-{one.rule}" for number, one in enumerate(violations)]


def refused_by(error: asyncpg.PostgresError) -> str:
    return str(error.constraint_name or error.args[0])


FORBIDDEN = (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError)
"""The errors that Postgres raises if a role lacks a privilege, or cannot see the table or function."""

OF_ANY_ROLE = [one for one in VIOLATIONS if not one.role]
OF_WHAT_IS_TAKEN_BACK = [one for one in VIOLATIONS if one.rule == TAKEN_BACK]
every_violation = pytest.mark.parametrize("violation", VIOLATIONS, ids=names_of(VIOLATIONS))


@every_violation
async def test_a_violation_is_refused_by_its_rule(db: Connection, violation: Violation) -> None:
    with pytest.raises(asyncpg.PostgresError) as refusal:
        async with acting_as(db, violation.role):
            await db.execute(violation.statement)

    assert refused_by(refusal.value) == (violation.refused_as or violation.name)


@pytest.mark.parametrize("violation", OF_ANY_ROLE, ids=names_of(OF_ANY_ROLE))
async def test_a_violation_is_refused_to_every_role(db: Connection, violation: Violation) -> None:
    """No role can run the statement: either the rule refuses it, or the role does not have the privilege to write the row."""
    for role in SERVICE_ROLES:
        with pytest.raises(asyncpg.PostgresError) as refusal:
            async with acting_as(db, role):
                await db.execute(violation.statement)

        assert isinstance(refusal.value, FORBIDDEN) or refused_by(refusal.value) == (
            violation.refused_as or violation.name
        ), role


@every_violation
async def test_a_violation_succeeds_without_its_rule(db: Connection, violation: Violation) -> None:
    """If the rule is removed, the statement succeeds. This proves that only this rule refuses the statement."""
    await _remove(db, violation)

    async with acting_as(db, violation.role):
        await db.execute(violation.statement)


@pytest.mark.parametrize("violation", OF_WHAT_IS_TAKEN_BACK, ids=names_of(OF_WHAT_IS_TAKEN_BACK))
async def test_a_violation_succeeds_without_the_branch_that_refuses_it(db: Connection, violation: Violation) -> None:
    body: str = await db.fetchval("SELECT pg_get_functiondef('check_reversed_entry'::regproc)")
    branch = f"broken := '{violation.refused_as}'"
    assert branch in body

    await db.execute(body.replace(branch, "broken := NULL"))

    async with acting_as(db, ""):
        await db.execute(violation.statement)


async def test_each_rule_of_the_schema_has_its_violation(db: Connection) -> None:
    rules = {rule for rule, _ in await db.fetch(RULES)}

    assert {one.rule for one in VIOLATIONS} | WITHOUT_VIOLATION.keys() == rules
    assert {one.rule for one in VIOLATIONS}.isdisjoint(WITHOUT_VIOLATION)


async def test_each_branch_of_a_trigger_has_its_violation(db: Connection) -> None:
    branches = {name for (name,) in await db.fetch(BRANCHES)}

    assert {one.refused_as for one in OF_WHAT_IS_TAKEN_BACK} == branches


async def test_a_balance_follows_each_entry(db: Connection) -> None:
    """Add one entry by INSERT and one by COPY, because COPY must also fire the trigger that updates the balance."""
    before: int = await db.fetchval("SELECT balance FROM balances WHERE telegram_id = 1")

    await db.execute(credit("adjustment", 7, cause=CAUSE, action_id=ACTION))
    columns = ["telegram_id", "kind", "credits", "cause", "action_id"]
    await db.copy_records_to_table("credits", records=[(1, "adjustment", 8, "b", 1)], columns=columns)

    assert await db.fetchval("SELECT balance FROM balances WHERE telegram_id = 1") == before + 15


async def test_a_balance_is_wrong_without_its_trigger(db: Connection) -> None:
    await db.execute("DROP TRIGGER balance_is_the_sum ON credits")
    await db.execute(credit("adjustment", 7, cause=CAUSE, action_id=ACTION))

    balance = await db.fetchval("SELECT balance FROM balances WHERE telegram_id = 1")

    assert balance != await db.fetchval("SELECT sum(credits) FROM credits WHERE telegram_id = 1")


async def _remove(db: Connection, violation: Violation) -> None:
    kinds = {str(row["rule"]): str(row["kind"]) for row in await db.fetch(RULES)}
    match kinds[violation.rule]:
        case "constraint":
            await db.execute(f"ALTER TABLE {violation.table} DROP CONSTRAINT {violation.name} CASCADE")
        case "index":
            await db.execute(f"DROP INDEX {violation.name}")
        case "trigger":
            await db.execute(f"DROP TRIGGER {violation.name} ON {violation.table}")
        case "policy":
            # Remove only the condition of the policy. Without any policy, Postgres would refuse every write to the table.
            await db.execute(f"ALTER POLICY {violation.name} ON {violation.table} WITH CHECK (true)")
        case unknown:
            raise AssertionError(unknown)


# Rights of the roles -------------------------------------------------------------------------------------------------

ENTRIES = {
    "payment": credit("payment", 500, charge_id=2),
    "payment after an undo": credit("payment", 500, charge_id=4, follows=41, action_id=ACTION),
    "refund": credit("refund", -500, charge_id=1, reverses=10),
    "refund of a part": credit("refund", -1, charge_id=1, reverses=10, action_id=ACTION),
    "reversal": credit("reversal", -100, reverses=80, cause=CAUSE, action_id=ACTION),
    "not mine": credit("reversal", -500, charge_id=11, reverses=110, cause=CAUSE, is_not_mine="true"),
    "adjustment": credit("adjustment", 1, cause=CAUSE, action_id=ACTION),
    "spend": credit("spend", -1, cause=CAUSE, idempotency_key=KEY),
    "spend_credits": "SELECT spend_credits(1, 1, 'a picture', 'spent-2')",
}
"""Statements that each add a valid entry. Some are valid only after the test has changed the state of the entry's charge."""

MAY_ADD = {
    "webhook": {"payment", "refund"},
    "janitor": {"payment", "refund"},
    "bot": set(ENTRIES) - {"spend"},
    "spender": {"spend_credits"},
    "watcher": set[str](),
    "grafana_reader": set[str](),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("role", MAY_ADD)
async def test_a_role_adds_only_the_entries_that_it_needs(db: Connection, role: str, entry: str) -> None:
    if entry.startswith("payment"):
        charge_id = 2 if entry == "payment" else 4
        await db.execute(change(charge_id, "state = 'matched', method = 'operator', telegram_id = 1"))
    if entry == "not mine":
        await db.execute(change(11, BACK_TO_WAITING))

    if entry in MAY_ADD[role]:
        async with acting_as(db, role):
            await db.execute(ENTRIES[entry])
    else:
        with pytest.raises(FORBIDDEN):
            async with acting_as(db, role):
                await db.execute(ENTRIES[entry])


FORBIDDEN_TO_ALL = [
    "UPDATE public.credits SET cause = 'another'",
    "DELETE FROM public.credits",
    "TRUNCATE public.credits CASCADE",
    "INSERT INTO public.balances (telegram_id, balance) VALUES (2, 1) ON CONFLICT DO NOTHING",
    "UPDATE public.balances SET balance = 1",
    "DELETE FROM public.balances",
    "TRUNCATE public.balances",
    "UPDATE public.charges SET charge_key = 'another', amount = 5000 WHERE charge_id = 2",
    "UPDATE public.charges SET source = 'another' WHERE charge_id = 2",
    "UPDATE public.charges SET family = 'extra_purchase' WHERE charge_id = 2",
    "UPDATE public.charges SET period_start = now() WHERE charge_id = 2",
    "UPDATE public.charges SET conflicts_with = 'matched' WHERE charge_id = 2",
    "DELETE FROM public.charges WHERE charge_id = 2",
    "TRUNCATE public.users CASCADE",
    "UPDATE public.pending_payments SET telegram_id = 2, user_id = 2",
    "DELETE FROM public.pending_payments",
    "DELETE FROM public.events",
    "DELETE FROM public.operator_actions",
    "UPDATE public.operator_actions SET operator_id = 1",
    "DELETE FROM public.guesses",
    "UPDATE public.guesses SET guessed_at = now()",
    "ALTER TABLE public.credits DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_ALL)
@pytest.mark.parametrize("role", SERVICE_ROLES)
async def test_no_role_bypasses_the_ledger(db: Connection, role: str, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with acting_as(db, role):
            await db.execute(statement)
