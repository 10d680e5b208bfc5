"""The image leaves out some files of installed packages. Test that the bot formats numbers and draws pictures without them."""

import subprocess
import sys
from collections.abc import Sequence

from tests.e2e.stack import IMAGE_TAG, build_image
from tests.files import ROOT

PROGRAM = """
import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from coffee_ledger.telegram.days import read_date_range
from coffee_ledger.telegram.desk.chart import Day, Labels, draw_days
from coffee_ledger.telegram.desk.later import zone_of
from coffee_ledger.telegram.speech import LANGUAGES, Speech

for language in LANGUAGES:
    speech = Speech(language)
    for amount in ("5", "1234.5"):
        for currency in ("USD", "EUR", "UAH", "CHF"):
            print(speech.money(Decimal(amount), currency))
    for number in (1, 3, 5, 1234):
        print(speech.new_balance(number), speech.change(-number))
    print(speech.time(datetime(2026, 11, 30, 9, 5, tzinfo=UTC)), zone_of(language))
    for month in range(1, 13):
        print(speech.day(date(2026, month, 1)))

print(read_date_range("12 листопада 2025"))
days = [Day(date(2026, 11, 1) + timedelta(days=number), number, 3) for number in range(30)]
print(hashlib.sha256(draw_days(days, Labels("Платежі", "вирішено", "чекає"))).hexdigest())
"""


def run_program(*python: str) -> Sequence[str]:
    done = subprocess.run(
        [*python, "-"], input=PROGRAM, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_bot_formats_and_draws_in_the_image_as_with_complete_packages() -> None:
    build_image()
    image = ("docker", "run", "--rm", "--interactive", "--network=none", "--read-only", f"coffee-ledger:{IMAGE_TAG}")

    assert run_program(*image, "python") == run_program(sys.executable)
