"""Sample sources: SQLite files of any size, as ContraLock on Sequelize 6 would have left them.

A migration is rehearsed, timed and tested on these. One seed gives one file: invented people with consistent work,
every id that is mentioned anywhere (also inside JSON, also without a foreign key) being that of a row, and free text
of every kind that has been seen to break on the way from SQLite to PostgreSQL. The data is *good*: what is broken on
purpose is planted by the tests that need it.

    ddl     the twelve tables, and how each of the four forms declares them
    sizes   how many rows each table gets
    chance  random values that are the same for the same seed; dates, uuids, hashes
    text    names and free text
    people  users, wallets, arbitrators
    work    projects and what happens in them
    traces  notifications, movements between wallets, the audit trail
    writer  the file
    report  what the operator sees
"""

from __future__ import annotations

from .ddl import Form
from .report import Ticker, as_json, as_text
from .writer import Order, Outcome, write_source

__all__ = ["Form", "Order", "Outcome", "Ticker", "as_json", "as_text", "write_source"]
