-- Statements that hand entries of the ledger to the handler of another bot. A trigger queues the entries (db/init.sql). Only the
-- bot that holds the lease `handing_over` calls the handler.

-- name: are_handovers_started
SELECT exists(SELECT FROM handover_start);

-- name: start_handovers!
-- Queue each new entry, except spendings, from now on. An entry is queued if its transaction sees the row inserted here. The
-- caller holds the lock of lock_settling, and so does every transaction that inserts an entry to queue. So each of these
-- transactions either has ended before, or begins to insert later and sees this row.
INSERT INTO handover_start DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: find_handovers
-- Find the oldest waiting entry of each user. Among the oldest 1,000 rows, the first one of a user is the oldest of all rows of
-- this user. The limit keeps the query fast. The caller leaves out the users that are busy, so later calls find the other rows.
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
