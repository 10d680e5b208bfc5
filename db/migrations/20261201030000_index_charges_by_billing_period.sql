-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- Build the index without blocking writes. It has only charges of subscriptions, and begins with the column that differs most.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_charge_per_billing_period
ON charges (psp_id, period_start, source) WHERE psp_id IS NOT NULL;

-- migrate:down
