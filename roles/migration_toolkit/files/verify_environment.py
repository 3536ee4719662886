"""Runs in the virtual environment: prints its packages, and fails unless they are whole and belong to this Python.

With the argument ``files`` it looks at their files alone: what comes next imports them anyway.

Standard output is a JSON array of "name==version", spelt as lock files spell them.

pip believes a package's metadata; a pip that was killed leaves it beside code that is missing or cut short. What has to
be there, and how long, is what each package's RECORD lists (Packaging User Guide, "Recording installed projects").
"""

import importlib
import importlib.metadata
import json
import re
import sys
from pathlib import Path

# Some are compiled: only an import shows that they fit this Python and this machine.
compiled = (
    "adbc_driver_postgresql.dbapi",
    "adbc_driver_sqlite.dbapi",
    "jsonschema",
    "psycopg",
    "psycopg_binary",
    "pyarrow",
    "yaml",
)
for module in () if sys.argv[1:] == ["files"] else compiled:
    importlib.import_module(module)

spoilt = []
for package in importlib.metadata.distributions():
    if package.files is None:
        spoilt.append(f"{package.name} has no RECORD")
        continue
    for file in package.files:
        path = Path(file.locate())
        # Python writes the compiled files anew as it pleases.
        if file.suffix != ".pyc" and not (path.exists() and file.size in (None, path.stat().st_size)):
            spoilt.append(str(path))
if spoilt:
    sys.exit(f"error: {len(spoilt)} files are missing or cut short, such as {spoilt[0]}")
print(
    json.dumps(
        [
            f"{re.sub('[-_.]+', '-', package.name).lower()}=={package.version}"
            for package in importlib.metadata.distributions()
        ]
    )
)
