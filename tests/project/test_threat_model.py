"""Each attack in THREAT_MODEL.md names a test that exists, and each row of docs/asvs.md has a state."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST_FILE = re.compile(r"`(tests/[\w./]+\.py)`")
LINK = re.compile(r"\]\(([^)#]+)\)")
STATE = re.compile(r"(?:met|partly|not|does not apply)(?=$|:| )")


def read_rows(document: str, columns: int) -> list[list[str]]:
    """Return the cells of the rows of all tables with this number of columns, without their heads."""
    lines = (ROOT / document).read_text().splitlines()
    tables = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    rows = [[cell.strip() for cell in row] for row in tables if len(row) == columns]
    return [row for row in rows if row[0] not in {"-", "Actor", "Requirement"}]


def test_each_attack_names_tests_that_exist():
    rows = read_rows("THREAT_MODEL.md", 5)
    assert len(rows) > 40
    for row in rows:
        files = TEST_FILE.findall(row[-1])
        assert files, row
        assert [file for file in files if not (ROOT / file).is_file()] == [], row


def test_each_requirement_has_a_state_and_its_evidence():
    rows = read_rows("docs/asvs.md", 4)
    assert len(rows) > 90
    for requirement, _, state, evidence in rows:
        assert STATE.match(state), requirement
        if state.startswith(("met", "partly")):
            links = LINK.findall(evidence)
            assert links, requirement
            assert all((ROOT / "docs" / link).exists() for link in links), requirement


def test_each_requirement_is_listed_once():
    numbers = [number for row in read_rows("docs/asvs.md", 4) for number in row[0].split(", ")]
    assert len(numbers) == len(set(numbers))
