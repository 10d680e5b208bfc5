-- Statements that hand entries of the ledger to the handler of another bot. A trigger queues the entries (db/init.sql). Only the
-- bot that holds the lease `handing_over` calls the handler.

-- name: are_handovers_started
SELECT exists(SELECT FROM handover_start);

-- name: start_handovers!
-- Insert the row that makes the trigger queue each new entry, except spendings. The trigger queues an entry only if the entry's
-- transaction sees this row. The caller holds the lock of lock_settling. Every transaction that inserts an entry to queue holds
-- the same lock. So each of these transactions either ended before the row was inserted, or inserts its entries later and sees
-- the row.
INSERT INTO handover_start DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: find_handovers
-- Find the oldest waiting entry of each user. To be fast, the query reads only the oldest 1,000 rows. If a user has a row among
-- them, the user's first row there is the oldest of all rows of this user. The caller leaves out users for whom the handler runs,
-- and users whose retry is not due yet. So the rows of these users do not fill the 1,000 places.
-- $1 users to leave out, $2 maximum number of users
WITH waiting AS MATERIALIZED (
    SELECT credit_id, telegram_id
      FROM handovers
     WHERE NOT telegram_id = ANY($1::bigint [])
     ORDER BY credit_id
     LIMIT 1000
)
SELECT entries.credit_id, entries.telegram_id, entries.kind, entries.credits, entries.created_at, entries.follows,
       charges.charge_key, charges.amount, charges.currency
  FROM (SELECT min(credit_id) AS credit_id FROM waiting GROUP BY telegram_id) AS first
  JOIN credits AS entries ON entries.credit_id = first.credit_id
  LEFT JOIN charges ON charges.charge_id = entries.charge_id
 ORDER BY entries.credit_id
 LIMIT $2;

-- name: end_handover!
-- $1 credit id
DELETE FROM handovers WHERE credit_id = $1;
