-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- Build the index without blocking writes. The index contains only charges of subscriptions. The source is the last column.
-- If the source were the first column, Postgres could search the index by the source alone. This search would find all entries
-- of the index, because today all charges have the same source.
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_charge_per_billing_period
ON charges (psp_id, period_start, source) WHERE psp_id IS NOT NULL;

-- migrate:down
