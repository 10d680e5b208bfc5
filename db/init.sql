-- The current schema. The service `migrate` runs this file once, on an empty database, after db/roles.sql. It runs as the role
-- ledger_owner, which owns all objects and which no other service uses. In the image of Postgres this role is also the superuser.
-- An existing database is changed by the files in db/migrations. A test checks that both ways lead to the same schema, with the
-- same order of columns. Write a new column at the end of its table here, because ALTER TABLE in a migration adds a column at
-- the end.
-- Each rule that must always hold is a constraint, an index, a trigger or a policy that has the name of the rule. So no bug, no
-- race and no manual statement in psql can break the rule.

-- The version of the schema. With every change of a statement in this file, increase the version and write a migration.
-- tests/integration/test_schema.py checks both. A service refuses a database whose version is too low for the service
-- (coffee_ledger/store/database.py).
CREATE FUNCTION schema_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 6;

-- A service that was written for an earlier schema version than the returned one refuses to use the database. Increase the number
-- only when a migration removes a column or a table that older services use.
CREATE FUNCTION oldest_service() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 5;

-- Users and supporters -----------------------------------------------------------------------------------------------

CREATE TABLE users (
    telegram_id bigint PRIMARY KEY,
    language text NOT NULL DEFAULT 'en',
    username text,
    created_at timestamptz NOT NULL DEFAULT now(),
    unreachable_at timestamptz,
    language_chosen boolean NOT NULL DEFAULT false,
    erased_at timestamptz,
    CONSTRAINT language_is_supported CHECK (language IN ('uk', 'en'))
);
COMMENT ON COLUMN users.language_chosen
IS 'True if the user chose the language in the bot. Then the language that Telegram reports is ignored.';
COMMENT ON COLUMN users.erased_at IS 'When the user asked to be erased. Nothing is sent until they write again. Null otherwise.';
COMMENT ON COLUMN users.unreachable_at
IS 'Since when the user cannot be reached: they blocked the bot or left Telegram. Null if reachable.';

CREATE INDEX users_erased ON users (telegram_id) WHERE erased_at IS NOT NULL;
CREATE INDEX users_username ON users (lower(username)) WHERE username IS NOT NULL;

-- People who paid on Buy Me a Coffee (BMC). The matches of a supporter's charges, in the table `charges`, show which user the supporter
-- is. This table has no column for the user, because such a column could contradict the matches.
CREATE TABLE supporters (
    supporter_id text PRIMARY KEY,
    name text,
    email text,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX supporters_last_seen ON supporters (last_seen_at) WHERE name IS NOT NULL OR email IS NOT NULL;

-- Returns a name in the form in which names are searched: in lower case, and with one kind of apostrophe, because keyboards
-- write different apostrophes.
CREATE FUNCTION as_searched(name text) RETURNS text LANGUAGE sql IMMUTABLE
RETURN translate(lower(normalize(name)), '’ʼ‘`', '''''''''');

-- Each row holds the number of requests with an invalid signature in one minute. A request with an invalid signature can only
-- increase this number and queue a notification to the operators.
CREATE TABLE signature_failures (
    minute timestamptz PRIMARY KEY,
    failures bigint NOT NULL
);

-- The only row of this table holds the count of successive refusals of deliveries. BMC disables the webhook after more than ten
-- successive failures. The count is stored here, so that it includes the refusals of all webhook replicas and survives their
-- restarts.
CREATE TABLE webhook_answers (
    is_only boolean PRIMARY KEY DEFAULT true,
    accepted_at timestamptz NOT NULL DEFAULT '-infinity',
    refused integer NOT NULL DEFAULT 0,
    refused_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT there_is_one_row CHECK (is_only),
    CONSTRAINT refused_is_a_count CHECK (refused >= 0)
);
COMMENT ON COLUMN webhook_answers.accepted_at IS 'When a delivery was last answered with 200.';
COMMENT ON COLUMN webhook_answers.refused IS 'How many were refused since then. The streak ends after six hours without a refusal.';
COMMENT ON COLUMN webhook_answers.refused_at IS 'When a delivery was last refused.';
INSERT INTO webhook_answers DEFAULT VALUES;

-- Pending payments, events and charges --------------------------------------------------------------------------------

CREATE TABLE pending_payments (
    payment_id varchar(100) PRIMARY KEY,
    user_id bigint NOT NULL,
    telegram_id bigint NOT NULL REFERENCES users,
    amount numeric(10, 2) NOT NULL,
    currency varchar(10) NOT NULL DEFAULT 'USD',
    status varchar(20) NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    bmc_data jsonb,
    request_key text,
    ended_at timestamptz,
    requested_again_at timestamptz [] NOT NULL DEFAULT '{}',
    CONSTRAINT status_is_known CHECK (status IN ('pending', 'completed', 'expired', 'cancelled')),
    CONSTRAINT amount_is_positive CHECK (amount > 0),
    CONSTRAINT completed_has_its_time CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT requested_once UNIQUE (request_key),
    -- The table charges has a foreign key to these two columns, which ensures that a charge and its pending payment have the
    -- same user. The foreign key needs this constraint, although payment_id alone is already unique.
    CONSTRAINT payment_has_one_user UNIQUE (payment_id, telegram_id)
);
COMMENT ON COLUMN pending_payments.requested_again_at
IS 'When the user requested the same amount again and was shown this payment, the newest last.';
COMMENT ON COLUMN pending_payments.user_id IS 'Equal to telegram_id. Other programs, such as Web Apps, rely on this name.';
COMMENT ON COLUMN pending_payments.bmc_data
IS 'The charge that completed the payment: charge key, event, amount and currency. Contains no personal data.';
COMMENT ON COLUMN pending_payments.request_key
IS 'Names the Telegram message that requested the payment, so that a repeated update opens no second one.';
CREATE INDEX pending_payments_telegram_id ON pending_payments (telegram_id);
CREATE INDEX pending_payments_created_at ON pending_payments (created_at);
-- The query load_candidates uses this index to find the oldest open payments of an amount. The query sorts by the last
-- expression of the index. If the query sorted by the column created_at, Postgres would often use pending_payments_created_at
-- instead, and read that index from the oldest payment on.
CREATE INDEX pending_payments_open_since ON pending_payments (amount, currency, (created_at AT TIME ZONE 'UTC')) WHERE status = 'pending';
-- This index serves the queries expire_payments and find_oldest_waiting, which look for the oldest pending payments. With the
-- index pending_payments_created_at, these queries would also read all payments that have ended.
CREATE INDEX pending_payments_open_age ON pending_payments (created_at) WHERE status = 'pending';
CREATE INDEX pending_payments_ended ON pending_payments (amount, currency, ended_at) WHERE status <> 'pending';

-- The bot's messages that show how to pay a pending payment. When the payment has ended, the bot rewrites the message as a receipt and
-- deletes the row.
CREATE TABLE payment_messages (
    payment_id varchar(100) NOT NULL REFERENCES pending_payments,
    message_id bigint NOT NULL,
    PRIMARY KEY (payment_id, message_id)
);
COMMENT ON COLUMN payment_messages.message_id IS 'Telegram''s number of the message in the user''s chat.';

CREATE FUNCTION refuse_a_second_end() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'pending payment % is already %', OLD.payment_id, OLD.status
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'pending_payment_ends_once';
END
$$;

CREATE TRIGGER pending_payment_ends_once
BEFORE UPDATE OF status ON pending_payments
FOR EACH ROW WHEN (OLD.status <> 'pending' AND NEW.status IS DISTINCT FROM OLD.status)
EXECUTE FUNCTION refuse_a_second_end();

-- The inbox: each event that came with a valid signature, and each row of BMC's lists that was settled as an event, with its raw body.
CREATE TABLE events (
    event_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_key text NOT NULL,
    type text,
    live_mode boolean,
    attempt integer,
    body bytea,
    outcome text NOT NULL,
    charge_key text,
    received_at timestamptz NOT NULL DEFAULT now(),
    blanked_at timestamptz,
    verified_by smallint,
    retry_requested_at timestamptz,
    dismissed_at timestamptz,
    source text NOT NULL DEFAULT 'bmc',
    supporter_id text,
    channel text NOT NULL DEFAULT 'webhook',
    CONSTRAINT delivered_once UNIQUE (delivery_key, source),
    CONSTRAINT body_stays_until_blanked CHECK ((body IS NULL) = (blanked_at IS NOT NULL)),
    CONSTRAINT outcome_is_known CHECK (outcome IN (
        'credited', 'unmatched', 'refunded', 'recorded', 'duplicate', 'test', 'unknown', 'unreadable', 'legacy',
        'failed'
    )),
    CONSTRAINT channel_is_known CHECK (channel IN ('webhook', 'api'))
);
COMMENT ON COLUMN events.body IS 'The raw bytes of the request, valid JSON or not. Null once the retention time is over.';
COMMENT ON COLUMN events.verified_by IS 'The position in BMC_WEBHOOK_SECRETS of the secret that verified the signature, from 1.';
COMMENT ON COLUMN events.retry_requested_at IS 'When an operator asked to settle the event again. Null if that was not asked, or is done.';
COMMENT ON COLUMN events.dismissed_at IS 'When an operator closed the event as needing no more action. It is never settled again.';
CREATE INDEX events_received_at ON events (received_at);
COMMENT ON COLUMN events.supporter_id IS 'The payer''s id at BMC, also of events that move no money, so that erase_user() finds those too.';
CREATE INDEX events_charge_key ON events (charge_key);
CREATE INDEX events_supporter_id ON events (supporter_id) WHERE supporter_id IS NOT NULL;
CREATE INDEX events_unblanked ON events (received_at) WHERE body IS NOT NULL;
-- This index serves the query find_kept_page, which lists the failed and unreadable events. The index stays small, because few
-- events fail or cannot be read.
CREATE INDEX events_kept ON events (event_no) WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL;
COMMENT ON COLUMN events.channel IS 'How the event reached us: as a webhook, or as a row of BMC''s own list (api).';
-- This index serves the query find_listed_events, which finds the newest events that came from BMC's lists.
CREATE INDEX events_from_list ON events (event_no) WHERE channel = 'api';

-- Supporters, subscriptions and items that an operator marked as "not one of our users". Charges of these outsiders are dismissed
-- automatically, and operators get no message about them.
CREATE TABLE outsiders (
    outsider_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    remembered_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT kind_is_known CHECK (kind IN ('supporter', 'subscription', 'item'))
);
COMMENT ON COLUMN outsiders.name IS 'A supporter_id, the name of a subscription, or an item as in charges.item.';
COMMENT ON COLUMN outsiders.ended_at IS 'When a valid code or an operator ended the mark. Null while it applies.';
CREATE UNIQUE INDEX remembered_once ON outsiders (kind, name) WHERE ended_at IS NULL;

CREATE TABLE charges (
    charge_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL DEFAULT 'bmc',
    charge_key text NOT NULL,
    family text NOT NULL,
    bmc_id text,
    transaction_id text,
    psp_id text,
    period_start timestamptz,
    supporter_id text REFERENCES supporters,
    amount numeric,
    currency text NOT NULL,
    note text,
    item text,
    item_name text,
    payer_name text,
    paid_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'unmatched',
    method text,
    reasons jsonb NOT NULL DEFAULT '[]',
    payment_id varchar(100),
    telegram_id bigint REFERENCES users,
    flag text,
    is_paid boolean NOT NULL,
    is_held boolean NOT NULL DEFAULT false,
    doubt text,
    told text,
    conflicts_with text,
    dismissed_by bigint REFERENCES outsiders,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    matched_at timestamptz,
    refunded_at timestamptz,
    refunded_amount numeric,
    channel text NOT NULL DEFAULT 'webhook',
    CONSTRAINT recorded_once UNIQUE (charge_key),
    CONSTRAINT state_is_known CHECK (state IN ('matched', 'unmatched', 'dismissed', 'refunded')),
    CONSTRAINT method_is_known CHECK (method IN (
        'code', 'corrected_code', 'subscription', 'known_supporter', 'amount_and_time', 'operator'
    )),
    CONSTRAINT money_is_positive CHECK (amount > 0 AND amount < 1e9),
    CONSTRAINT matched_has_its_amount CHECK (amount IS NOT NULL OR state <> 'matched'),
    CONSTRAINT matched_has_its_user CHECK (state <> 'matched' OR (telegram_id IS NOT NULL AND method IS NOT NULL)),
    CONSTRAINT unmatched_has_no_user CHECK (state NOT IN ('unmatched', 'dismissed') OR telegram_id IS NULL),
    CONSTRAINT payment_has_its_user CHECK (payment_id IS NULL OR telegram_id IS NOT NULL),
    CONSTRAINT answers_a_payment_of_its_user
    FOREIGN KEY (payment_id, telegram_id) REFERENCES pending_payments (payment_id, telegram_id),
    CONSTRAINT doubtful_is_matched_by_a_person CHECK (doubt IS NULL OR state <> 'matched' OR method = 'operator'),
    CONSTRAINT only_a_dismissed_has_its_outsider CHECK (dismissed_by IS NULL OR state = 'dismissed'),
    CONSTRAINT conflicts_with_a_charge FOREIGN KEY (conflicts_with) REFERENCES charges (charge_key),
    CONSTRAINT refunded_has_its_time CHECK ((state = 'refunded') = (refunded_at IS NOT NULL)),
    CONSTRAINT refunded_part_is_smaller CHECK (refunded_amount > 0 AND refunded_amount < amount),
    CONSTRAINT channel_is_known CHECK (channel IN ('webhook', 'api'))
);
COMMENT ON COLUMN charges.charge_key
IS 'Permanent name, taken from the first event. Later events find the charge by its ids, number and period.';
COMMENT ON COLUMN charges.source IS 'Where the money came in. Part of the identity.';
COMMENT ON COLUMN charges.period_start
IS 'Start of the period that a charge of a subscription pays for. Null for other charges, or if the event lacks it.';
COMMENT ON COLUMN charges.note IS 'The text that the supporter wrote; codes are read from it. Null once the retention time is over.';
COMMENT ON COLUMN charges.payer_name IS 'The name of a payer who has no supporter id. Null otherwise, and once the retention time is over.';
COMMENT ON COLUMN charges.item IS 'The membership level or Shop item that was bought, such as level:5 or extra:12.';
COMMENT ON COLUMN charges.is_paid IS 'False while only the refund of the charge was received.';
COMMENT ON COLUMN charges.is_held
IS 'True after an operator undid the match. Then only an operator can match the charge again, not a rule.';
COMMENT ON COLUMN charges.doubt
IS 'Why only an operator may match the charge: a Doubt of coffee_ledger/model.py. Null if there is no doubt.';
COMMENT ON COLUMN charges.told IS 'The value of the doubtful field in the event. Contains no personal data.';
COMMENT ON COLUMN charges.conflicts_with
IS 'The charge with the same transaction id but another BMC number. One of the two may be a mistake.';
COMMENT ON COLUMN charges.dismissed_by
IS 'The outsider that caused the automatic dismissal. Null if not dismissed, or dismissed by an operator.';
COMMENT ON COLUMN charges.reasons IS 'The rules that were tried, and why each candidate was rejected. Shown to people; no rule reads it.';
COMMENT ON COLUMN charges.flag IS 'Marks an unusual match that was credited all the same: second_charge or late.';
COMMENT ON COLUMN charges.refunded_amount IS 'The refunded amount, if an operator recorded that the refund was partial.';
-- Each of these unique indexes is one way to identify a charge (docs/why.md: "A charge has one identity").
-- The index one_charge_per_transaction leaves out charges whose conflicts_with is not null, because such a charge has the same
-- transaction id as the charge that conflicts_with names. The index one_charge_per_number leaves out charges with a doubt,
-- because a doubtful charge may lack the fields that identify it. In the index one_charge_per_billing_period, the source is the last
-- column, because today all charges have the same source. If the source were the first column, Postgres could search the index
-- by the source alone, and would then read all entries.
CREATE UNIQUE INDEX one_charge_per_transaction ON charges (source, transaction_id) WHERE conflicts_with IS NULL;
CREATE UNIQUE INDEX one_charge_per_number ON charges (source, family, bmc_id)
WHERE transaction_id IS NULL AND period_start IS NULL AND doubt IS NULL;
CREATE UNIQUE INDEX one_charge_per_billing_period ON charges (psp_id, period_start, source) WHERE psp_id IS NOT NULL;
CREATE UNIQUE INDEX one_charge_per_numbered_period ON charges (source, family, bmc_id, period_start) WHERE psp_id IS NULL;
CREATE INDEX charges_bmc_id ON charges (family, bmc_id);
CREATE INDEX charges_supporter_id ON charges (supporter_id) WHERE supporter_id IS NOT NULL;
CREATE INDEX charges_payment_id ON charges (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX charges_telegram_id ON charges (telegram_id) WHERE telegram_id IS NOT NULL;
CREATE INDEX charges_paid_at ON charges (paid_at);
CREATE INDEX charges_unmatched ON charges (amount, currency, paid_at) WHERE state = 'unmatched';
-- This index serves the queries find_unmatched_charges and find_oldest_waiting, which read charges in the order of charge_id.
-- The index charges_unmatched is sorted by amount. With that index, each of these queries would read all unmatched charges.
CREATE INDEX charges_waiting ON charges (charge_id) WHERE state = 'unmatched';
COMMENT ON COLUMN charges.channel IS 'How we first learned of the charge. Not part of the identity.';
-- BMC may report one payment twice: in its list as one-time support, and by webhook as a subscription. When a webhook arrives,
-- the query load_known uses this index to find the same payment among the charges from the list, by its time and its note.
CREATE INDEX charges_from_list ON charges (paid_at) WHERE channel = 'api';
CREATE INDEX charges_with_note ON charges (recorded_at) WHERE note IS NOT NULL OR payer_name IS NOT NULL;

-- The charges that were matched by a guess, that is, by amount and time. The matching rules read this table to limit the number
-- of guesses per user (docs/why.md: "Guesses").
CREATE TABLE guesses (
    charge_id bigint PRIMARY KEY REFERENCES charges,
    telegram_id bigint NOT NULL REFERENCES users,
    guessed_at timestamptz NOT NULL,
    taken_back_at timestamptz
);
COMMENT ON COLUMN guesses.taken_back_at IS 'When the user pressed Not mine, or an operator took the guess back. Null while it stands.';
CREATE INDEX guesses_telegram_id ON guesses (telegram_id, guessed_at);
-- This index serves the query find_guesses_page, which lists the guesses, the newest first.
CREATE INDEX guesses_guessed_at ON guesses (guessed_at);

-- The question that a user must answer next, and the answers so far. A row is deleted when its dialogue ends.
CREATE TABLE dialogues (
    telegram_id bigint PRIMARY KEY REFERENCES users,
    state text NOT NULL,
    answers jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL
);
COMMENT ON COLUMN dialogues.state IS 'The name of the open question in the bot.';
COMMENT ON COLUMN dialogues.updated_at IS 'When the user last answered or was asked. A question is open for a day.';

-- The bot's questions that operators must answer in words. A row is deleted when its question is answered or cancelled.
CREATE TABLE prompts (
    telegram_id bigint NOT NULL REFERENCES users,
    kind text NOT NULL,
    number bigint NOT NULL,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (telegram_id, kind, number)
);
COMMENT ON COLUMN prompts.telegram_id IS 'The operator.';
COMMENT ON COLUMN prompts.kind IS 'A Prompt of coffee_ledger/telegram/desk/messages.py.';
COMMENT ON COLUMN prompts.number IS 'The number of the charge, claim, event or entry that the question is about.';
COMMENT ON COLUMN prompts.asked_at IS 'When the question was last asked. A text that is no reply answers it only within ten minutes.';

-- The claims of users who paid but got no credits. The user describes the payment, and an operator compares it with the unmatched
-- charges.
CREATE TABLE claims (
    claim_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    telegram_id bigint NOT NULL REFERENCES users,
    paid_on date NOT NULL,
    amount numeric(10, 2) NOT NULL,
    currency varchar(10) NOT NULL,
    name text,
    candidates bigint [] NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    decided_at timestamptz,
    decided_by bigint,
    charge_id bigint REFERENCES charges,
    CONSTRAINT status_is_known CHECK (status IN ('open', 'confirmed', 'declined', 'withdrawn')),
    CONSTRAINT decided_has_its_time CHECK ((status = 'open') = (decided_at IS NULL)),
    CONSTRAINT amount_is_positive CHECK (amount > 0)
);
COMMENT ON COLUMN claims.name
IS 'The name under which the user claims to have paid. Null if not given, and once the retention time is over.';
COMMENT ON COLUMN claims.candidates IS 'Charges that fitted when the claim was raised, the likeliest first. Never shown to the claimant.';
COMMENT ON COLUMN claims.decided_by IS 'The operator. Null if the user withdrew the claim or a rule matched the charge.';
CREATE UNIQUE INDEX one_open_claim_per_user ON claims (telegram_id) WHERE status = 'open';
CREATE INDEX claims_telegram_id ON claims (telegram_id, created_at);
CREATE INDEX claims_with_name ON claims (created_at) WHERE name IS NOT NULL;

-- The sets of charges that a summary offered to operators for dismissal with one tap. The summary's button contains only the id
-- of the set, so a tap dismisses exactly the charges that the summary showed.
CREATE TABLE dismissal_offers (
    offer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    charge_ids bigint [] NOT NULL,
    offered_at timestamptz NOT NULL,
    taken_at timestamptz,
    CONSTRAINT offers_some_charges CHECK (cardinality(charge_ids) > 0)
);
COMMENT ON COLUMN dismissal_offers.taken_at IS 'When an operator took the offer. Null while its button works.';
CREATE UNIQUE INDEX offered_once ON dismissal_offers (charge_ids) WHERE taken_at IS NULL;
CREATE INDEX dismissal_offers_offered_at ON dismissal_offers (offered_at);

CREATE TABLE operator_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id bigint NOT NULL,
    action text NOT NULL,
    charge_id bigint REFERENCES charges,
    claim_id bigint REFERENCES claims,
    event_no bigint REFERENCES events,
    outsider_id bigint REFERENCES outsiders,
    telegram_id bigint REFERENCES users,
    reason text NOT NULL,
    request_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ordered_once UNIQUE (request_key)
);
COMMENT ON TABLE operator_actions IS 'The audit log: the operator, the action, the time and the reason.';
COMMENT ON COLUMN operator_actions.action
IS 'One of the actions of coffee_ledger/store/decisions.py, or free text from an operator at a psql prompt.';
COMMENT ON COLUMN operator_actions.outsider_id IS 'The outsider that the action marked or unmarked.';
COMMENT ON COLUMN operator_actions.telegram_id IS 'The user concerned, if any.';
COMMENT ON COLUMN operator_actions.request_key
IS 'Names the button press or message behind the action, so that a repeated update does nothing.';
CREATE INDEX operator_actions_charge_id ON operator_actions (charge_id) WHERE charge_id IS NOT NULL;
-- This index serves the query find_outsiders_page, which looks up the dismissed charge of each outsider.
CREATE INDEX operator_actions_outsider_id ON operator_actions (outsider_id, action_id) WHERE outsider_id IS NOT NULL;
CREATE INDEX operator_actions_event_no ON operator_actions (event_no) WHERE event_no IS NOT NULL;

-- The ledger ----------------------------------------------------------------------------------------------------------

-- The entries of the ledger. Entries are never changed or deleted. To correct a mistake, a new entry reverses the wrong one.
CREATE TABLE credits (
    credit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    telegram_id bigint NOT NULL REFERENCES users,
    kind text NOT NULL,
    credits bigint NOT NULL,
    charge_id bigint REFERENCES charges,
    reverses bigint,
    follows bigint,
    action_id bigint REFERENCES operator_actions,
    is_not_mine boolean NOT NULL DEFAULT false,
    cause text,
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT kind_is_known CHECK (kind IN ('payment', 'refund', 'reversal', 'adjustment', 'spend')),
    CONSTRAINT sign_fits_the_kind CHECK (
        CASE kind
            WHEN 'payment' THEN credits >= 0
            WHEN 'refund' THEN credits < 0
            WHEN 'adjustment' THEN credits <> 0
            WHEN 'spend' THEN credits < 0
            ELSE true
        END
    ),
    CONSTRAINT charge_fits_the_kind CHECK (
        CASE WHEN kind IN ('payment', 'refund') THEN charge_id IS NOT NULL WHEN kind <> 'reversal' THEN charge_id IS NULL ELSE true END
    ),
    CONSTRAINT other_has_its_cause CHECK (kind IN ('payment', 'refund') OR cause IS NOT NULL),
    CONSTRAINT only_a_spend_has_its_key CHECK ((kind = 'spend') = (idempotency_key IS NOT NULL)),
    CONSTRAINT spent_once UNIQUE (idempotency_key),
    CONSTRAINT names_the_entry_taken_back CHECK ((kind IN ('refund', 'reversal')) = (reverses IS NOT NULL)),
    CONSTRAINT only_a_payment_follows CHECK (follows IS NULL OR kind = 'payment'),
    CONSTRAINT adjustment_has_its_action CHECK (kind <> 'adjustment' OR action_id IS NOT NULL),
    CONSTRAINT reversal_has_its_author CHECK (kind <> 'reversal' OR (action_id IS NOT NULL) <> is_not_mine),
    CONSTRAINT only_a_reversal_is_not_mine CHECK (kind = 'reversal' OR NOT is_not_mine),
    -- The two foreign keys below need these constraints as their targets, although credit_id alone is already unique.
    CONSTRAINT entry_has_one_user UNIQUE (credit_id, telegram_id),
    CONSTRAINT entry_has_one_charge UNIQUE (credit_id, charge_id),
    CONSTRAINT takes_back_from_the_same_user FOREIGN KEY (reverses, telegram_id) REFERENCES credits (credit_id, telegram_id),
    CONSTRAINT follows_an_entry_of_its_charge FOREIGN KEY (follows, charge_id) REFERENCES credits (credit_id, charge_id)
);
COMMENT ON COLUMN credits.reverses
IS 'The entry that this one takes back. A refund takes back all or part of it, a reversal all that is left of it.';
COMMENT ON COLUMN credits.follows IS 'The reversal after which the charge was credited again. Null for the first credit of a charge.';
COMMENT ON COLUMN credits.action_id
IS 'The operator''s action that caused the entry. Null if a rule, an event from BMC or the user caused it.';
COMMENT ON COLUMN credits.is_not_mine IS 'True if the user pressed Not mine on a guess.';
COMMENT ON COLUMN credits.cause IS 'The reason as text: the purpose of a spending, or the reason of an adjustment or a reversal.';
-- These two indexes ensure that at most one credit of a charge is in force. In the first credit of a charge, the column `follows` is null.
-- The index credited_once allows no second credit with a null there. So each later credit must name a reversal in `follows`,
-- and two credits of a charge cannot name the same reversal. The index reversed_once allows only one reversal of an entry.
CREATE UNIQUE INDEX credited_once ON credits (charge_id, follows) NULLS NOT DISTINCT WHERE kind = 'payment';
CREATE UNIQUE INDEX reversed_once ON credits (reverses) WHERE kind = 'reversal';
CREATE INDEX credits_reverses ON credits (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX credits_charge_id ON credits (charge_id) WHERE charge_id IS NOT NULL;
CREATE INDEX credits_telegram_id ON credits (telegram_id, credit_id);
CREATE INDEX credits_action_id ON credits (action_id) WHERE action_id IS NOT NULL;

-- The credits that are in force, at most one for each charge. A credit is in force until a reversal takes it back. A refund, even a
-- full refund, does not end a credit.
CREATE VIEW standing_credits WITH (security_invoker) AS
SELECT given.credit_id, given.telegram_id, given.charge_id, given.credits
  FROM credits AS given
 WHERE given.kind = 'payment'
   AND NOT EXISTS (SELECT FROM credits AS taken WHERE taken.reverses = given.credit_id AND taken.kind = 'reversal');

-- Returns the credits that are left of an entry after all its refunds and reversals. The query is recursive, because a refund of
-- the entry can itself be reversed by a later entry.
CREATE FUNCTION credits_left(credit_id bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH RECURSIVE entries AS (
        SELECT c.credit_id, c.credits FROM public.credits AS c WHERE c.credit_id = credits_left.credit_id
        UNION ALL
        SELECT c.credit_id, c.credits FROM public.credits AS c JOIN entries ON c.reverses = entries.credit_id
    )
    SELECT sum(entries.credits)::bigint FROM entries
$$;

-- Checks an entry that takes back credits of another entry. The function runs as the owner, because FOR UPDATE requires the
-- UPDATE privilege, which no service has on the ledger.
CREATE FUNCTION check_reversed_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    taken public.credits;
    broken text;
BEGIN
    -- The row lock serializes transactions that take back credits of the same entry. Otherwise two concurrent transactions could
    -- take back more credits in total than were given, because neither would see the new entry of the other.
    SELECT * INTO taken FROM public.credits AS c WHERE c.credit_id = NEW.reverses FOR UPDATE;
    IF taken.charge_id IS DISTINCT FROM NEW.charge_id THEN
        broken := 'takes_back_from_the_same_charge';
    ELSIF NEW.kind = 'refund' AND taken.kind <> 'payment'
        OR NEW.kind = 'reversal' AND taken.kind NOT IN ('payment', 'refund', 'adjustment') THEN
        broken := 'takes_back_a_reversible_kind';
    ELSIF taken.kind = 'refund' AND EXISTS (SELECT FROM public.credits AS c WHERE c.reverses = taken.reverses AND c.kind = 'reversal') THEN
        broken := 'refund_stays_once_its_credit_is_reversed';
    ELSIF NEW.kind = 'reversal' AND NEW.credits <> -public.credits_left(NEW.reverses) THEN
        broken := 'reversal_takes_back_the_whole';
    ELSIF NEW.kind = 'refund' AND public.credits_left(NEW.reverses) + NEW.credits < 0 THEN
        broken := 'refunds_stay_within_the_credit';
    ELSIF NEW.is_not_mine AND NOT EXISTS (
        SELECT FROM public.guesses AS g
         WHERE g.charge_id = NEW.charge_id AND g.telegram_id = NEW.telegram_id AND g.taken_back_at IS NULL
    ) THEN
        broken := 'only_a_guess_is_disowned';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'this entry cannot reverse or refund entry %: it violates %', NEW.reverses, broken
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = broken;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER entry_can_be_taken_back
BEFORE INSERT ON credits
FOR EACH ROW WHEN (NEW.reverses IS NOT NULL)
EXECUTE FUNCTION check_reversed_entry();

CREATE FUNCTION check_followed_entry() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.credits AS taken_back
          JOIN public.credits AS given ON given.credit_id = taken_back.reverses
         WHERE taken_back.credit_id = NEW.follows AND taken_back.kind = 'reversal' AND given.kind = 'payment'
    ) THEN
        RAISE EXCEPTION 'a charge can be credited again only after its credit was reversed'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'credit_follows_a_reversal';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER credit_follows_a_reversal
BEFORE INSERT ON credits
FOR EACH ROW WHEN (NEW.follows IS NOT NULL)
EXECUTE FUNCTION check_followed_entry();

-- Checks that the state of a charge agrees with its credit:
-- matched: the charge has a credit in force for the same user.
-- refunded: the charge has no credit in force, or nothing is left of the credit.
-- unmatched or dismissed: the charge has no credit in force.
-- The two triggers below run at the commit, because a transaction writes the charge and the credit one after the other.
CREATE FUNCTION check_credit_of_charge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    charge public.charges;
    standing public.standing_credits;
    fits boolean;
BEGIN
    SELECT * INTO charge FROM public.charges AS c WHERE c.charge_id = NEW.charge_id;
    SELECT * INTO standing FROM public.standing_credits AS s WHERE s.charge_id = NEW.charge_id;
    fits := CASE charge.state
        WHEN 'matched' THEN standing.telegram_id IS NOT DISTINCT FROM charge.telegram_id
        WHEN 'refunded' THEN standing.credit_id IS NULL OR public.credits_left(standing.credit_id) = 0
        ELSE standing.credit_id IS NULL
    END;
    IF NOT fits THEN
        RAISE EXCEPTION 'charge % is %, but its credit does not agree with that', charge.charge_id, charge.state
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'matched_charge_has_its_credit';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER matched_charge_has_its_credit
AFTER INSERT OR UPDATE OF state, telegram_id ON charges
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION check_credit_of_charge();

CREATE CONSTRAINT TRIGGER credit_has_its_matched_charge
AFTER INSERT ON credits
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.charge_id IS NOT NULL)
EXECUTE FUNCTION check_credit_of_charge();

CREATE TABLE balances (
    telegram_id bigint PRIMARY KEY REFERENCES users,
    balance bigint NOT NULL
);
COMMENT ON TABLE balances
IS 'The sum of each user''s credits, maintained by a trigger. Below zero if credits are taken back after they were spent.';

CREATE FUNCTION refuse_a_changed_ledger() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'credits are never changed or deleted: insert a reversing entry instead'
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_only_grows';
END
$$;

CREATE TRIGGER ledger_only_grows
BEFORE UPDATE OR DELETE OR TRUNCATE ON credits
FOR EACH STATEMENT EXECUTE FUNCTION refuse_a_changed_ledger();

-- Adds new entries to the balances. The function runs as the owner, so that no service needs the privilege to write balances.
-- Rows are updated in the order of telegram_id, so that two concurrent batches lock the rows in the same order and cannot
-- deadlock.
CREATE FUNCTION add_to_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.balances AS held (telegram_id, balance)
    SELECT added.telegram_id, sum(added.credits)
      FROM added
     GROUP BY added.telegram_id
     ORDER BY added.telegram_id
    ON CONFLICT (telegram_id) DO UPDATE SET balance = held.balance + excluded.balance;
    RETURN NULL;
END
$$;

CREATE FUNCTION refuse_a_changed_balance() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'balances are computed from credits: insert a credit instead'
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'balance_follows_from_the_ledger';
END
$$;

-- This trigger refuses direct changes of balances, for which pg_trigger_depth() is 0. It allows the changes that the trigger
-- balance_is_the_sum makes, for which pg_trigger_depth() is 1.
CREATE TRIGGER balance_follows_from_the_ledger
BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON balances
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
EXECUTE FUNCTION refuse_a_changed_balance();

CREATE TRIGGER balance_is_the_sum
AFTER INSERT ON credits
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION add_to_balances();

-- Spends *amount* credits once per key and returns the new balance. Bots in any programming language can call this function.
-- A repeated call with the same key spends nothing, and returns the sum of all entries of the user up to and including the entry
-- of the first call. This sum is nearly always the balance that the first call returned. Another entry of the user makes the sum
-- different if it was committed after the first call had read the balance, but has a lower credit_id than the first call's entry.
-- Raises CL001 if the balance is too low, and CL002 if the key was used for another user or amount.
CREATE FUNCTION spend_credits(telegram_id bigint, amount bigint, reason text, idempotency_key text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
DECLARE
    held bigint;
    spent record;
BEGIN
    IF spend_credits.amount IS NULL OR spend_credits.amount <= 0 THEN
        RAISE EXCEPTION 'amount must be a positive number of credits' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF coalesce(btrim(spend_credits.reason), '') = '' OR coalesce(btrim(spend_credits.idempotency_key), '') = '' THEN
        RAISE EXCEPTION 'reason and idempotency_key must not be empty' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- The row lock serializes spendings of one user, so that two spendings cannot use the same credits.
    SELECT b.balance INTO held FROM public.balances AS b WHERE b.telegram_id = spend_credits.telegram_id FOR UPDATE;

    SELECT c.telegram_id AS spender, -c.credits AS amount, c.credit_id INTO spent
      FROM public.credits AS c
     WHERE c.idempotency_key = spend_credits.idempotency_key;
    IF found THEN
        IF (spent.spender, spent.amount) IS DISTINCT FROM (spend_credits.telegram_id, spend_credits.amount) THEN
            RAISE EXCEPTION 'the idempotency key was used for another spending' USING ERRCODE = 'CL002';
        END IF;
        RETURN (
            SELECT sum(c.credits)
              FROM public.credits AS c
             WHERE c.telegram_id = spent.spender AND c.credit_id <= spent.credit_id
        );
    END IF;

    IF coalesce(held, 0) < spend_credits.amount THEN
        RAISE EXCEPTION 'the balance is too low'
        USING ERRCODE = 'CL001', DETAIL = format('balance %s, requested %s', coalesce(held, 0), spend_credits.amount);
    END IF;

    INSERT INTO public.credits (telegram_id, kind, credits, cause, idempotency_key)
    VALUES (spend_credits.telegram_id, 'spend', -spend_credits.amount, spend_credits.reason, spend_credits.idempotency_key)
    ON CONFLICT (idempotency_key) DO NOTHING;
    IF NOT found THEN
        -- The query above did not find the key, so a concurrent call has used the key since then. That call was for another
        -- user, because a concurrent call for the same user waits for the row lock above.
        RAISE EXCEPTION 'the idempotency key was used for another spending' USING ERRCODE = 'CL002';
    END IF;
    RETURN held - spend_credits.amount;
END
$$;

-- Handing ledger entries to another bot -------------------------------------------------------------------------------

-- Another bot that keeps its own balances registers a handler for new entries. The first registration inserts the only row of this
-- table. Entries from before the first registration are not handed over, because the other bot may already have added their credits
-- to its balances.
CREATE TABLE handover_start (
    is_only boolean PRIMARY KEY DEFAULT true,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT there_is_one_row CHECK (is_only)
);
COMMENT ON COLUMN handover_start.started_at IS 'When a handler was registered first.';

-- The entries for which the handler must still be called. The bot deletes a row after the handler has returned.
CREATE TABLE handovers (
    credit_id bigint PRIMARY KEY,
    telegram_id bigint NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT has_the_user_of_its_entry FOREIGN KEY (credit_id, telegram_id) REFERENCES credits (credit_id, telegram_id)
);

-- Queues each new entry for the handler, in the transaction that inserts the entry. Entries of the kind spend are left out. Only
-- `spend_credits` adds them. They reduce a balance of this database, and must not reduce a balance that the other bot keeps itself.
-- The function runs as the owner, so that the services need no privilege to insert handovers.
-- A table of waiting entries is needed, because Postgres assigns a credit_id before the commit. So an entry may become visible after an
-- entry with a higher id. If only the last handled credit_id were stored, the entry with the lower id would be missed.
CREATE FUNCTION queue_handovers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.handovers (credit_id, telegram_id)
    SELECT added.credit_id, added.telegram_id
      FROM added
     WHERE added.kind <> 'spend' AND EXISTS (SELECT FROM public.handover_start);
    RETURN NULL;
END
$$;

CREATE TRIGGER entry_is_handed_over
AFTER INSERT ON credits
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_handovers();

-- Counts for the metrics ----------------------------------------------------------------------------------------------

-- The numbers of pending payments, charges and entries of the ledger. The janitor exports these numbers every 15 seconds, and counting the
-- rows of the three tables would take longer and longer. So triggers insert a row into `counts` for each change of a number, and the number
-- is the sum of these rows. The triggers run in the transaction that changes the counted rows, so the sums are right in every snapshot of
-- the database. No row of `counts` is ever updated, so no transaction waits for another one. The query merge_counts merges the rows when
-- there are more than 1,000.
CREATE TABLE counts (
    counted text NOT NULL,
    kind text,
    method text,
    currency text,
    number bigint NOT NULL,
    amount numeric NOT NULL DEFAULT 0
);
COMMENT ON COLUMN counts.counted
IS 'The counted rows: pending_payments, charges (only those whose payment was received), credits_given, credits_taken, or overdrawn.';
COMMENT ON COLUMN counts.kind
IS 'The status of the pending payments, the state of the charges, or the kind of the entries. Of overdrawn: refund or balance.';
COMMENT ON COLUMN counts.method IS 'The method by which the charges were matched.';
COMMENT ON COLUMN counts.currency IS 'The currency of the charges.';
COMMENT ON COLUMN counts.number IS 'How many rows were added. Negative if rows were changed, and belong to another number now.';
COMMENT ON COLUMN counts.amount IS 'The sum of the charges'' amounts, or of the entries'' credits without their sign.';

-- The functions of this section run as the owner, so that no service needs a privilege to insert counts.
CREATE FUNCTION count_pending_payments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.counts (counted, kind, number)
        SELECT 'pending_payments', status, count(*) FROM added GROUP BY status;
    ELSE
        INSERT INTO public.counts (counted, kind, number)
        SELECT 'pending_payments', status, sum(sign)
          FROM (SELECT 1 AS sign, status FROM added UNION ALL SELECT -1, status FROM removed) AS changed
         GROUP BY status
        HAVING sum(sign) <> 0;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_payments_are_counted
AFTER INSERT ON pending_payments
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_pending_payments();

CREATE TRIGGER changed_payments_are_counted
AFTER UPDATE ON pending_payments
REFERENCING OLD TABLE AS removed NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_pending_payments();

CREATE FUNCTION count_new_charges() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, method, currency, number, amount)
    SELECT 'charges', state, method, currency, count(*), coalesce(sum(amount), 0)
      FROM added
     WHERE is_paid
     GROUP BY state, method, currency;
    RETURN NULL;
END
$$;

CREATE TRIGGER new_charges_are_counted
AFTER INSERT ON charges
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_new_charges();

CREATE FUNCTION count_changed_charge() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, method, currency, number, amount)
    SELECT 'charges', state, method, currency, sign, sign * coalesce(amount, 0)
      FROM (VALUES
               (-1, OLD.is_paid, OLD.state, OLD.method, OLD.currency, OLD.amount),
               (1, NEW.is_paid, NEW.state, NEW.method, NEW.currency, NEW.amount)
           ) AS changed (sign, is_paid, state, method, currency, amount)
     WHERE is_paid;
    RETURN NULL;
END
$$;

-- This trigger fires for each updated row for which its condition is true. It never fires for a batch of new charges. A trigger
-- FOR EACH STATEMENT would fire for such a batch, because charges are inserted with ON CONFLICT DO UPDATE.
CREATE TRIGGER changed_charge_is_counted
AFTER UPDATE ON charges
FOR EACH ROW
WHEN (
    (OLD.is_paid, OLD.state, OLD.method, OLD.currency, OLD.amount)
    IS DISTINCT FROM (NEW.is_paid, NEW.state, NEW.method, NEW.currency, NEW.amount)
)
EXECUTE FUNCTION count_changed_charge();

CREATE FUNCTION count_credits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, number, amount)
    SELECT CASE WHEN credits < 0 THEN 'credits_taken' ELSE 'credits_given' END, kind, count(*), sum(abs(credits))
      FROM added
     GROUP BY credits < 0, kind;
    RETURN NULL;
END
$$;

CREATE TRIGGER entries_are_counted
AFTER INSERT ON credits
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION count_credits();

-- Counts a refund if the sum of the user's entries up to and including the refund is below zero. The trigger runs at the commit.
-- At that time, the transaction already holds the lock on the user's balance. A later spending waits for this lock before it inserts
-- its entry, so its entry gets a higher credit_id and does not change this sum.
CREATE FUNCTION count_overdrawn_refund() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF (SELECT sum(c.credits) FROM public.credits AS c WHERE c.telegram_id = NEW.telegram_id AND c.credit_id <= NEW.credit_id) < 0 THEN
        INSERT INTO public.counts (counted, kind, number) VALUES ('overdrawn', 'refund', 1);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER overdrawn_refund_is_counted
AFTER INSERT ON credits
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.kind = 'refund')
EXECUTE FUNCTION count_overdrawn_refund();

-- Adds 1 to the number of negative balances when a balance falls below zero. Subtracts 1 when a balance rises to zero or
-- higher.
CREATE FUNCTION count_overdrawn_balance() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    INSERT INTO public.counts (counted, kind, number) VALUES ('overdrawn', 'balance', CASE WHEN NEW.balance < 0 THEN 1 ELSE -1 END);
    RETURN NULL;
END
$$;

CREATE TRIGGER new_overdrawn_balance_is_counted
AFTER INSERT ON balances
FOR EACH ROW WHEN (NEW.balance < 0)
EXECUTE FUNCTION count_overdrawn_balance();

CREATE TRIGGER changed_overdrawn_balance_is_counted
AFTER UPDATE ON balances
FOR EACH ROW WHEN ((OLD.balance < 0) <> (NEW.balance < 0))
EXECUTE FUNCTION count_overdrawn_balance();

-- The differences between the real numbers and the sums in the table `counts`. The view is empty, unless someone deleted counted
-- rows, or changed them while the triggers were disabled. The view counts all rows, so it takes seconds if there are millions of rows.
CREATE VIEW missing_counts AS
SELECT counted, kind, method, currency, sum(number)::bigint AS number, sum(amount) AS amount
  FROM (
           SELECT 'pending_payments' AS counted, status::text AS kind, NULL::text AS method, NULL::text AS currency,
                  count(*) AS number, 0::numeric AS amount
             FROM pending_payments
            GROUP BY status
            UNION ALL
           SELECT 'charges', state, method, currency, count(*), coalesce(sum(amount), 0)
             FROM charges
            WHERE is_paid
            GROUP BY state, method, currency
            UNION ALL
           SELECT CASE WHEN credits < 0 THEN 'credits_taken' ELSE 'credits_given' END, kind, NULL, NULL, count(*), sum(abs(credits))
             FROM credits
            GROUP BY credits < 0, kind
            UNION ALL
           SELECT 'overdrawn', 'refund', NULL, NULL, count(*), 0
             FROM credits AS refunds
            WHERE refunds.kind = 'refund'
              AND (
                      SELECT sum(entries.credits)
                        FROM credits AS entries
                       WHERE entries.telegram_id = refunds.telegram_id AND entries.credit_id <= refunds.credit_id
                  ) < 0
            UNION ALL
           SELECT 'overdrawn', 'balance', NULL, NULL, count(*), 0 FROM balances WHERE balance < 0
            UNION ALL
           SELECT counted, kind, method, currency, -number, -amount FROM counts
       ) AS compared
 GROUP BY counted, kind, method, currency
HAVING sum(number) <> 0 OR sum(amount) <> 0;

-- Notifications ------------------------------------------------------------------------------------------------------

CREATE TABLE notifications (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    telegram_id bigint,
    kind text NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}',
    fact_key text,
    status text NOT NULL DEFAULT 'pending',
    -- Messages are sent in the order of created_at, so its default is the time of the insertion. Do not use now() as this
    -- default: now() is the time at which the transaction began, and a transaction that began earlier may insert its message
    -- later.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    sent_at timestamptz,
    message_id bigint,
    traceparent text,
    failing_since timestamptz,
    is_set_aside boolean NOT NULL DEFAULT false,
    requeued_at timestamptz,
    CONSTRAINT queued_once UNIQUE (fact_key),
    CONSTRAINT status_is_known CHECK (
        status IN ('pending', 'sent', 'unreachable', 'withheld', 'dead', 'addressed', 'folded')
    ),
    CONSTRAINT only_a_tried_message_is_set_aside CHECK (NOT is_set_aside OR (attempts > 0 AND failing_since IS NOT NULL)),
    CONSTRAINT traceparent_is_valid CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
    CONSTRAINT sent_has_its_time CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);
COMMENT ON TABLE notifications IS 'The outbox. The bot that holds the lease named sending sends due messages and marks them as sent.';
COMMENT ON COLUMN notifications.traceparent IS 'The trace of the cause, as a W3C Trace Context traceparent. Null if it was not traced.';
COMMENT ON COLUMN notifications.telegram_id
IS 'Null for a message to all operators. The bot, which knows ADMIN_IDS, inserts one row for each of them.';
COMMENT ON COLUMN notifications.facts IS 'The values for the text, without personal data. The text is built when the message is sent.';
COMMENT ON COLUMN notifications.fact_key
IS 'Names the fact, so that each fact is queued once. Null for a message that may be queued repeatedly.';
-- The values of status:
-- pending: the message has to be sent.
-- sent: Telegram accepted the message.
-- addressed: the message to all operators was replaced by one message to each operator. A reminder that was cancelled before it
-- was sent has this status too.
-- folded: the message to all operators is only counted in their summaries. Either there were too many messages within a minute,
-- or the message is about a payment that looks ordinary (docs/glossary.md).
-- dead: sending was given up, because further attempts would probably fail too.
-- unreachable: the recipient could not be reached, for example because the user has blocked the bot. If the recipient comes back,
-- the newest messages that are still useful are queued again (the query requeue_missed).
-- withheld: the message is not sent, because the user asked to be erased, or because the message is no longer useful.
COMMENT ON COLUMN notifications.status IS 'The state of the delivery. Each value is explained in db/init.sql.';
COMMENT ON COLUMN notifications.failing_since IS 'When sending failed first. Null before that. Decides when the message is set aside.';
COMMENT ON COLUMN notifications.is_set_aside IS 'True if the message failed for so long that newer ones of its chat may be sent first.';
COMMENT ON COLUMN notifications.requeued_at
IS 'When the message was queued again for a user who came back. Its delay is measured from then on.';
-- This index serves the queries find_due_chats and find_next_due, which find the chats with due messages and the time of the next
-- message.
CREATE INDEX notifications_due ON notifications (due_at) WHERE status = 'pending';
-- This index serves the query find_first_notifications, which finds the message to send next in each chat.
CREATE INDEX notifications_queue ON notifications (telegram_id, is_set_aside, created_at, notification_id) WHERE status = 'pending';
-- This index serves the function blocked_chats. It contains only messages that could not be sent at the first attempt.
CREATE INDEX notifications_blocking ON notifications (telegram_id, due_at)
WHERE status = 'pending' AND attempts > 0 AND NOT is_set_aside;
-- This index serves the query count_notifications, which counts dead and waiting messages. The index stays small, because few
-- messages are given up.
CREATE INDEX notifications_dead ON notifications (created_at) WHERE status = 'dead';
-- This index serves the query requeue_missed, which queues messages again when their reader can be reached again.
CREATE INDEX notifications_missed ON notifications (telegram_id) WHERE status = 'unreachable';
CREATE INDEX notifications_telegram_id ON notifications (telegram_id);
-- This index serves the queries address_operators and count_folded, which count the recent messages to all operators.
CREATE INDEX notifications_shared ON notifications (due_at) WHERE telegram_id IS NULL;
-- This index serves the queries address_operators and find_summaries, which look for the summaries of each operator.
CREATE INDEX notifications_summaries ON notifications (telegram_id, notification_id) WHERE kind = 'waiting_summary';

-- Returns the chats in which a failed message waits for its next attempt. Until that attempt, the bot sends no newer message to
-- the chat. A failed message that was set aside does not block its chat.
CREATE FUNCTION blocked_chats(at timestamptz) RETURNS TABLE (telegram_id bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT blocking.telegram_id
      FROM public.notifications AS blocking
     WHERE blocking.status = 'pending'
       AND blocking.attempts > 0
       AND NOT blocking.is_set_aside
       AND blocking.due_at > at
       AND blocking.telegram_id IS NOT NULL;
END;

-- Locks ---------------------------------------------------------------------------------------------------------------

-- These empty tables exist only to be locked. LOCK TABLE requires a privilege on the table. An advisory lock requires no
-- privilege by default. So if the services used an advisory lock, any role, even the role of the dashboards, could hold this
-- lock and stop every payment.
CREATE TABLE settling_turn ();
CREATE TABLE opening_turn ();
CREATE TABLE expiring_turn ();
CREATE TABLE blanking_turn ();
COMMENT ON TABLE settling_turn IS 'Serializes settlements, because matching reads other charges and pending payments.';
COMMENT ON TABLE opening_turn IS 'Serializes the opening of pending payments, because a new code is compared with all earlier codes.';
COMMENT ON TABLE expiring_turn IS 'Held by the janitor that expires pending payments.';
COMMENT ON TABLE blanking_turn IS 'Held by the janitor that blanks personal fields.';

-- A lease allows only one process at a time to do a task. A lease lasts a few seconds, and the holder extends it during the task.
-- If the holder is killed or frozen, the lease expires. A lock of Postgres cannot replace the lease. A table lock ends with its
-- transaction, but the task lasts longer than a transaction. A session lock ends with its connection, but a frozen process may
-- keep the connection open.
CREATE TABLE leases (
    lease text PRIMARY KEY,
    holder uuid NOT NULL,
    ends_at timestamptz NOT NULL
);
COMMENT ON TABLE leases
IS 'The holder of each lease alone does one kind of work: sending, handing_over, writing_receipts and polling (bots), upkeep (janitors).';
COMMENT ON COLUMN leases.holder IS 'A random id that each process generates at its start.';

-- Locks settling_turn until the end of the transaction, and waits for this lock if necessary. After that, the transaction waits
-- at most 500 ms for any other lock. Without this limit, another bot that keeps the row of a balance locked could stop all
-- settlements.
CREATE FUNCTION take_settling_turn() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    LOCK TABLE public.settling_turn IN EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '500ms', true);
END
$$;

-- Locks a table such as 'expiring_turn' until the end of the transaction. Returns false if another transaction holds the lock.
CREATE FUNCTION try_turn(turn text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE format('LOCK TABLE public.%I IN EXCLUSIVE MODE NOWAIT', turn);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Erasing personal data -----------------------------------------------------------------------------------------------

-- Erases the names and texts of a user, and closes their open claim and payments. The data that the ledger is based on stays: the
-- Telegram id, amounts, times, codes and entries. The function runs as the owner, so that no service needs the privileges for
-- these updates.
CREATE FUNCTION erase_user(telegram_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
#variable_conflict use_column
DECLARE
    theirs text [];
    their_charges text [];
    their_events bigint [];
BEGIN
    SELECT coalesce(array_agg(DISTINCT c.supporter_id), '{}') INTO theirs
      FROM public.charges AS c
     WHERE c.telegram_id = erase_user.telegram_id AND c.supporter_id IS NOT NULL;
    SELECT coalesce(array_agg(c.charge_key), '{}') INTO their_charges
      FROM public.charges AS c
     WHERE c.telegram_id = erase_user.telegram_id;
    -- An event that moves no money, such as a cancellation, has no charge. The second half finds such events by their supporter.
    -- With a UNION instead of an OR, each half can use an index. The query must be fast: the caller holds the settling lock,
    -- and payments wait for this lock.
    SELECT coalesce(array_agg(named.event_no), '{}') INTO their_events
      FROM (
          SELECT event_no FROM public.events WHERE charge_key = ANY(their_charges)
          UNION
          SELECT event_no FROM public.events WHERE supporter_id = ANY(theirs)
      ) AS named;

    UPDATE public.events AS e
       SET body = NULL, blanked_at = now()
     WHERE e.event_no = ANY(their_events)
       AND e.body IS NOT NULL
       -- An event that could not be settled may be a payment, and its body is the only record of it. Keep the body until an
       -- operator has dismissed the event.
       AND (e.outcome NOT IN ('failed', 'unreadable') OR e.dismissed_at IS NOT NULL);
    UPDATE public.supporters SET name = NULL, email = NULL WHERE supporter_id = ANY(theirs);
    DELETE FROM public.dialogues AS d WHERE d.telegram_id = erase_user.telegram_id;
    DELETE FROM public.prompts AS p WHERE p.telegram_id = erase_user.telegram_id;
    -- Keep the texts of an unmatched charge, because an operator needs them to decide.
    UPDATE public.charges AS c
       SET note = NULL, payer_name = NULL
     WHERE (c.note IS NOT NULL OR c.payer_name IS NOT NULL)
       AND (
           c.telegram_id = erase_user.telegram_id
           OR c.telegram_id IS NULL AND c.state <> 'unmatched' AND c.supporter_id = ANY(theirs)
       );
    UPDATE public.claims
       SET name = NULL,
           status = CASE status WHEN 'open' THEN 'withdrawn' ELSE status END,
           decided_at = coalesce(decided_at, now())
     WHERE telegram_id = erase_user.telegram_id;
    UPDATE public.pending_payments
       SET status = 'cancelled', ended_at = now()
     WHERE telegram_id = erase_user.telegram_id AND status = 'pending';
    DELETE FROM public.notifications WHERE telegram_id = erase_user.telegram_id;
    UPDATE public.users
       SET username = NULL, language = 'en', language_chosen = false, unreachable_at = now(), erased_at = now()
     WHERE telegram_id = erase_user.telegram_id;
END
$$;

-- Reconciliation -----------------------------------------------------------------------------------------------------

-- The janitor compares BMC's own lists with the table `charges` (docs/reconciliation.md). Each row of this table shows how far the
-- comparison of one list has come.
CREATE TABLE reconciliation_lists (
    list text PRIMARY KEY,
    state text NOT NULL,
    checked_at timestamptz NOT NULL,
    completed_at timestamptz,
    old_page bigint NOT NULL DEFAULT 2,
    rotation_began_at timestamptz,
    covered_at timestamptz,
    differs_in_zone boolean NOT NULL DEFAULT false,
    CONSTRAINT list_is_known CHECK (list IN ('supporters', 'subscriptions', 'extras'))
);
COMMENT ON COLUMN reconciliation_lists.state IS 'The result of the last request: an ApiState of coffee_ledger/bmc_api.py.';
COMMENT ON COLUMN reconciliation_lists.completed_at
IS 'The start of the last pass that read all new rows. Null before the first such pass.';
COMMENT ON COLUMN reconciliation_lists.old_page IS 'The older page that the next pass reads too, to find late refunds.';
COMMENT ON COLUMN reconciliation_lists.rotation_began_at IS 'When the reading of the older pages last began at page 2.';
COMMENT ON COLUMN reconciliation_lists.covered_at
IS 'The start of the last reading that has covered the whole list. A charge that was paid before and is not listed is reported.';
COMMENT ON COLUMN reconciliation_lists.differs_in_zone IS 'True if the times in the list seem to be in another zone than UTC.';

-- The rows of BMC's lists for which no charge is known yet. For most of them, the webhook comes within seconds and settles the payment.
-- Then the row is deleted from this table. If no webhook comes, the janitor settles the payment from the row 15 minutes after
-- first_seen_at.
CREATE TABLE missing_rows (
    row_name text PRIMARY KEY,
    list text NOT NULL,
    amount numeric,
    currency text,
    paid_at timestamptz,
    first_seen_at timestamptz NOT NULL
);
COMMENT ON COLUMN missing_rows.row_name IS 'The list and the number of the row, as in the key of the event that the row becomes.';
COMMENT ON COLUMN missing_rows.paid_at IS 'The time in the row, which has no zone. Null if it cannot be read.';

-- Requests to the janitor to compare BMC's lists with our charges without waiting for the next regular comparison. The janitor
-- answers each request once.
CREATE TABLE reconciliation_requests (
    request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause text NOT NULL,
    claim_id bigint REFERENCES claims,
    requested_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    CONSTRAINT cause_is_known CHECK (cause IN ('operator', 'claim', 'restore')),
    CONSTRAINT only_a_claim_has_its_claim CHECK ((cause = 'claim') = (claim_id IS NOT NULL)),
    CONSTRAINT looked_up_once UNIQUE (claim_id)
);
COMMENT ON COLUMN reconciliation_requests.cause
IS 'An operator sent /reconcile, a user raised a claim, or a backup was restored.';
CREATE INDEX reconciliation_requests_open ON reconciliation_requests (request_id) WHERE answered_at IS NULL;

-- Records which charges were found in BMC's lists, and which charges were reported to operators because no list contains them. A charge
-- that no list contains may be forged with a leaked signing secret.
CREATE TABLE charge_listings (
    charge_id bigint PRIMARY KEY REFERENCES charges,
    listed_at timestamptz,
    reported_at timestamptz,
    CONSTRAINT is_listed_or_reported CHECK (listed_at IS NOT NULL OR reported_at IS NOT NULL)
);
COMMENT ON COLUMN charge_listings.listed_at IS 'When the charge was first found in a list. Null if it was not found.';
COMMENT ON COLUMN charge_listings.reported_at
IS 'When operators were told that the lists do not contain the charge. Null if they were not.';

-- Operation ----------------------------------------------------------------------------------------------------------

-- Each row is a backup that was restored once as a test. An alert fires if there is no recent row. db/backup.sh inserts a row
-- for each of its backups. Another backup tool can insert a row with INSERT INTO backups (size_bytes) VALUES (...).
CREATE TABLE backups (
    backup_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now(),
    size_bytes bigint NOT NULL,
    CONSTRAINT size_is_positive CHECK (size_bytes > 0)
);
COMMENT ON COLUMN backups.taken_at IS 'When the backup was started. Later changes may not be in it.';
CREATE INDEX backups_taken_at ON backups (taken_at);

-- Statistics about SQL statements, for the exporter of metrics. They are in a separate schema, because the exporter must not use
-- any other schema.
CREATE SCHEMA measuring;
DO $$
BEGIN
    CREATE EXTENSION pg_stat_statements SCHEMA measuring;
EXCEPTION WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN
    RAISE WARNING 'statements are not measured: %', SQLERRM;
END
$$;

-- Views for dashboards -----------------------------------------------------------------------------------------------

-- These views contain no notes, names, e-mail addresses, codes or Telegram ids. A role that reads the views needs no privilege
-- on the tables behind the views.
CREATE SCHEMA reporting;

CREATE VIEW reporting.unmatched_charges AS
SELECT c.charge_id, c.family, c.amount, c.currency, c.paid_at, c.is_held,
       (
           SELECT string_agg(DISTINCT lost.reason ->> 'why', ', ')
             FROM jsonb_array_elements(c.reasons) AS lost (reason)
       ) AS why,
       (SELECT count(*) FROM claims AS l WHERE l.status = 'open' AND c.charge_id = ANY(l.candidates)) AS claims
  FROM charges AS c
 WHERE c.state = 'unmatched' AND c.is_paid;
COMMENT ON COLUMN reporting.unmatched_charges.why IS 'One keyword per rule or candidate: why the rules found no user.';
COMMENT ON COLUMN reporting.unmatched_charges.claims IS 'The number of open claims that have this charge as a candidate.';

CREATE VIEW reporting.picks AS
SELECT created_at, amount, currency, status, completed_at
  FROM pending_payments;

CREATE VIEW reporting.charges AS
SELECT c.charge_id, c.family, c.amount, c.currency, c.paid_at, c.state, c.method, c.refunded_at,
       given.credits, given.created_at AS credited_at,
       -- The first query finds the notification about a match by a rule. The second query finds the notification about a match
       -- by an operator: its fact_key ends with the id of the operator's action.
       coalesce(
           (SELECT n.sent_at FROM notifications AS n WHERE n.fact_key = 'credited:' || c.charge_key),
           (
               SELECT max(n.sent_at)
                 FROM operator_actions AS a
                 JOIN notifications AS n ON n.fact_key = 'credited:' || c.charge_key || ':' || a.action_id
                WHERE a.charge_id = c.charge_id
           )
       ) AS told_at
  FROM charges AS c
  LEFT JOIN LATERAL (
           SELECT g.credits, g.created_at
             FROM credits AS g
            WHERE g.charge_id = c.charge_id AND g.kind = 'payment'
            ORDER BY g.credit_id DESC
            LIMIT 1
       ) AS given ON true
 WHERE c.is_paid;
COMMENT ON COLUMN reporting.charges.told_at
IS 'When the user was notified. Null before that, and again after the notification was deleted.';

-- Views for replays ----------------------------------------------------------------------------------------------------

-- A replay matches an old charge again, as if the charge had just arrived. The setting past.at holds the time of that arrival,
-- and the setting past.without holds the key of that charge. Each view shows the table of the same name at the time past.at,
-- without that charge. A replay puts this schema before public in the search path, so that the statements for new charges read
-- these views.
CREATE SCHEMA past;

CREATE FUNCTION past.at() RETURNS timestamptz LANGUAGE sql STABLE RETURN current_setting('past.at')::timestamptz;
CREATE FUNCTION past.without() RETURNS text LANGUAGE sql STABLE RETURN current_setting('past.without');

-- A payment that ended after past.at was still pending at that time, so the second part of the view shows it as pending. The view has
-- two parts instead of a CASE, so that conditions on the status can use the partial indexes of the table.
CREATE VIEW past.pending_payments AS
SELECT * FROM public.pending_payments WHERE status = 'pending' OR coalesce(ended_at, completed_at) < past.at()
UNION ALL
SELECT payment_id, user_id, telegram_id, amount, currency, 'pending'::varchar(20), created_at, completed_at, bmc_data, request_key,
       ended_at, requested_again_at
  FROM public.pending_payments
 WHERE status <> 'pending' AND coalesce(ended_at, completed_at) >= past.at();

-- Returns true if the decision about the charge was made at past.at or later. The decision is a match, a dismissal by an
-- operator, or the refund of an unmatched charge. The view past.charges shows the charge as unmatched in this case.
CREATE FUNCTION past.was_decided_later(given_id bigint, state text, decided_at timestamptz) RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce(decided_at >= past.at(), false)
    OR (state = 'dismissed' AND EXISTS (
           SELECT FROM public.operator_actions AS later
            WHERE later.charge_id = given_id AND later.action = 'dismiss' AND later.created_at >= past.at()
       ));

CREATE VIEW past.charges AS
SELECT charges.*
  FROM public.charges
 WHERE charges.recorded_at < past.at() AND charges.charge_key <> past.without()
   AND NOT past.was_decided_later(charges.charge_id, charges.state, coalesce(charges.matched_at, charges.refunded_at))
UNION ALL
SELECT charge_id, source, charge_key, family, bmc_id, transaction_id, psp_id, period_start, supporter_id, amount, currency, note, item,
       item_name, payer_name, paid_at, 'unmatched', NULL, reasons, NULL::varchar(100), NULL, NULL, is_paid, is_held, doubt, told,
       conflicts_with, NULL, recorded_at, NULL, NULL, refunded_amount, channel
  FROM public.charges
 WHERE charges.recorded_at < past.at() AND charges.charge_key <> past.without()
   AND past.was_decided_later(charges.charge_id, charges.state, coalesce(charges.matched_at, charges.refunded_at));

CREATE VIEW past.guesses AS
SELECT guesses.charge_id, guesses.telegram_id, guesses.guessed_at,
       CASE WHEN guesses.taken_back_at < past.at() THEN guesses.taken_back_at END AS taken_back_at
  FROM public.guesses
  JOIN public.charges USING (charge_id)
 WHERE guesses.guessed_at < past.at() AND charges.charge_key <> past.without();

CREATE VIEW past.credits AS
SELECT * FROM public.credits WHERE created_at < past.at();

CREATE VIEW past.outsiders AS
SELECT outsider_id, kind, name, remembered_at, NULL::timestamptz AS ended_at
  FROM public.outsiders
 WHERE remembered_at < past.at() AND (ended_at IS NULL OR ended_at >= past.at());

-- This view is always empty. If it showed the stored events, the replay would find the replayed event among them and treat the
-- event as a duplicate.
CREATE VIEW past.events AS
SELECT * FROM public.events WHERE false;

-- Roles and privileges ------------------------------------------------------------------------------------------------

-- Each service has its own role, with only the privileges that the service needs. db/roles.sql creates the roles.

REVOKE ALL ON SCHEMA public FROM public;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public, past FROM public;

-- A REVOKE or GRANT statement for ALL objects of a schema applies only to objects that exist when the statement runs. The four
-- statements below set the privileges on objects that a later migration adds. The first of them has no IN SCHEMA: with
-- IN SCHEMA, it could not revoke the EXECUTE privilege that every role has by default.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM public;
ALTER DEFAULT PRIVILEGES IN SCHEMA past GRANT SELECT ON TABLES TO bot;
ALTER DEFAULT PRIVILEGES IN SCHEMA past GRANT EXECUTE ON FUNCTIONS TO bot;
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO grafana_reader;

GRANT USAGE ON SCHEMA public TO webhook, bot, janitor, spender;
GRANT EXECUTE ON FUNCTION schema_version(), oldest_service() TO webhook, bot, janitor;

-- LOCK TABLE in EXCLUSIVE mode requires the UPDATE privilege. Granting it is harmless, because these tables have no rows.
GRANT UPDATE ON settling_turn TO webhook, bot, janitor;
GRANT UPDATE ON opening_turn TO bot;
GRANT UPDATE ON expiring_turn, blanking_turn TO janitor;
GRANT EXECUTE ON FUNCTION take_settling_turn() TO webhook, bot, janitor;
GRANT EXECUTE ON FUNCTION try_turn(text) TO janitor;

-- The webhook settles new events. The janitor settles events again and matches waiting charges again. So both services need the
-- same privileges. The bot needs some of them too, because it settles the decisions of operators.
GRANT SELECT ON users, balances, credits TO webhook, janitor;
GRANT SELECT, INSERT, UPDATE ON supporters TO webhook, janitor;
GRANT SELECT, UPDATE (status, completed_at, ended_at, bmc_data) ON pending_payments TO webhook, janitor;
GRANT SELECT, INSERT ON charges TO webhook, janitor, bot;
-- This statement leaves out the columns charge_id, charge_key, source, family, period_start, conflicts_with, recorded_at and
-- channel, because their values never change.
GRANT UPDATE (
    bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, item, item_name, payer_name, paid_at, state, method, reasons,
    payment_id, telegram_id, flag, is_paid, is_held, doubt, told, dismissed_by, matched_at, refunded_at, refunded_amount
) ON charges TO webhook, janitor, bot;
GRANT SELECT, UPDATE (ended_at) ON outsiders TO webhook, janitor, bot;
GRANT SELECT, INSERT ON guesses TO webhook, janitor;
GRANT INSERT ON credits, notifications TO webhook, janitor;
GRANT EXECUTE ON FUNCTION credits_left(bigint) TO webhook, janitor, bot;
-- INSERT with ON CONFLICT (fact_key) requires the SELECT privilege on the column fact_key.
GRANT SELECT (fact_key) ON notifications TO webhook, janitor;
GRANT SELECT, INSERT ON events TO webhook;
GRANT SELECT, INSERT, UPDATE ON signature_failures TO webhook;
GRANT SELECT, UPDATE (accepted_at, refused, refused_at) ON webhook_answers TO webhook;

-- The janitor blanks and deletes old data, exports metrics, and compares the charges with BMC's lists.
GRANT SELECT, UPDATE (body, blanked_at, outcome, charge_key, retry_requested_at) ON events TO janitor;
GRANT SELECT, DELETE ON notifications TO janitor;
GRANT SELECT, UPDATE (name, status, decided_at, charge_id) ON claims TO janitor;
GRANT SELECT, DELETE ON signature_failures TO janitor;
GRANT SELECT, DELETE ON dialogues TO janitor;
GRANT SELECT, DELETE ON dismissal_offers TO janitor;
GRANT SELECT ON backups, handovers TO janitor;
GRANT SELECT, INSERT, DELETE ON counts TO janitor;
GRANT SELECT ON missing_counts TO janitor;
GRANT INSERT ON events TO janitor;
GRANT SELECT, INSERT, UPDATE ON reconciliation_lists TO janitor;
GRANT SELECT, INSERT, DELETE ON missing_rows TO janitor;
GRANT SELECT, UPDATE (answered_at) ON reconciliation_requests TO janitor;
GRANT SELECT, INSERT, UPDATE (listed_at, reported_at) ON charge_listings TO janitor;

-- The bot needs these privileges for the conversation, the notifications, the decisions of operators and the dry run, which uses the
-- schema past. The janitor takes leases too, so it gets the same privileges as the bot on the table leases.
GRANT SELECT, INSERT, UPDATE (holder, ends_at) ON leases TO bot, janitor;
GRANT EXECUTE ON FUNCTION blocked_chats(timestamptz) TO bot;
GRANT SELECT, INSERT, UPDATE ON users TO bot;
GRANT SELECT, INSERT, UPDATE (status, completed_at, ended_at, bmc_data, requested_again_at) ON pending_payments TO bot;
GRANT SELECT, INSERT, UPDATE ON notifications, claims TO bot;
GRANT SELECT, INSERT, UPDATE, DELETE ON dialogues TO bot;
GRANT SELECT, INSERT, UPDATE (asked_at), DELETE ON prompts TO bot;
GRANT EXECUTE ON FUNCTION as_searched(text) TO bot;
GRANT SELECT, INSERT, DELETE ON payment_messages TO bot;
GRANT SELECT, INSERT ON handover_start TO bot;
GRANT SELECT, DELETE ON handovers TO bot;
GRANT SELECT, INSERT ON credits, operator_actions TO bot;
GRANT SELECT, INSERT, UPDATE (taken_at) ON dismissal_offers TO bot;
GRANT SELECT ON standing_credits TO bot;
GRANT INSERT ON outsiders TO bot;
GRANT SELECT, UPDATE (taken_back_at) ON guesses TO bot;
GRANT SELECT ON balances, supporters, events, signature_failures, webhook_answers, backups TO bot;
GRANT UPDATE (retry_requested_at, dismissed_at) ON events TO bot;
GRANT EXECUTE ON FUNCTION erase_user(bigint) TO bot;
GRANT SELECT ON reconciliation_lists, missing_rows, charge_listings TO bot;
GRANT SELECT, INSERT ON reconciliation_requests TO bot;
GRANT USAGE ON SCHEMA past TO bot;
GRANT SELECT ON ALL TABLES IN SCHEMA past TO bot;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA past TO bot;

-- These policies limit the kinds of entries that each service may insert. No service may insert entries of the kind spend. Only
-- the function spend_credits inserts such entries. It runs as the owner of the table, and the policies do not apply to the
-- owner.
ALTER TABLE credits ENABLE ROW LEVEL SECURITY;
CREATE POLICY services_read_all_credits ON credits FOR SELECT TO webhook, janitor, bot USING (true);
CREATE POLICY settling_credits_and_refunds ON credits FOR INSERT TO webhook, janitor
WITH CHECK (kind IN ('payment', 'refund') AND follows IS NULL AND action_id IS NULL);
CREATE POLICY bot_adds_all_but_spend ON credits FOR INSERT TO bot WITH CHECK (kind IN ('payment', 'refund', 'reversal', 'adjustment'));

-- The exporter of metrics connects as watcher. It reads statistics of the server and cannot read any table of the product.
GRANT USAGE ON SCHEMA measuring TO watcher;

-- The dashboards can read only the views of the schema reporting.
GRANT USAGE ON SCHEMA reporting TO grafana_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO grafana_reader;

GRANT SELECT ON balances TO spender;
GRANT EXECUTE ON FUNCTION spend_credits(bigint, bigint, text, text) TO spender, bot;
