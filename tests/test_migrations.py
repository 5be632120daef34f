"""Migrations make the tables that the code knows, and can be taken back."""

from alembic import command
from alembic.config import Config

from tests.conftest import ROOT


def configured(url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("sqlalchemy.url", url)
    return config


def test_the_migrated_schema_is_that_of_the_models(fresh_database):
    command.check(configured(fresh_database))


def test_every_migration_can_be_taken_back_and_made_again(fresh_database):
    config = configured(fresh_database)
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)
