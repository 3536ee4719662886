"""Runs in the virtual environment: ends with an error unless its packages are whole and belong to this Python.

pip believes a package's metadata; a pip that was killed leaves it beside code that is missing or cut short. What has to be
there, and how long, is what each package's RECORD lists (Python Packaging User Guide, "Recording installed projects").
"""

import importlib.metadata
import sys

import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import jsonschema
import psycopg
import psycopg_binary
import pyarrow
import yaml

spoilt = []
for package in importlib.metadata.distributions():
    if package.files is None:
        spoilt.append(f"{package.name} has no RECORD")
        continue
    for file in package.files:
        path = file.locate()
        # Python writes the compiled files anew as it pleases.
        if file.suffix != ".pyc" and not (path.exists() and file.size in (None, path.stat().st_size)):
            spoilt.append(str(path))
if spoilt:
    sys.exit(f"error: {len(spoilt)} files are missing or cut short, such as {spoilt[0]}")
