-- The schema as it is now, to be read from top to bottom: people, money, what is owed to them, who may do what.
-- It runs once, on an empty database. Rules that must always hold stand here as constraints named for the rule,
-- so that no code path, race or operator at a prompt can break them.

-- The services use no database whose number is another than theirs. It goes up by one with every change of what follows.
CREATE FUNCTION schema_version() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 4;

-- People -------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    telegram_id bigint PRIMARY KEY,
    language text NOT NULL DEFAULT 'en',
    username text,
    created_at timestamptz NOT NULL DEFAULT now(),
    unreachable_at timestamptz,
    language_chosen boolean NOT NULL DEFAULT false,
    erased_at timestamptz,
    CONSTRAINT language_is_spoken_here CHECK (language IN ('uk', 'en'))
);
COMMENT ON COLUMN users.language_chosen IS 'True: chosen in the bot, so that what Telegram says no longer changes it.';
COMMENT ON COLUMN users.erased_at IS 'When the user asked to be forgotten: nothing is sent until they write again. Null otherwise.';
COMMENT ON COLUMN users.unreachable_at IS 'Since when the user has blocked the bot or left Telegram; null while messages arrive.';

CREATE INDEX users_erased ON users (telegram_id) WHERE erased_at IS NOT NULL;
CREATE INDEX users_username ON users (lower(username)) WHERE username IS NOT NULL;

-- Who paid on Buy Me a Coffee. Which user that is follows from the charges, so it is not kept a second time here.
CREATE TABLE supporters (
    supporter_id text PRIMARY KEY,
    name text,
    email text,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX supporters_last_seen ON supporters (last_seen_at) WHERE name IS NOT NULL OR email IS NOT NULL;

-- Deliveries that none of the signing secrets fits: a counter, and all that an unsigned request changes.
CREATE TABLE signature_failures (
    minute timestamptz PRIMARY KEY,
    failures bigint NOT NULL
);

-- How Buy Me a Coffee fares with us, whichever replica answered: one row. It switches the webhook off after more than ten
-- failures in a row, so they are counted across replicas and restarts.
CREATE TABLE webhook_answers (
    is_only boolean PRIMARY KEY DEFAULT true,
    accepted_at timestamptz NOT NULL DEFAULT '-infinity',
    refused integer NOT NULL DEFAULT 0,
    refused_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT there_is_one_row CHECK (is_only),
    CONSTRAINT refused_is_a_count CHECK (refused >= 0)
);
COMMENT ON COLUMN webhook_answers.accepted_at IS 'When a delivery was last answered with 200.';
COMMENT ON COLUMN webhook_answers.refused IS 'How many were refused since then, none of them long after the one before.';
COMMENT ON COLUMN webhook_answers.refused_at IS 'When one was last refused.';
INSERT INTO webhook_answers DEFAULT VALUES;

-- Money: intended, announced, moved, credited ------------------------------------------------------------------------

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
    -- For charges: one answers only a payment of its own user.
    CONSTRAINT payment_has_one_user UNIQUE (payment_id, telegram_id)
);
COMMENT ON COLUMN pending_payments.requested_again_at IS 'Later requests for the same amount, which showed this payment; the newest last.';
COMMENT ON COLUMN pending_payments.user_id IS 'The telegram_id again: the name that Web Apps use for it.';
COMMENT ON COLUMN pending_payments.bmc_data IS 'What completed the payment: charge key, event, amount and currency. Nothing personal.';
COMMENT ON COLUMN pending_payments.request_key IS 'The Telegram message that asked for it: a repeated update finds its payment.';
CREATE INDEX pending_payments_telegram_id ON pending_payments (telegram_id);
CREATE INDEX pending_payments_status ON pending_payments (status);
CREATE INDEX pending_payments_created_at ON pending_payments (created_at);
CREATE INDEX pending_payments_open ON pending_payments (amount, currency, created_at) WHERE status = 'pending';
CREATE INDEX pending_payments_ended ON pending_payments (amount, currency, ended_at) WHERE status <> 'pending';

CREATE FUNCTION refuse_a_second_end() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % ended as %', OLD.payment_id, OLD.status
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'pending_payment_ends_once';
END
$$;

CREATE TRIGGER pending_payment_ends_once
BEFORE UPDATE OF status ON pending_payments
FOR EACH ROW WHEN (OLD.status <> 'pending' AND NEW.status IS DISTINCT FROM OLD.status)
EXECUTE FUNCTION refuse_a_second_end();

-- The inbox: every signed event, as it came.
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
    settle_again_at timestamptz,
    put_aside_at timestamptz,
    source text NOT NULL DEFAULT 'bmc',
    supporter_id text,
    CONSTRAINT delivered_once UNIQUE (delivery_key, source),
    CONSTRAINT body_stays_until_blanked CHECK ((body IS NULL) = (blanked_at IS NOT NULL)),
    CONSTRAINT outcome_is_known CHECK (outcome IN (
        'credited', 'unmatched', 'refunded', 'recorded', 'duplicate', 'test', 'unknown', 'unreadable', 'legacy',
        'failed'
    ))
);
COMMENT ON COLUMN events.body IS 'The raw bytes, whatever they are; null once the retention time is over.';
COMMENT ON COLUMN events.verified_by IS 'Which of the signing secrets fitted, as they stand in the setting: 1 is the first.';
COMMENT ON COLUMN events.settle_again_at IS 'When an operator wanted it settled again; null: nobody does, or it is done.';
COMMENT ON COLUMN events.put_aside_at IS 'When an operator said that there is nothing more to do about it: it is never settled again.';
CREATE INDEX events_received_at ON events (received_at);
COMMENT ON COLUMN events.supporter_id IS 'The payer''s number at BMC, also in events that move no money; erase_user() finds them by it.';
CREATE INDEX events_charge_key ON events (charge_key);
CREATE INDEX events_supporter_id ON events (supporter_id) WHERE supporter_id IS NOT NULL;
CREATE INDEX events_unblanked ON events (received_at) WHERE body IS NOT NULL;
-- Those that changed nothing; few.
CREATE INDEX events_kept ON events (event_no) WHERE outcome IN ('failed', 'unreadable') AND body IS NOT NULL;

-- Supporters, subscriptions and items of which an operator said: not one of our users. Their payments are dismissed without a card.
CREATE TABLE outsiders (
    outsider_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    name text NOT NULL,
    remembered_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT kind_is_known CHECK (kind IN ('supporter', 'subscription', 'item'))
);
COMMENT ON COLUMN outsiders.name IS 'supporter_id, the name of a subscription, or the item as in charges.item.';
COMMENT ON COLUMN outsiders.ended_at IS 'When a valid code or an operator ended the memory; null while it lasts.';
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
    CONSTRAINT refunded_part_is_smaller CHECK (refunded_amount > 0 AND refunded_amount < amount)
);
COMMENT ON COLUMN charges.charge_key IS 'Names the charge for good, as its first event did; later events find it by what follows.';
COMMENT ON COLUMN charges.source IS 'Where the money came in; part of the identity.';
COMMENT ON COLUMN charges.period_start IS 'Start of the period that a charge of a subscription pays; null otherwise, or if it is missing.';
COMMENT ON COLUMN charges.note IS 'The supporter''s own words, codes are read from them; null once the retention time is over.';
COMMENT ON COLUMN charges.payer_name IS 'The name of a payer without a supporter id; null otherwise, and once the retention time is over.';
COMMENT ON COLUMN charges.item IS 'The membership level or Shop item that was bought, such as level:5 or extra:12.';
COMMENT ON COLUMN charges.is_paid IS 'False while only its refund has come.';
COMMENT ON COLUMN charges.is_held IS 'An operator took its match back: no rule matches it again, only a person.';
COMMENT ON COLUMN charges.doubt IS 'Why only a person may match it, a Doubt of coffee_ledger/model.py; null: nothing speaks against it.';
COMMENT ON COLUMN charges.told IS 'What the event said in the doubtful field; nothing personal.';
COMMENT ON COLUMN charges.conflicts_with IS 'The charge with the same transaction id but another number: one may be a mistake.';
COMMENT ON COLUMN charges.dismissed_by IS 'The remembered outsider by which it was dismissed; null: by an operator, or not at all.';
COMMENT ON COLUMN charges.reasons IS 'Which rules were asked, and why each candidate lost. For people: no decision reads it.';
COMMENT ON COLUMN charges.flag IS 'What is unusual although the user was credited: second_charge, late.';
COMMENT ON COLUMN charges.refunded_amount IS 'How much went back, where an operator said that it was only a part.';
-- One charge is recorded once, by whichever of these it is identified. Doubtful charges may lack what identifies them.
CREATE UNIQUE INDEX one_charge_per_transaction ON charges (source, transaction_id) WHERE conflicts_with IS NULL;
CREATE UNIQUE INDEX one_charge_per_number ON charges (source, family, bmc_id)
WHERE transaction_id IS NULL AND period_start IS NULL AND doubt IS NULL;
CREATE UNIQUE INDEX one_charge_per_period ON charges (source, psp_id, period_start);
CREATE UNIQUE INDEX one_charge_per_numbered_period ON charges (source, family, bmc_id, period_start) WHERE psp_id IS NULL;
CREATE INDEX charges_bmc_id ON charges (family, bmc_id);
CREATE INDEX charges_supporter_id ON charges (supporter_id) WHERE supporter_id IS NOT NULL;
CREATE INDEX charges_psp_id ON charges (psp_id) WHERE psp_id IS NOT NULL;
CREATE INDEX charges_payment_id ON charges (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX charges_telegram_id ON charges (telegram_id) WHERE telegram_id IS NOT NULL;
CREATE INDEX charges_paid_at ON charges (paid_at);
CREATE INDEX charges_unmatched ON charges (amount, currency, paid_at) WHERE state = 'unmatched';
CREATE INDEX charges_with_note ON charges (recorded_at) WHERE note IS NOT NULL OR payer_name IS NOT NULL;

-- Charges that were credited by amount and time, and whether that was a mistake. Limits how often it happens to one user.
CREATE TABLE guesses (
    charge_id bigint PRIMARY KEY REFERENCES charges,
    telegram_id bigint NOT NULL REFERENCES users,
    guessed_at timestamptz NOT NULL,
    taken_back_at timestamptz
);
COMMENT ON COLUMN guesses.taken_back_at IS 'When the user said that it is not theirs, or an operator took it back; null: it stands.';
CREATE INDEX guesses_telegram_id ON guesses (telegram_id, guessed_at);
-- The desk's list, the newest first.
CREATE INDEX guesses_guessed_at ON guesses (guessed_at);

-- "I paid but nothing came": what a user says of a payment, for an operator to compare with the charges that wait.
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
COMMENT ON COLUMN claims.name IS 'In which name they say they paid; null when not told, and once the retention time is over.';
COMMENT ON COLUMN claims.candidates IS 'Charges that may have been the one when it was raised, the likeliest first. For operators only.';
COMMENT ON COLUMN claims.decided_by IS 'The operator; null when the user withdrew it or a rule matched the charge.';
CREATE UNIQUE INDEX one_open_claim_per_user ON claims (telegram_id) WHERE status = 'open';
CREATE INDEX claims_telegram_id ON claims (telegram_id, created_at);
CREATE INDEX claims_with_name ON claims (created_at) WHERE name IS NOT NULL;

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
COMMENT ON TABLE operator_actions IS 'Who decided what, when and why.';
COMMENT ON COLUMN operator_actions.action IS 'As coffee_ledger/store/desk.py names it, or in the words of an operator at a prompt.';
COMMENT ON COLUMN operator_actions.outsider_id IS 'Whom it had us remember as not one of our users, or forget as one.';
COMMENT ON COLUMN operator_actions.telegram_id IS 'The user whom it was about, if it was about one.';
COMMENT ON COLUMN operator_actions.request_key IS 'The press or message that ordered it: a repeated update does nothing.';
CREATE INDEX operator_actions_charge_id ON operator_actions (charge_id) WHERE charge_id IS NOT NULL;
CREATE INDEX operator_actions_event_no ON operator_actions (event_no) WHERE event_no IS NOT NULL;

-- The ledger ----------------------------------------------------------------------------------------------------------

-- It only grows: a mistake is reversed by a new entry.
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
    CONSTRAINT names_what_it_takes_back CHECK ((kind IN ('refund', 'reversal')) = (reverses IS NOT NULL)),
    CONSTRAINT only_a_payment_follows CHECK (follows IS NULL OR kind = 'payment'),
    CONSTRAINT adjustment_has_its_action CHECK (kind <> 'adjustment' OR action_id IS NOT NULL),
    CONSTRAINT reversal_has_its_author CHECK (kind <> 'reversal' OR (action_id IS NOT NULL) <> is_not_mine),
    CONSTRAINT only_a_reversal_is_not_mine CHECK (kind = 'reversal' OR NOT is_not_mine),
    -- For the two that follow.
    CONSTRAINT entry_has_one_user UNIQUE (credit_id, telegram_id),
    CONSTRAINT entry_has_one_charge UNIQUE (credit_id, charge_id),
    CONSTRAINT takes_back_from_the_same_user FOREIGN KEY (reverses, telegram_id) REFERENCES credits (credit_id, telegram_id),
    CONSTRAINT follows_an_entry_of_its_charge FOREIGN KEY (follows, charge_id) REFERENCES credits (credit_id, charge_id)
);
COMMENT ON COLUMN credits.reverses IS 'The entry taken back: by a refund in part or whole, by a reversal all that is left of it.';
COMMENT ON COLUMN credits.follows IS 'The reversal after which the charge was credited again; null: this is its first credit.';
COMMENT ON COLUMN credits.action_id IS 'The operator''s action that caused it; null: a rule, BMC, or the user.';
COMMENT ON COLUMN credits.is_not_mine IS 'The user said of a guess: not mine.';
COMMENT ON COLUMN credits.cause IS 'Why, in words: what the credits were spent on, or the reason of an adjustment or a reversal.';
-- Each credit of a charge but the first follows another reversal, and each is reversed once: so at most one is in force.
CREATE UNIQUE INDEX credited_once ON credits (charge_id, follows) NULLS NOT DISTINCT WHERE kind = 'payment';
CREATE UNIQUE INDEX reversed_once ON credits (reverses) WHERE kind = 'reversal';
CREATE INDEX credits_reverses ON credits (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX credits_charge_id ON credits (charge_id) WHERE charge_id IS NOT NULL;
CREATE INDEX credits_telegram_id ON credits (telegram_id, credit_id);
CREATE INDEX credits_action_id ON credits (action_id) WHERE action_id IS NOT NULL;

-- A charge's credit that is in force: at most one for each charge, whatever of it was refunded.
CREATE VIEW standing_credits WITH (security_invoker) AS
SELECT given.credit_id, given.telegram_id, given.charge_id, given.credits
  FROM credits AS given
 WHERE given.kind = 'payment'
   AND NOT EXISTS (SELECT FROM credits AS taken WHERE taken.reverses = given.credit_id AND taken.kind = 'reversal');

-- The credits that are left of an entry after all refunds and reversals.
CREATE FUNCTION credits_left(credit_id bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH RECURSIVE entries AS (
        SELECT c.credit_id, c.credits FROM public.credits AS c WHERE c.credit_id = credits_left.credit_id
        UNION ALL
        SELECT c.credit_id, c.credits FROM public.credits AS c JOIN entries ON c.reverses = entries.credit_id
    )
    SELECT sum(entries.credits)::bigint FROM entries
$$;

-- Runs as the owner, because locking an entry needs a right that no service has.
CREATE FUNCTION check_what_is_taken_back() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    taken public.credits;
    broken text;
BEGIN
    -- The lock makes two that take back from one entry go one after the other.
    SELECT * INTO taken FROM public.credits AS c WHERE c.credit_id = NEW.reverses FOR UPDATE;
    IF taken.charge_id IS DISTINCT FROM NEW.charge_id THEN
        broken := 'takes_back_from_the_same_charge';
    ELSIF NEW.kind = 'refund' AND taken.kind <> 'payment'
        OR NEW.kind = 'reversal' AND taken.kind NOT IN ('payment', 'refund', 'adjustment') THEN
        broken := 'takes_back_what_can_be_taken_back';
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
        RAISE EXCEPTION 'entry % cannot be taken back by this one: %', NEW.reverses, broken
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = broken;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER what_is_taken_back_is_left
BEFORE INSERT ON credits
FOR EACH ROW WHEN (NEW.reverses IS NOT NULL)
EXECUTE FUNCTION check_what_is_taken_back();

CREATE FUNCTION check_what_is_followed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.credits AS taken_back
          JOIN public.credits AS given ON given.credit_id = taken_back.reverses
         WHERE taken_back.credit_id = NEW.follows AND taken_back.kind = 'reversal' AND given.kind = 'payment'
    ) THEN
        RAISE EXCEPTION 'a charge is credited again only after its credit was reversed'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'credit_follows_a_reversal';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER credit_follows_a_reversal
BEFORE INSERT ON credits
FOR EACH ROW WHEN (NEW.follows IS NOT NULL)
EXECUTE FUNCTION check_what_is_followed();

-- A matched charge has its credit, of the same user; any other charge has none in force, and a refunded one nothing left of it.
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
        RAISE EXCEPTION 'charge % is %, and its credit does not fit', charge.charge_id, charge.state
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
COMMENT ON TABLE balances IS 'The sum of each user''s credits, kept by a trigger; below zero only after a refund of spent credits.';

CREATE FUNCTION refuse_a_changed_ledger() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'credits are never changed or deleted: add a reversing entry'
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_only_grows';
END
$$;

CREATE TRIGGER ledger_only_grows
BEFORE UPDATE OR DELETE OR TRUNCATE ON credits
FOR EACH STATEMENT EXECUTE FUNCTION refuse_a_changed_ledger();

-- Runs as the owner, so that no service needs the right to write balances. Ordered, so that two batches cannot deadlock.
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
    RAISE EXCEPTION 'balances follow from credits: add an entry'
    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'balance_follows_from_the_ledger';
END
$$;

-- Within another trigger, which is the next one, they may change.
CREATE TRIGGER balance_follows_from_the_ledger
BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON balances
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
EXECUTE FUNCTION refuse_a_changed_balance();

CREATE TRIGGER balance_is_the_sum
AFTER INSERT ON credits
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION add_to_balances();

-- How a bot in any language uses the credits: spends *amount* of them once per key and returns the new balance.
-- A repeat with the same key spends nothing and answers as the first did: the sum of the entries up to that spending. If a payment
-- waited for the balance while the first spending was under way, the repeat may count it although the first did not.
-- Raises CL001 when the balance does not suffice, CL002 when the key stands for another user or amount.
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

    -- The row lock makes spenders of one user take turns; what the second reads is what the first left.
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
        RAISE EXCEPTION 'the balance does not suffice'
        USING ERRCODE = 'CL001', DETAIL = format('balance %s, wanted %s', coalesce(held, 0), spend_credits.amount);
    END IF;

    INSERT INTO public.credits (telegram_id, kind, credits, cause, idempotency_key)
    VALUES (spend_credits.telegram_id, 'spend', -spend_credits.amount, spend_credits.reason, spend_credits.idempotency_key)
    ON CONFLICT (idempotency_key) DO NOTHING;
    IF NOT found THEN
        -- Used in this very moment, and by another user: one's own would have waited above.
        RAISE EXCEPTION 'the idempotency key was used for another spending' USING ERRCODE = 'CL002';
    END IF;
    RETURN held - spend_credits.amount;
END
$$;

-- What is owed to people -----------------------------------------------------------------------------------------------

CREATE TABLE notifications (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    telegram_id bigint,
    kind text NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}',
    fact_key text,
    status text NOT NULL DEFAULT 'pending',
    -- The time of the insertion, not of the transaction's begin: it is the order in which things happened.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    sent_at timestamptz,
    message_id bigint,
    traceparent text,
    failing_since timestamptz,
    is_set_aside boolean NOT NULL DEFAULT false,
    requeued_at timestamptz,
    CONSTRAINT told_once UNIQUE (fact_key),
    CONSTRAINT status_is_known CHECK (
        status IN ('pending', 'sent', 'unreachable', 'withheld', 'dead', 'addressed', 'folded')
    ),
    CONSTRAINT only_a_tried_message_is_set_aside CHECK (NOT is_set_aside OR (attempts > 0 AND failing_since IS NOT NULL)),
    CONSTRAINT traceparent_is_one CHECK (traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
    CONSTRAINT sent_has_its_time CHECK ((status = 'sent') = (sent_at IS NOT NULL))
);
COMMENT ON TABLE notifications IS 'The outbox. The holder of the lease sending sends what is due, and marks it.';
COMMENT ON COLUMN notifications.traceparent IS 'The trace of what it comes of, as W3C Trace Context writes it; null: not traced.';
COMMENT ON COLUMN notifications.telegram_id IS 'Null: owed to the operators; the bot, which knows them, makes it one row each.';
COMMENT ON COLUMN notifications.facts IS 'What the text needs; nothing personal, the text itself is made when it is sent.';
COMMENT ON COLUMN notifications.fact_key IS 'Names the fact: one fact is told once.';
-- pending: to be sent. addressed: replaced by one row for each operator. folded: one of too many at once, and only counted in the
-- operators' summary. dead: given up. unreachable: the reader was away;
-- queued again when they come back, if it still matters. withheld: not told on purpose, because they asked to be forgotten or it
-- no longer mattered.
COMMENT ON COLUMN notifications.status IS 'How far it came; unreachable is queued again if the reader comes back.';
COMMENT ON COLUMN notifications.failing_since IS 'When sending it failed first; null before. Decides when it is set aside.';
COMMENT ON COLUMN notifications.is_set_aside IS 'True: it failed for long, so newer messages may pass. Each claim ends this.';
COMMENT ON COLUMN notifications.requeued_at IS 'When it was queued again for a reader who came back. Delays count from here.';
-- Serves find_due_chats and find_next_due.
CREATE INDEX notifications_due ON notifications (due_at) WHERE status = 'pending';
-- Serves find_first_notifications.
CREATE INDEX notifications_queue ON notifications (telegram_id, is_set_aside, created_at, notification_id) WHERE status = 'pending';
-- Serves blocked_chats. Holds only messages that were tried.
CREATE INDEX notifications_blocking ON notifications (telegram_id, due_at)
WHERE status = 'pending' AND attempts > 0 AND NOT is_set_aside;
-- Serves requeue_missed.
CREATE INDEX notifications_missed ON notifications (telegram_id) WHERE status = 'unreachable';
CREATE INDEX notifications_telegram_id ON notifications (telegram_id);
-- Serves address_operators and count_folded.
CREATE INDEX notifications_shared ON notifications (due_at) WHERE telegram_id IS NULL;
-- Serves address_operators and find_summaries.
CREATE INDEX notifications_summaries ON notifications (telegram_id, notification_id) WHERE kind = 'waiting_summary';

-- Chats in which a message that failed is to be tried again, so that no newer one may be sent before it.
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

-- Turns -----------------------------------------------------------------------------------------------------------------

-- Tables without rows that exist to be locked. LOCK TABLE needs a privilege on the table; an advisory lock needs none, so
-- anybody who reads a dashboard could hold it and stop every payment.
CREATE TABLE settling_turn ();
CREATE TABLE opening_turn ();
CREATE TABLE expiring_turn ();
CREATE TABLE blanking_turn ();
COMMENT ON TABLE settling_turn IS 'One settlement at a time: matching reads what other charges and pending payments there are.';
COMMENT ON TABLE opening_turn IS 'One pending payment is opened at a time: a new code is compared with all earlier ones.';
COMMENT ON TABLE expiring_turn IS 'One janitor at a time expires pending payments.';
COMMENT ON TABLE blanking_turn IS 'One janitor at a time blanks personal fields.';

-- Rights that one process has for some seconds at a time and extends while it works. A turn lasts for a transaction; a lease
-- outlives it, and ends by itself when its holder is killed or frozen.
CREATE TABLE leases (
    lease text PRIMARY KEY,
    holder uuid NOT NULL,
    ends_at timestamptz NOT NULL
);
COMMENT ON TABLE leases IS 'sending: the one bot that sends what the outbox holds.';
COMMENT ON COLUMN leases.holder IS 'Drawn anew by each process.';

-- Waits for the turn to settle and keeps it until the end of the transaction. From then on, wait only briefly for any other
-- lock: everybody else waits for this turn, and another bot may hold a balance for as long as it likes.
CREATE FUNCTION take_settling_turn() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    LOCK TABLE public.settling_turn IN EXCLUSIVE MODE;
    PERFORM set_config('lock_timeout', '500ms', true);
END
$$;

-- Takes a turn, such as 'expiring_turn', until the end of the transaction; returns false if somebody else has it.
CREATE FUNCTION try_turn(turn text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE format('LOCK TABLE public.%I IN EXCLUSIVE MODE NOWAIT', turn);
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

-- Forgetting a person --------------------------------------------------------------------------------------------------

-- Erases what names a user or repeats their words, and ends what is open. What the ledger rests on stays: the Telegram
-- number, amounts, times, codes, entries. Runs as the owner, so that no service may write what it need not.
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
    -- Events that move no money, such as a cancellation, have no charge and are found by their supporter. Both ways use an index:
    -- the caller has the turn to settle, and payments wait meanwhile.
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
       -- What was paid and could not be settled is nowhere else: it waits for a person until they put it aside.
       AND (e.outcome NOT IN ('failed', 'unreadable') OR e.put_aside_at IS NOT NULL);
    UPDATE public.supporters SET name = NULL, email = NULL WHERE supporter_id = ANY(theirs);
    -- Of charges that are nobody's those that wait keep their words: a person needs them in order to decide.
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

-- What keeps it alive ------------------------------------------------------------------------------------------------

-- Backups that were taken and, to try them, restored. db/backup.sh writes here; whoever makes them by other means may as well:
-- INSERT INTO backups (size_bytes) VALUES (...).
CREATE TABLE backups (
    backup_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT now(),
    size_bytes bigint NOT NULL,
    CONSTRAINT size_is_positive CHECK (size_bytes > 0)
);
COMMENT ON COLUMN backups.taken_at IS 'When it was begun: what came later is not in it.';
CREATE INDEX backups_taken_at ON backups (taken_at);

-- What statements cost, for the exporter. In a schema of its own: the exporter may look into no other.
CREATE SCHEMA measuring;
CREATE EXTENSION pg_stat_statements SCHEMA measuring;

-- What dashboards show -----------------------------------------------------------------------------------------------

-- Views without notes, names, addresses, codes or Telegram numbers. Who reads them needs no right to the tables below.
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
COMMENT ON COLUMN reporting.unmatched_charges.why IS 'In a word each, why the rules found nobody.';
COMMENT ON COLUMN reporting.unmatched_charges.claims IS 'How many users say of a payment that it may be this one.';

CREATE VIEW reporting.picks AS
SELECT created_at, amount, currency, status, completed_at
  FROM pending_payments;

CREATE VIEW reporting.charges AS
SELECT c.charge_id, c.family, c.amount, c.currency, c.paid_at, c.state, c.method, c.refunded_at,
       given.credits, given.created_at AS credited_at,
       -- An operator's match is a fact of its own, and told as one.
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
COMMENT ON COLUMN reporting.charges.told_at IS 'When the user was told; null too once the notification is forgotten.';

-- Who may do what: one role a service, each with the least it needs. Passwords come from files (passwords.sh). -----------

REVOKE ALL ON SCHEMA public FROM public;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM public;

CREATE ROLE webhook LOGIN CONNECTION LIMIT 20;
CREATE ROLE bot LOGIN CONNECTION LIMIT 20;
CREATE ROLE janitor LOGIN CONNECTION LIMIT 10;
CREATE ROLE watcher LOGIN CONNECTION LIMIT 5;
CREATE ROLE grafana_reader LOGIN CONNECTION LIMIT 5;
CREATE ROLE spender NOLOGIN;
COMMENT ON ROLE spender IS 'For other bots: GRANT spender TO your_role lets it read balances and call spend_credits.';

-- This database belongs to these roles and has no room for tables of theirs, not even temporary ones: those fill the disk and
-- hold back tidying up. The server's other databases, which hold nothing, are for the owner alone.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM public', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO webhook, bot, janitor, watcher, grafana_reader, spender', current_database()
    );
END
$$;
REVOKE ALL ON DATABASE postgres, template1 FROM public;

-- Functions of Postgres that anybody may call by default: large objects fill the disk, and enough advisory locks fill the lock
-- table that all share. Unlocking stays: drivers call it whenever a connection goes back to its pool.
DO $$
DECLARE
    refused regprocedure;
BEGIN
    FOR refused IN
        SELECT oid
          FROM pg_proc
         WHERE pronamespace = 'pg_catalog'::regnamespace
           AND proname ~ '^(lo_|loread|lowrite|pg_(try_)?advisory_(xact_)?lock)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM public', refused);
    END LOOP;
END
$$;

ALTER ROLE webhook SET statement_timeout = '10s';
ALTER ROLE bot SET statement_timeout = '10s';
ALTER ROLE janitor SET statement_timeout = '60s';
ALTER ROLE webhook SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE bot SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE janitor SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE watcher SET statement_timeout = '5s';
ALTER ROLE watcher SET default_transaction_read_only = on;
ALTER ROLE grafana_reader SET statement_timeout = '5s';
ALTER ROLE grafana_reader SET default_transaction_read_only = on;

GRANT USAGE ON SCHEMA public TO webhook, bot, janitor, spender;
GRANT EXECUTE ON FUNCTION schema_version() TO webhook, bot, janitor;

-- UPDATE is what LOCK TABLE asks for; there is no row to be changed.
GRANT UPDATE ON settling_turn TO webhook, bot, janitor;
GRANT UPDATE ON opening_turn TO bot;
GRANT UPDATE ON expiring_turn, blanking_turn TO janitor;
GRANT EXECUTE ON FUNCTION take_settling_turn() TO webhook, bot, janitor;
GRANT EXECUTE ON FUNCTION try_turn(text) TO janitor;

-- Settling: the webhook when an event comes, the janitor when a charge becomes matchable later.
GRANT SELECT ON users, balances, credits TO webhook, janitor;
GRANT SELECT, INSERT, UPDATE ON supporters TO webhook, janitor;
GRANT SELECT, UPDATE (status, completed_at, ended_at, bmc_data) ON pending_payments TO webhook, janitor;
GRANT SELECT, INSERT ON charges TO webhook, janitor, bot;
-- Not the key, the source or the family: a charge stays the charge that it was recorded as.
GRANT UPDATE (
    bmc_id, transaction_id, psp_id, supporter_id, amount, currency, note, item, item_name, payer_name, paid_at, state, method, reasons,
    payment_id, telegram_id, flag, is_paid, is_held, doubt, told, dismissed_by, matched_at, refunded_at, refunded_amount
) ON charges TO webhook, janitor, bot;
GRANT SELECT, UPDATE (ended_at) ON outsiders TO webhook, janitor, bot;
GRANT SELECT, INSERT ON guesses TO webhook, janitor;
GRANT INSERT ON credits, notifications TO webhook, janitor;
GRANT EXECUTE ON FUNCTION credits_left(bigint) TO webhook, janitor, bot;
-- ON CONFLICT reads the column it is about.
GRANT SELECT (fact_key) ON notifications TO webhook, janitor;
GRANT SELECT, INSERT ON events TO webhook;
GRANT SELECT, INSERT, UPDATE ON signature_failures TO webhook;
GRANT SELECT, UPDATE (accepted_at, refused, refused_at) ON webhook_answers TO webhook;

-- Keeping house.
GRANT SELECT, UPDATE (body, blanked_at, outcome, charge_key, settle_again_at) ON events TO janitor;
GRANT SELECT, DELETE ON notifications TO janitor;
GRANT SELECT, UPDATE (name, status, decided_at, charge_id) ON claims TO janitor;
GRANT SELECT, DELETE ON signature_failures TO janitor;
GRANT SELECT ON backups TO janitor;

-- Talking to people, and doing what operators decide.
GRANT SELECT, INSERT, UPDATE (holder, ends_at) ON leases TO bot;
GRANT EXECUTE ON FUNCTION blocked_chats(timestamptz) TO bot;
GRANT SELECT, INSERT, UPDATE ON users TO bot;
GRANT SELECT, INSERT, UPDATE (status, completed_at, ended_at, bmc_data, requested_again_at) ON pending_payments TO bot;
GRANT SELECT, INSERT, UPDATE ON notifications, claims TO bot;
GRANT SELECT, INSERT ON credits, operator_actions TO bot;
GRANT SELECT ON standing_credits TO bot;
GRANT INSERT ON outsiders TO bot;
GRANT SELECT, UPDATE (taken_back_at) ON guesses TO bot;
GRANT SELECT ON balances, supporters, events, signature_failures, webhook_answers, backups TO bot;
GRANT UPDATE (settle_again_at, put_aside_at) ON events TO bot;
GRANT EXECUTE ON FUNCTION erase_user(bigint) TO bot;

-- Which entries each may add. Only spend_credits, which runs as the owner, adds one of kind spend.
ALTER TABLE credits ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody_reads ON credits FOR SELECT TO webhook, janitor, bot USING (true);
CREATE POLICY settling_credits_and_refunds ON credits FOR INSERT TO webhook, janitor
WITH CHECK (kind IN ('payment', 'refund') AND follows IS NULL AND action_id IS NULL);
CREATE POLICY people_decide ON credits FOR INSERT TO bot WITH CHECK (kind IN ('payment', 'refund', 'reversal', 'adjustment'));

-- Measuring the server itself; no row of any table.
GRANT pg_monitor TO watcher;
GRANT USAGE ON SCHEMA measuring TO watcher;
ALTER ROLE watcher SET search_path = measuring;

-- Dashboards.
GRANT USAGE ON SCHEMA reporting TO grafana_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO grafana_reader;

GRANT SELECT ON balances TO spender;
GRANT EXECUTE ON FUNCTION spend_credits(bigint, bigint, text, text) TO spender, bot;
