"""Test the settings of `migrate`: the passwords of the roles, each in its own file, and the numbers of replicas."""

from pathlib import Path

from coffee_ledger.runtime.settings import read_settings
from services.migrate.connections import ONE_OF_EACH, Replicas
from services.migrate.settings import MigrateSettings

URL = {"DATABASE_URL": "postgresql://ledger_owner:a-password@db:5432/ledger"}


def test_each_file_of_a_password_names_its_role(tmp_path: Path) -> None:
    (tmp_path / "database_url").write_text("postgresql://ledger_owner@db/ledger")
    (tmp_path / "password_bot").write_text("of-the-bot\n")
    (tmp_path / "password_grafana_reader").write_text("of-the-reader")

    passwords = read_settings(MigrateSettings, {**URL, "ROLES_FOLDER": str(tmp_path)}).read_passwords()

    assert {role: one.get_secret_value() for role, one in passwords.items()} == {
        "bot": "of-the-bot",
        "grafana_reader": "of-the-reader",
    }


def test_without_the_folder_no_password_is_set() -> None:
    assert read_settings(MigrateSettings, URL).read_passwords() == {}


def test_without_numbers_one_replica_of_each_service_is_assumed() -> None:
    assert read_settings(MigrateSettings, URL).replicas == ONE_OF_EACH
    assert read_settings(MigrateSettings, {**URL, "BOT_REPLICAS": "3"}).replicas == Replicas(bot=3)
