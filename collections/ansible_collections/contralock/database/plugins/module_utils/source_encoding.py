"""Who wrote a SQLite database, and thereby how its columns spell values.

SQLite has no type for a boolean, a time, a uuid or a document. Each maker of applications spells them in its own way,
and the same characters may mean two things: ``2024-01-03 09:10:55`` is UTC where Django wrote it, and nobody knows
what where it was Sequelize's column. So the mapping says who wrote (``written_by``), and a cell in another spelling is
a misfit, not a guess.
"""

from __future__ import annotations

from enum import StrEnum


class Encoding(StrEnum):
    """The maker, as the mapping's ``written_by`` names it; a later one of its forms has a name of its own.

    What each of them writes was read in its own source:

    * ``sequelize`` 6, ``lib/dialects/sqlite``: times as ``2024-01-03 09:10:55.791 +00:00``, booleans as 1 and 0,
      uuids of 36 characters, JSON as ``JSON.stringify`` spells it.
    * ``django``, ``django/db/backends/sqlite3/operations.py``: times of UTC without an offset, with six digits of the
      second or none (USE_TZ, the default; without it they are local times, which this does not read), uuids of 32
      hexadecimal digits, JSON as Python's ``json.dumps``.
    * ``rails``, ``activerecord/lib/active_record/connection_adapters/sqlite3/quoting.rb`` and
      ``abstract/quoting.rb``: times of UTC without an offset, times of day on 2000-01-01, booleans as 1 and 0 (since
      5.2), JSON as ``ActiveSupport::JSON.encode``.
    * ``rails_5_1``: the same, with booleans as 't' and 'f' (before 5.2, or ``represent_boolean_as_integer = false``).
    * ``prisma``, prisma-engines ``quaint/src/connector/sqlite/native/conversion.rs``: times and dates as integers that
      count milliseconds since 1970.
    * ``prisma_adapter``, prisma ``packages/adapter-better-sqlite3/src/conversion.ts`` and its like: times as
      ``2024-01-03T09:10:55.791+00:00``.
    * ``sqlalchemy``, ``lib/sqlalchemy/dialects/sqlite/base.py`` and ``sql/sqltypes.py``: times without an offset (taken
      for UTC) and always six digits of the second, uuids of 32 hexadecimal digits, JSON as Python's ``json.dumps``.
    """

    SEQUELIZE = "sequelize"
    DJANGO = "django"
    RAILS = "rails"
    RAILS_5_1 = "rails_5_1"
    PRISMA = "prisma"
    PRISMA_ADAPTER = "prisma_adapter"
    SQLALCHEMY = "sqlalchemy"
