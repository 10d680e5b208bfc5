-- Statements for dialogues. A dialogue is the question that a user must answer next, and the user's answers so far.
-- Two bots may handle a message and a button press of the same user at the same time. So an answer counts only while its question is
-- open, and only the first answer counts.

-- name: find_dialogue
-- Find a user's dialogue. Returns no row if the dialogue was last updated before $2, so that the bot does not treat a message
-- as the answer to an old question.
-- $1 Telegram id, $2 time
SELECT state, answers, updated_at FROM dialogues WHERE telegram_id = $1 AND updated_at > $2;

-- name: begin_dialogue
-- Begin a dialogue with its first question. If the user has another dialogue, replace it.
-- $1 Telegram id, $2 state, $3 first answers, $4 now
INSERT INTO dialogues (telegram_id, state, answers, updated_at)
VALUES ($1, $2, $3::jsonb, $4)
ON CONFLICT (telegram_id) DO UPDATE
   SET state = excluded.state, answers = excluded.answers, updated_at = excluded.updated_at;

-- name: advance_dialogue
-- Add answers to a dialogue, and open its next question. Changes nothing and returns no row if the question $2 is not open.
-- $1 Telegram id, $2 answered question, $3 next question, $4 added answers, $5 now
UPDATE dialogues SET state = $3, answers = answers || $4::jsonb, updated_at = $5 WHERE telegram_id = $1 AND state = $2
RETURNING true;

-- name: lock_question
-- Return true if the question is open, and keep it open until the transaction ends. Otherwise, return no row.
-- $1 Telegram id, $2 question
SELECT true FROM dialogues WHERE telegram_id = $1 AND state = $2 FOR UPDATE;

-- name: end_dialogue
-- $1 Telegram id
DELETE FROM dialogues WHERE telegram_id = $1;
