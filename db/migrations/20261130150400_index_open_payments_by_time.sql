-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- The query load_candidates sorts by the expression in the last column of this index. If it sorted by the column created_at,
-- Postgres would often use another, slower index. See db/init.sql.
CREATE INDEX CONCURRENTLY IF NOT EXISTS pending_payments_open_since
ON pending_payments (amount, currency, (created_at AT TIME ZONE 'UTC')) WHERE status = 'pending';

-- migrate:down
