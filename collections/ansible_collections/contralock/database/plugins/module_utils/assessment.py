"""Whether a running application's source fits the target: every value of a snapshot, examined and thrown away."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping as AnyMapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .connection import connect
from .durable_files import refused_politely
from .findings import Examination, examine
from .live_copy import Limits
from .plan import make_plan
from .profile import Mapping
from .source_file import Progress, open_source
from .source_schema import read_schema
from .sqlite_backup import Backup, back_up_running
from .transfer_step import settled_catalog

APPLICATION_NAME = "contralock source_assessment"


@dataclass(frozen=True)
class Assessment:
    """What a look at the running source found: the snapshot's cost, and what its values are."""

    snapshot: Backup
    examination: Examination

    def facts(self) -> AnyMapping[str, object]:
        """Return it as JSON types; it holds no secret."""
        return {
            "rows": sum(self.examination.rows.values()),
            "tables": dict(self.examination.rows),
            "bytes": self.snapshot.bytes,
            "longest_pause_ms": self.snapshot.longest_pause_ms,
            "rules": [asdict(each) for each in self.examination.rule_counts],
            "notes": list(self.examination.notes),
            "seconds": round(self.snapshot.seconds + self.examination.duration_seconds, 1),
        }


@dataclass(frozen=True)
class Options:
    """What an assessment works with.

    Attributes:
        directory: Where the snapshot lies meanwhile, in a private folder of its own that is removed at the end; of all
            runs, so that a schema that a killed load has left without its keys is known as it was.
        limits: What the snapshot may cost the application.
        schema: The target's schema.
    """

    directory: Path
    limits: Limits = field(default_factory=Limits)
    schema: str = "public"


def assess_running(source: Path, target: str, mapping: Mapping, options: Options, progress: Progress) -> Assessment:
    """Examine every value of a source that an application is writing.

    Args:
        source: The live file. It is read through SQLite's backup API alone.
        target: The target as its owner; it is asked for its catalog.
        mapping: The profile's exceptions.
        options: Where and how.
        progress: Called with what is done, how much, and of how much.

    Raises:
        MigrationError: The source or the plan cannot be read, or values do not fit (all findings in its details).
    """
    with refused_politely(f"cannot make room for a snapshot in {options.directory}"):
        private = Path(tempfile.mkdtemp(prefix=".assessment-", dir=options.directory))
    try:
        taken = back_up_running(source, private / "source.sqlite", options.limits, progress)
        with connect(target, APPLICATION_NAME) as connection:
            catalog = settled_catalog(connection, options.directory, options.schema)
        with closing(open_source(taken.path)) as reading:
            examination = examine(reading, make_plan(mapping, read_schema(reading), catalog), progress)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    examination.raise_unless_ready()
    return Assessment(taken, examination)
