"""Runs on a host, in the toolkit's virtual environment: opens connections with the project's library.

Standard input: {"sources": {file name: text}, "cases": [{"conninfo": ..., "password": ...}]}.
Standard output: for each case, {"tls": the session's protocol, "error": null} or {"tls": null, "error": what was said}.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

given = json.load(sys.stdin)
answers = []
with tempfile.TemporaryDirectory() as folder:
    library = Path(folder, "library")
    library.mkdir()
    for name, text in given["sources"].items():
        (library / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, folder)
    from library.connection import connect
    from library.errors import MigrationError

    for case in given["cases"]:
        os.environ["PGPASSWORD"] = case["password"]
        try:
            with connect(case["conninfo"], "probe") as connection:
                row = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
                answers.append({"tls": row[0], "error": None})
        except MigrationError as error:
            answers.append({"tls": None, "error": str(error)})
print(json.dumps(answers))
