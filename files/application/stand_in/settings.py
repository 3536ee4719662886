"""What the stand-in is told: the environment, and below it the ``.env`` file, under the migration plan's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .dotenv_text import parse

TYPES = ("sqlite", "postgresql")


class SettingsError(Exception):
    """A setting that the application cannot start with."""


@dataclass(frozen=True)
class Settings:
    """The stand-in's settings.

    ``db_path`` is relative to the working directory unless absolute; ``write_every_ms`` is 0 for no writer.
    """

    db_type: str
    db_path: Path
    db_host: str
    db_port: int
    db_name: str
    db_user: str
    db_pass: str = field(repr=False)
    db_ssl: bool
    db_ssl_ca: str
    host: str
    port: int
    write_every_ms: int


def read_settings(folder: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        folder: The working directory, where ``.env`` may lie.
        environment: The process's own; as with dotenv, what stands here is not overridden by the file.

    Raises:
        SettingsError: A value is not understood.
        OSError: The file is there and cannot be read.
    """
    file = folder / ".env"
    told = {**(parse(file.read_text("utf-8", "replace")) if file.exists() else {}), **environment}
    db_type = told.get("DB_TYPE") or "sqlite"
    if db_type not in TYPES:
        raise SettingsError(f"DB_TYPE is {db_type!r}; it has to be {' or '.join(TYPES)}")
    return Settings(
        db_type=db_type,
        db_path=folder / (told.get("DB_PATH") or "./data/contralock.sqlite"),
        db_host=told.get("DB_HOST") or "localhost",
        db_port=_number(told, "DB_PORT", 5432),
        db_name=told.get("DB_NAME") or "contralock",
        db_user=told.get("DB_USER") or "contralock_user",
        db_pass=told.get("DB_PASS", ""),
        db_ssl=told.get("DB_SSL") == "true",
        db_ssl_ca=told.get("DB_SSL_CA", ""),
        host=told.get("HOST") or "127.0.0.1",
        port=_number(told, "PORT", 5000),
        write_every_ms=_number(told, "WRITE_EVERY_MS", 0),
    )


def _number(told: Mapping[str, str], name: str, default: int) -> int:
    text = told.get(name) or str(default)
    if not (text.isascii() and text.isdecimal()):
        raise SettingsError(f"{name} is {text!r}; it has to be a whole number")
    return int(text)
