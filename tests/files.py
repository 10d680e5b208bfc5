"""The paths of the project's files that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The root of the checkout."""

DATA = ROOT / "tests/data"
