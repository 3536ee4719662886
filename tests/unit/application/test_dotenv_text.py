"""What dotenv reads, and that it reads back what is written.

The expected values of READ are what npm's dotenv 16.6.1 answered under Node 20; its corners are on purpose.
"""

from __future__ import annotations

import pytest
from ansible_collections.contralock.database.plugins.module_utils.dotenv_text import (
    MARK,
    assignments,
    parse,
    set_values,
)
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError

READ = [
    ("", {}),
    ("A=1\nB=2\n", {"A": "1", "B": "2"}),
    ("A=1", {"A": "1"}),
    ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("A=1\rB=2", {"A": "1", "B": "2"}),
    ("\ufeffA=1\n", {"A": "1"}),
    ("A=\nB=2\n", {"A": "", "B": "2"}),
    ("A=\n\n\nB=2\n", {"A": "", "B": "2"}),
    ("A=\n# about B\nB=2\n", {"A": "", "B": "2"}),
    ("A=\n'next line'\n", {"A": "next line"}),
    ("A:\nB=2\n", {"A": "B=2"}),
    ("A:\r\nB=2\r\n", {"A": "B=2"}),
    ("A: one\nB:two\n", {"A": "one"}),
    ("  A  =  1  \n", {"A": "1"}),
    ("\tA\t=\t1\t\n", {"A": "1"}),
    ("export A=1\nexport  B = 2\nexportC=3\n", {"A": "1", "B": "2", "exportC": "3"}),
    ("export\nA=1\n", {"A": "1"}),
    ("# A=1\n#B=2\nC=3\n", {"C": "3"}),
    ("A=1 # comment\nB=2#comment\nC= # comment\nD=#comment\n", {"A": "1", "B": "2", "C": "", "D": ""}),
    ("A='1 # no comment' # comment\n", {"A": "1 # no comment"}),
    ('A="it\'s"\nB=\'say "hi"\'\nC=`it\'s "so"`\n', {"A": "it's", "B": 'say "hi"', "C": 'it\'s "so"'}),
    ("A='one\ntwo'\nB=3\n", {"A": "one\ntwo", "B": "3"}),
    ('A="one\r\ntwo"\r\n', {"A": "one\ntwo"}),
    ("A=\"one\\ntwo\\r\\t\"\nB='one\\ntwo'\nC=one\\ntwo\n", {"A": "one\ntwo\r\\t", "B": "one\\ntwo", "C": "one\\ntwo"}),
    ("A='it\\'s'\nB=\"a\\\"b\"\n", {"A": "it\\'s", "B": 'a\\"b'}),
    ("A='open\nB=2\n", {"A": "'open", "B": "2"}),
    ("A='open\nB='x'\n", {"A": "'open", "B": "x"}),
    ("A=it's\nB=it's\n", {"A": "it's", "B": "it's"}),
    ("A='x' y\n", {"A": "'x' y"}),
    ("A='x'y'z'\n", {"A": "x'y'z"}),
    ("A=1=2==3\n", {"A": "1=2==3"}),
    ("A==1\n", {"A": "=1"}),
    ("A=1\nA=2\nA=3\n", {"A": "3"}),
    ("a.b-c=1\n1X=2\nä=3\n", {"a.b-c": "1", "1X": "2"}),
    ("A B=1\nnothing\n\n=2\nC=3\n", {"nothing": "2", "C": "3"}),
    ("A B=1\nnothing at all\n=2\nC=3\n", {"C": "3"}),
    ("A=${B}\nC=$D\n", {"A": "${B}", "C": "$D"}),
    ("A=\u00a0x\u3000\nB=y\x85\nC=z\x1c\n", {"A": "x", "B": "y\x85", "C": "z\x1c"}),
    ("A=1\u2028B=2\n", {"A": "1\u2028B=2"}),
    ("A=# x\u2028B=2\n", {"A": "", "B": "2"}),
    ("A=Zoë 🔒\nB='Zoë 🔒'\n", {"A": "Zoë 🔒", "B": "Zoë 🔒"}),
    ("A=C:\\new\\run\n", {"A": "C:\\new\\run"}),
    ("A='\nB='\n", {"A": "\nB="}),
    ("A=''\nB=\"\"\nC=``\n", {"A": "", "B": "", "C": ""}),
    ("A='\n", {"A": "'"}),
    ("A= ' x '\n", {"A": " x "}),
    ("A='p' #'q'\nB=1\n", {"A": "p", "B": "1"}),
]

#: Each kept in one way or another, whatever the text around it.
CARRIED = [
    "",
    "postgresql",
    "/etc/contralock/ca.crt",
    "with space",
    " space around ",
    "#leading",
    "in # between",
    "it's",
    'say "hi"',
    "back`tick",
    'it\'s "both"',
    "'quoted'",
    '"quoted"',
    "$HOME ${B} $(id) %s",
    "a=b",
    "C:\\new",
    "ends with \\",
    "\\n",
    "two\nlines",
    "carriage\rreturn",
    "all three '\"` of them",
    "Zoë 🔒",
    "\u00a0non-breaking\u00a0",
    "\\1 $2 \\g<0> $&",
]

FILE = """\
# ContraLock
NODE_ENV=production   # never change

DB_TYPE = "sqlite" # the switch
DB_PATH=./data/contralock.sqlite
export JWT_SECRET='s3cr#t'
EMPTY=
# about PORT
PORT=5000"""


@pytest.mark.parametrize(("text", "expected"), READ, ids=[repr(text) for text, _ in READ])
def test_reads_what_dotenv_reads(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", [text for text, _ in READ], ids=repr)
def test_a_place_holds_the_text_of_its_value(text):
    for assignment in assignments(text):
        spelled = text[assignment.start : assignment.end]
        assert not assignment.quote or spelled[0] == spelled[-1] == assignment.quote
        inner = spelled[1:-1] if assignment.quote else spelled
        assert inner.replace("\r\n", "\n") == assignment.value or "\\" in inner


@pytest.mark.parametrize("value", CARRIED, ids=repr)
@pytest.mark.parametrize(
    "text",
    ["", FILE, FILE.replace("\n", "\r\n"), 'KEY="old"\n', "KEY=\n\n# next\nB=2\n", "KEY= # about\n", "KEY:\nB='x'\n"],
    ids=["empty", "file", "file with CRLF", "quoted", "unset", "unset with comment", "with a colon"],
)
def test_reads_back_what_was_set(text, value):
    before = parse(text)
    changed = set_values(text, {"KEY": value})
    assert parse(changed) == {**before, "KEY": value}
    assert set_values(changed, {"KEY": value}) == changed


def test_changes_in_place_and_nothing_else():
    changed = set_values(FILE, {"DB_TYPE": "postgresql", "DB_PATH": "/srv/my data", "JWT_SECRET": "it's", "EMPTY": "x"})
    assert changed == FILE.replace('"sqlite"', '"postgresql"').replace(
        "./data/contralock.sqlite", "'/srv/my data'"
    ).replace("'s3cr#t'", '"it\'s"').replace("EMPTY=", "EMPTY=x")


def test_there_and_back_is_the_same_text():
    for text in (FILE, FILE.replace("\n", "\r\n"), FILE.replace('"sqlite"', "sqlite")):
        assert set_values(set_values(text, {"DB_TYPE": "postgresql"}), {"DB_TYPE": "sqlite"}) == text


def test_what_is_as_wanted_keeps_its_spelling():
    text = "A = 'plain'\nB=\"5432\"\n"
    assert set_values(text, {"A": "plain", "B": "5432"}) == text


def test_only_the_last_of_several_assignments_is_changed():
    assert set_values("A=1\nA=2\n# A=0\n", {"A": "3"}) == "A=1\nA=3\n# A=0\n"


def test_new_keys_come_below_a_mark_once():
    once = set_values("A=1", {"B": "2", "C": "3"})
    assert once == f"A=1\n\n{MARK}\nB=2\nC=3\n"
    assert set_values(once, {"D": "4"}) == f"{once}D=4\n"
    assert set_values(f"{once}\nOTHER=1\n", {"D": "4"}) == f"{once}\nOTHER=1\n\n{MARK}\nD=4\n"
    assert set_values("A=1\r\n", {"B": "2"}) == f"A=1\r\n\r\n{MARK}\r\nB=2\r\n"
    assert set_values("", {"B": "2"}) == f"{MARK}\nB=2\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("KEY=1\n", "'\"`#"), ("", "'\"`#"), ("KEY='1'\n", "# '\"`"), ("KEY=1\n", "\\n\n'\"`#")],
    ids=repr,
)
def test_a_value_that_no_quotes_carry_is_refused_and_not_shown(text, value):
    with pytest.raises(MigrationError) as refused:
        set_values(text, {"KEY": f"s3cret{value}"})
    assert "no kind of quotes carries the value of KEY" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "A B", "A=B", "1A", "A.B", "ä"])
def test_what_is_no_name_is_refused(key):
    with pytest.raises(MigrationError, match="is no name of a variable"):
        set_values("", {key: "1"})
