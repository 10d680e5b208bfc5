-- Statements that compare Buy Me a Coffee's own lists with our charges.

-- name: find_known_transactions
-- Return which of these transaction ids belong to a charge of any family. The condition on `conflicts_with` lets Postgres use the
-- index one_charge_per_transaction, which contains only charges without `conflicts_with`. The condition excludes no transaction
-- id, because the first charge of each transaction id has no `conflicts_with`.
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
