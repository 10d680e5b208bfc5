-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- No query needs the index pending_payments_status: open payments have their own indexes, and payments that have ended are
-- found by other columns. With this index, Postgres could plan to read all open payments for each payment that it completes.
DROP INDEX CONCURRENTLY IF EXISTS pending_payments_status;

-- migrate:down
