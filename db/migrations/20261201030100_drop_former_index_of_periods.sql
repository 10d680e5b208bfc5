-- squawk-disable-assume-in-transaction
-- squawk-ignore-file require-lock-timeout, require-statement-timeout
-- migrate:up transaction:false
-- one_charge_per_billing_period has replaced this index.
DROP INDEX CONCURRENTLY IF EXISTS one_charge_per_period;

-- migrate:down
