"""Keeps watch over the house: what no linter knows about it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py")) + sorted((ROOT / "workers").rglob("*.py"))
SLICES = {
    "actions", "audience", "bounces", "consent", "contacts", "content", "delivery", "domains", "folders", "letterhead",
    "links", "mailings", "pages", "privacy", "recipients", "statistics", "timeline", "tracking", "webhooks",
}  # fmt: skip
LOOSE_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
BELOW_ROUTES = {"models.py", "errors.py", "queries.py", "service.py"}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def in_slices() -> list[Path]:
    return [path for path in SOURCES if path.relative_to(ROOT).parts[1] in SLICES]


def test_no_file_is_longer_than_400_lines():
    long = {named(path): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}
    assert not long, "is a room missing?"


def test_imports_only_go_down():
    """The contract in pyproject.toml is the architecture."""
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout


def test_no_name_that_says_nothing():
    assert not [named(path) for path in SOURCES if path.stem in LOOSE_NAMES]


def test_slices_never_commit():
    assert not [named(path) for path in in_slices() if re.search(r"\bcommit\(", path.read_text())]


def test_no_import_inside_a_function():
    found = []
    for path in SOURCES:
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{named(path)}:{node.lineno}"
                    for node in ast.walk(function)
                    if isinstance(node, ast.Import | ast.ImportFrom)
                ]
    assert not found


def test_the_web_framework_stays_in_routes():
    found = [
        named(path)
        for path in in_slices()
        if path.name in BELOW_ROUTES
        and re.search(r"^(from|import) (fastapi|starlette)", path.read_text(), re.MULTILINE)
    ]
    assert not found


@pytest.mark.parametrize("slice_name", sorted(SLICES))
def test_every_slice_says_what_it_owns(slice_name):
    module = ast.parse((ROOT / "app" / slice_name / "__init__.py").read_text())
    assert len(ast.get_docstring(module) or "") > 40


def test_every_package_of_the_house_is_known():
    rooms = {path.name for path in (ROOT / "app").iterdir() if (path / "__init__.py").exists()}
    assert rooms <= SLICES | {"platform", "embedded", "demo"}


@pytest.mark.parametrize("slice_name", sorted(SLICES))
def test_every_slice_is_on_the_architecture_page(slice_name):
    assert re.search(rf"^\|.*`{slice_name}`.*\|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)


def test_no_possessive_group_in_a_pattern():
    """Python before 3.11.5 loses what such a group captured (gh-101955), and Debian 12 has 3.11.2."""
    possessive = re.compile(r"[^\\]\)[?*+]\+(?!,)|\(\?>")
    assert not [named(path) for path in SOURCES if possessive.search(path.read_text())]


def test_locks_name_no_host():
    for lock in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (ROOT / lock).read_text()


# The rules of issue "People and audience", by the words of the domain: what they ask for is built.
RULES = ("D13", *(f"D{number}" for number in range(17, 26)), "D60", "D76", "D77", "D78")


def test_every_rule_is_named_by_a_test():
    """A rule is found from its number, by whoever wonders what holds it."""
    named_in = dict.fromkeys(RULES, 0)
    for path in (ROOT / "tests").rglob("test_*.py"):
        lines = path.read_text().splitlines()
        for function in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or not function.name.startswith(
                "test_"
            ):
                continue
            body = "\n".join(lines[function.lineno - 1 : function.end_lineno])
            for rule in set(re.findall(r"\bD\d+\b", body)) & named_in.keys():
                named_in[rule] += 1
    assert not [rule for rule, tests in named_in.items() if not tests]
