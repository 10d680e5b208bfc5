"""Check that the settings classes, the table of settings in the documents, `.env.example` and compose.yaml agree."""

import re

from tests.files import ROOT
from tools.settings import (
    EXAMPLE_FILE,
    GROUPS,
    SELDOM_SET,
    SET_BY_COMPOSE,
    ComposeSettings,
    explain,
    find_document,
    read_fields,
    replace_tables,
    write_example,
    write_tables,
)

FIELDS = read_fields()
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")


def test_the_table_of_settings_is_up_to_date() -> None:
    written = find_document().read_text(encoding="utf-8")

    assert written == replace_tables(written, write_tables(FIELDS)), "run make settings"


def test_the_example_of_env_is_up_to_date() -> None:
    assert EXAMPLE_FILE.read_text(encoding="utf-8") == write_example(FIELDS), "run make settings"


def test_every_setting_has_one_place() -> None:
    placed = [*(name for names in GROUPS.values() for name in names), *SELDOM_SET, *SET_BY_COMPOSE]

    assert sorted(placed) == sorted(FIELDS)


def test_the_settings_of_compose_have_the_defaults_of_compose() -> None:
    in_compose = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    named = {name: field.default for name, field in ComposeSettings.model_fields.items() if name != "COMPOSE_PROFILES"}

    assert {name: str(default or "") for name, default in named.items()} == {name: in_compose[name] for name in named}


def test_no_setting_breaks_the_table() -> None:
    assert [name for name, field in FIELDS.items() if "|" in explain(field)] == []
