"""The ledger understands each note in the table `notes.yaml` as a reasonable person would."""

from typing import NamedTuple

import pytest
import yaml

from coffee_ledger.codes import read_codes
from coffee_ledger.model import PaymentId, PaymentStatus
from tests.files import DATA

TABLE = yaml.safe_load((DATA / "notes.yaml").read_text(encoding="utf-8"))
CAST = {PaymentId(payment_id): PaymentStatus(status) for payment_id, status in TABLE["cast"].items()}


class Note(NamedTuple):
    text: str
    expected: str


NOTES = [Note(row["note"], row["expect"]) for row in TABLE["notes"]]


def decide(text: str) -> str:
    """Return the decision of the rules for codes, if the only pending payments are those under `cast` in `notes.yaml`."""
    reading = read_codes(text)
    standing = reading.codes & CAST.keys()
    near = reading.corrections & CAST.keys()
    if standing:
        return f"code {min(standing)}" if len(standing) == 1 else "several"
    if len(near) > 1:
        return "several"
    for payment_id in near:
        if CAST[payment_id] is PaymentStatus.PENDING:
            return f"corrected {payment_id}"
    return "doubt" if reading.holds_code else "none"


def credited(decision: str) -> str | None:
    verdict, _, payment_id = decision.partition(" ")
    return payment_id if verdict in ("code", "corrected") else None


@pytest.mark.parametrize("note", NOTES, ids=lambda note: ascii(note.text)[1:-1] or "empty")
def test_a_note_is_understood_as_a_person_would(note: Note) -> None:
    assert decide(note.text) == note.expected


def test_no_note_credits_a_user_who_is_not_meant() -> None:
    wrong = [note for note in NOTES if credited(decide(note.text)) not in (None, credited(note.expected))]

    assert not wrong


def test_the_table_has_at_least_400_different_notes() -> None:
    assert len({note.text for note in NOTES}) == len(NOTES) >= 400


def test_the_table_expects_each_outcome_and_only_for_its_cast() -> None:
    verdicts = {note.expected.partition(" ")[0] for note in NOTES}
    credited_ids = {payment_id for note in NOTES if (payment_id := credited(note.expected))}

    assert verdicts == {"code", "corrected", "several", "doubt", "none"}
    assert credited_ids <= CAST.keys()
