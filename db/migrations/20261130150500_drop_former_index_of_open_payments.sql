-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- pending_payments_open_since has replaced this index.
DROP INDEX CONCURRENTLY IF EXISTS pending_payments_open;

-- migrate:down
