"""Count the rows of a SQLite file, table by table, as JSON on standard output."""

import json
import sqlite3
import sys

connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
print(json.dumps({name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}))
