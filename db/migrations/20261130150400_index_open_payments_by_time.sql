-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- The last column of this index is an expression, so that Postgres cannot use another index for this order. See db/init.sql.
CREATE INDEX CONCURRENTLY IF NOT EXISTS pending_payments_open_since
ON pending_payments (amount, currency, (created_at AT TIME ZONE 'UTC')) WHERE status = 'pending';

-- migrate:down
