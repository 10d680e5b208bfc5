"""Draw the chart of /stats, and check the pixels of the picture."""

import io
from datetime import date, timedelta

import pytest
from PIL import Image, ImageColor

from coffee_ledger.telegram.desk.chart import SETTLED, WAITING, Day, Labels, choose_axis, draw_days
from coffee_ledger.telegram.speech import LANGUAGES, Speech

NO_LABELS = Labels("", "", "")
NOT_IN_THE_FONT = "\ue000"


def a_day(number: int, settled: int = 0, waiting: int = 0) -> Day:
    return Day(date(2026, 11, 1) + timedelta(days=number), settled, waiting)


def area(picture: Image.Image, colour: str) -> int:
    """Return the number of pixels that have exactly this colour."""
    counted = {pixel: count for count, pixel in picture.getcolors(maxcolors=1_000_000) or ()}
    return counted.get(ImageColor.getrgb(colour), 0)


def picture_of(*days: Day) -> Image.Image:
    """Return the chart without its title and legend."""
    picture = Image.open(io.BytesIO(draw_days(days, NO_LABELS))).convert("RGB")
    return picture.crop((0, 130, picture.width, picture.height))


def upper_third(*days: Day) -> Image.Image:
    picture = picture_of(*days)
    return picture.crop((0, 0, picture.width, picture.height // 3))


def test_a_day_with_twice_the_payments_has_a_bar_twice_as_high() -> None:
    picture = picture_of(a_day(0, settled=200), a_day(1, settled=100))

    left = picture.crop((0, 0, picture.width // 2, picture.height))
    right = picture.crop((picture.width // 2, 0, picture.width, picture.height))

    assert area(left, SETTLED) == pytest.approx(2 * area(right, SETTLED), rel=0.05)


def test_waiting_charges_stand_hatched_on_top_of_the_settled_ones() -> None:
    half_waiting, all_settled = (upper_third(a_day(0, settled=10, waiting=10)), upper_third(a_day(0, settled=20)))

    assert area(half_waiting, SETTLED) == 0
    assert 0 < area(half_waiting, WAITING) < area(all_settled, SETTLED)


@pytest.mark.parametrize(
    ("highest", "axis"),
    [
        (0, (1, 1)),
        (1, (1, 1)),
        (7, (7, 1)),
        (8, (8, 2)),
        (16, (20, 5)),
        (1018, (1200, 200)),
        (70_000, (70_000, 10_000)),
    ],
)
def test_the_lines_of_the_grid_stand_at_round_numbers(highest: int, axis: tuple[int, int]) -> None:
    assert choose_axis(highest) == axis


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_font_has_every_character_of_the_texts(language: str) -> None:
    speech = Speech(language)
    texts = "".join(speech.label(f"desk-chart-{what}") for what in ("title", "settled", "waiting"))
    missing = draw_days((), Labels(NOT_IN_THE_FONT, "", ""))

    for character in sorted(set(texts) - {" "}):
        assert draw_days((), Labels(character, "", "")) != missing, character


def test_a_label_may_contain_markup() -> None:
    assert draw_days((), Labels("<b>&</b>", "", "")) != draw_days((), NO_LABELS)
