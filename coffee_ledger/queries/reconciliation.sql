-- Statements that compare Buy Me a Coffee's own lists with our charges.

-- name: find_known_transactions
-- Find the transaction ids that a charge of any family has. Of two charges in conflict, the first one has no `conflicts_with`, so
-- the unique index one_charge_per_transaction contains every transaction id.
-- $1 source, $2 transaction ids
SELECT transaction_id
  FROM charges
 WHERE source = $1
   AND transaction_id = ANY($2::text [])
   AND conflicts_with IS NULL;

-- name: find_known_periods
-- Find the charged periods of subscriptions.
-- $1 source, $2 ids of the subscriptions at the payment provider
SELECT psp_id, period_start
  FROM charges
 WHERE source = $1
   AND psp_id = ANY($2::text [])
   AND period_start IS NOT NULL;
