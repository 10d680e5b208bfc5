-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- Build the index without blocking writes. The index contains only charges of subscriptions. The source is the last column,
-- because today all charges have the same source, and Postgres could otherwise search the index by the source alone.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_charge_per_billing_period
ON charges (psp_id, period_start, source) WHERE psp_id IS NOT NULL;

-- migrate:down
