-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- Build the index without blocking writes. The file has a single statement, because Postgres runs several statements of one
-- request in a transaction, and CREATE INDEX CONCURRENTLY cannot run in a transaction.
CREATE INDEX CONCURRENTLY IF NOT EXISTS pending_payments_open_age ON pending_payments (created_at) WHERE status = 'pending';

-- migrate:down
