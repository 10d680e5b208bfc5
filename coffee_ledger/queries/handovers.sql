-- Statements that hand entries of the ledger to the handler that a bot registered with `Payments.on_credited`. A trigger queues
-- the entries (db/init.sql). If several instances of the bot run, only the holder of the lease `handing_over` calls the handler.

-- name: are_handovers_started
SELECT exists(SELECT FROM handover_start);

-- name: start_handovers
-- Insert the row of `handover_start`. With this row, a trigger queues each new entry of the ledger for the handler, except
-- entries for spent credits. The trigger queues an entry only if the entry's transaction sees this row. The caller takes a lock
-- with the statement lock_settling. Every transaction that inserts entries, except entries for spent credits, takes the same
-- lock. So none of these transactions runs at the same time as the caller, and all later transactions see this row.
INSERT INTO handover_start DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: find_handovers
-- Find the oldest waiting entry of each user who is not in $1. To be fast, the query reads only the 1,000 oldest entries of
-- these users, so it finds no entry of a user who has only newer entries. In $1, the caller passes users for whom the handler
-- runs at the moment, and users whose retry is not due yet. If their entries were not left out, all of the 1,000 entries could
-- belong to them, and the query would find no other user.
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

-- name: end_handover
-- $1 credit id
DELETE FROM handovers WHERE credit_id = $1;
