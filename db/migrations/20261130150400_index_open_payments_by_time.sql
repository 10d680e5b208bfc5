-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- The order of this index is an expression, so that no other index has it: see db/init.sql.
CREATE INDEX CONCURRENTLY IF NOT EXISTS pending_payments_open_since
ON pending_payments (amount, currency, (created_at AT TIME ZONE 'UTC')) WHERE status = 'pending';

-- migrate:down
