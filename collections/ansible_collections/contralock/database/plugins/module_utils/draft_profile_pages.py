"""Writes a draft's mapping.yml and README.md, and the folder of the whole profile."""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from .draft_profile_makers import PLAIN
from .draft_profile_model import Draft, DraftColumn, DraftTable
from .draft_profile_sql import changes_of
from .draft_profile_trial import Proof
from .errors import SHOWN_FINDINGS, MigrationError, printable
from .profile import MAPPING_FILE, SCHEMA_FILE
from .run_step import counted
from .schema_files import Change

README = "README.md"
_YAML_WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
_WIDTH = 118


def mapping_text(draft: Draft, schema: str = f"../{SCHEMA_FILE}") -> str:
    """Return the mapping of a draft as YAML with comments.

    Args:
        draft: The draft.
        schema: Where an editor finds the JSON Schema.
    """
    lines = [
        "---",
        f"# yaml-language-server: $schema={schema}",
        "#",
        "# Drafted from a SQLite database: the exceptions from the naming rule, and what is no question of names.",
        "# The open questions are numbered in README.md.",
        "version: 1",
        f"naming: {draft.naming.value}",
        *_comment(f"{draft.maker.name}: {draft.maker.why}.{_read_as(draft)}"),
        f"written_by: {draft.maker.encoding.value}",
    ]
    tables = [line for table in draft.tables for line in _table(draft, table)]
    if tables:
        lines += ["", "tables:", *tables]
    return "\n".join([*lines, *_left_behind(draft)]) + "\n"


def _read_as(draft: Draft) -> str:
    """Say why a maker is named whose signs nobody saw."""
    if draft.maker.name != PLAIN:
        return ""
    return f" Read as {draft.maker.encoding.value} writes, which demands the most of a time: its offset."


def readme_text(draft: Draft, proof: Proof, source: str) -> str:
    """Return the page that explains a draft and asks its questions.

    Args:
        draft: The draft.
        proof: What came of it on a server.
        source: The SQLite file's name.
    """
    parts = [f"# A profile drafted for {_cell(source)}\n", _about(draft)]
    parts.append("## Open questions\n")
    if draft.questions:
        parts.append(
            "Only you can know these. Change the SQL and the mapping accordingly; the numbers stand there too.\n"
        )
        parts += [
            f"{number}. {_cell(', '.join(question.places))}: **{_cell(question.text)}**"
            for number, question in enumerate(draft.questions, start=1)
        ]
        parts.append("")
    else:
        parts.append("None.\n" if proof.ready else "None; but not everything fits, see below.\n")
    parts += ["## What the data say\n", *_proof_lines(proof), ""]
    parts += ["## What was decided\n", *(f"- {_cell(note)}." for note in _notes(draft)), ""]
    for title, texts in (("Views", draft.views), ("Triggers", draft.triggers)):
        if texts:
            parts += [f"## {title} that are not moved\n", *_texts(texts)]
    parts += ["## How to go on\n", _NEXT]
    return "\n".join(parts)


def write_profile(folder: Path, draft: Draft, proof: Proof, source: str, schema: Path) -> None:
    """Write the folder of a drafted profile, all of it or nothing.

    Args:
        folder: It may not be there yet; its parent has to be.
        draft: The draft.
        proof: What came of it on a server.
        source: The SQLite file's name.
        schema: The JSON Schema of mappings; it is copied along when none lies beside the folder.

    Raises:
        MigrationError: The folder is there, or cannot be written.
    """
    assert_free(folder)
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write_schema(building, changes_of(draft))
            beside = (folder.parent / SCHEMA_FILE).is_file()
            if not beside:
                shutil.copyfile(schema, building / SCHEMA_FILE)
            text = mapping_text(draft, f"../{SCHEMA_FILE}" if beside else SCHEMA_FILE)
            (building / MAPPING_FILE).write_text(text, encoding="utf-8")
            (building / README).write_text(readme_text(draft, proof, source), encoding="utf-8")
            building.chmod(0o755)
            building.rename(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> MigrationError:
    return MigrationError(f"the draft cannot be written to {folder}: {error.strerror}", "Choose another folder")


def _write_schema(folder: Path, changes: Iterable[Change]) -> None:
    (folder / "schema").mkdir()
    for change in changes:
        for direction, text in (("up", change.up), ("down", change.down)):
            (folder / "schema" / f"{change.name}.{direction}.sql").write_text(text, encoding="utf-8")


def assert_free(folder: Path) -> None:
    """Refuse a folder that is there, since a draft overwrites nobody's work, or that cannot be made.

    Raises:
        MigrationError: It is there, its parent is not, or nothing can be written there.
    """
    if folder.exists():
        raise MigrationError(f"{folder} is there already", "Name another folder, or move this one away")
    if not folder.parent.is_dir():
        raise MigrationError(f"there is no folder {folder.parent} to write the draft to", "Make it first")
    try:
        # Before the work, not after it: the permission alone says little (a full or read-only filesystem).
        Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)).rmdir()
    except OSError as error:
        raise _unwritable(folder, error) from None


def _table(draft: Draft, table: DraftTable) -> Iterator[str]:
    columns = [line for column in table.columns for line in _column(draft, table, column)]
    if table.renamed or columns:
        yield f"  {_scalar(table.target)}:"
    if table.renamed:
        yield f"    source: {_scalar(table.source)}"
    if columns:
        yield "    columns:"
        yield from columns


def _column(draft: Draft, table: DraftTable, column: DraftColumn) -> Iterator[str]:
    entries = []
    if column.generated is None:
        if column.renamed:
            entries.append(f"source: {_scalar(column.source)}")
        if column.rules:
            entries.append(f"rules: [{', '.join(map(_rule, column.rules))}]")
        if column.written_by:
            entries.append(f"written_by: {column.written_by}")
    if column.sensitive:
        entries.append("sensitive: true")
    if not entries:
        return
    for question in draft.questions_of(f"{table.source}.{column.source}"):
        yield from (f"      {line}" for line in _comment(question))
    if column.sensitive:
        yield "      # Its name tells of a secret."
    yield f"      {_scalar(column.target)}:"
    yield from (f"        {entry}" for entry in entries)


def _left_behind(draft: Draft) -> list[str]:
    computed = {
        table.target: {
            column.source: "PostgreSQL computes it from the other columns"
            for column in table.columns
            if column.generated is not None
        }
        for table in draft.tables
    }
    computed = {table: columns for table, columns in computed.items() if columns}
    if not draft.left_behind and not computed:
        return []
    lines = ["", "left_behind:"]
    if draft.left_behind:
        lines.append("  tables:")
        lines += [f"    {_scalar(name)}: {_scalar(reason)}" for name, reason in draft.left_behind.items()]
    if computed:
        lines.append("  columns:")
        for table, columns in computed.items():
            lines.append(f"    {_scalar(table)}:")
            lines += [f"      {_scalar(name)}: {_scalar(reason)}" for name, reason in columns.items()]
    return lines


def _rule(rule: object) -> str:
    if isinstance(rule, dict):
        return "{" + ", ".join(f"{name}: {_scalar(str(value))}" for name, value in rule.items()) + "}"
    return str(rule)


def _scalar(text: str) -> str:
    """Return a text as YAML, in quotes wherever a reader could take it for something else."""
    if text.isascii() and text.isidentifier() and text.lower() not in _YAML_WORDS:
        return text
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1 << 20)).strip()


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(printable(text), _WIDTH - 10)]


def _about(draft: Draft) -> str:
    moved = f"{counted(len(draft.tables), 'table moves', 'tables move')}"
    stays = f", {counted(len(draft.left_behind), 'stays', 'stay')} behind" if draft.left_behind else ""
    return (
        f"It was made from the file's schema and from every value in it. {moved}{stays}. Made by: "
        f"{draft.maker.name} ({draft.maker.why}); another maker is named with `--written-by`.\n"
    )


def _proof_lines(proof: Proof) -> Sequence[str]:
    if proof.problem:
        return [f"No plan can be made yet: {_cell(proof.problem)}"]
    lines = [f"The draft was applied to a server and taken back, and {counted(proof.rows, 'row')} held against it."]
    if proof.ready:
        lines.append("Everything fits.")
    if proof.unsound:
        lines.append(f"- {_cell(str(proof.unsound))}.")
    lines += [f"- {_cell(str(finding))}. {_cell(finding.mend)}." for finding in proof.findings[:SHOWN_FINDINGS]]
    if len(proof.findings) > SHOWN_FINDINGS:
        lines.append(f"- and {counted(len(proof.findings) - SHOWN_FINDINGS, 'kind')} more.")
    lines += [
        f"- Rule {each.rule} changes {counted(each.count, 'value')} of {each.table}.{each.column}."
        for each in proof.rule_counts
    ]
    return [*lines, *(f"- {_cell(note)}." for note in proof.notes)]


def _notes(draft: Draft) -> Iterator[str]:
    yield f"Names: {'as they are' if draft.naming.value == 'keep' else 'snake_case'}"
    yield from draft.notes
    for name, reason in draft.left_behind.items():
        yield f"{name} stays behind: {reason}"
    secrets = [
        f"{table.source}.{column.source}" for table in draft.tables for column in table.columns if column.sensitive
    ]
    yield f"Secrets, by their names: {', '.join(secrets) or 'none'}. Mark every other one as `sensitive` in the mapping"


def _texts(texts: Mapping[str, str]) -> Iterator[str]:
    for text in texts.values():
        # Four spaces make it a block, whatever stands in it.
        yield textwrap.indent("\n".join(map(printable, text.splitlines())), "    ") + "\n"


def _cell(text: str) -> str:
    """Return a text of the source in one line; signs that Markdown would take for its own stay as they are."""
    return printable(text.replace("\n", " ").rstrip(".")).replace("<", "&lt;")


_NEXT = """\
1. Answer the open questions in `schema/` and `mapping.yml`.
2. `scripts/assess_source.py` says whether the file can be moved so; `apply_schema.py`, `transfer_data.py` and
   `compare_databases.py` move it. All take this folder as `--profile`.
3. Rehearse the move (`playbooks/rehearse.yml`) before it counts.
"""
