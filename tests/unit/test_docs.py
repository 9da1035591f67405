"""What the pages say is there: links, commands, variables, the files that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from shim import environment, patches
from shim.explain import explain, said

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "examples" / "README.md"])


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links, as GitHub makes it: lower case, spaces as `-`, no punctuation."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8"))
    here = [((page.parent / link) if link else page, anchor) for link, anchor in links if "://" not in link]
    assert not [target for target, _ in here if not target.exists()]
    assert not [(target, anchor) for target, anchor in here if anchor and anchor not in anchors(target)]


def test_every_page_is_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def test_every_variable_has_a_row_and_every_row_is_a_variable() -> None:
    text = (ROOT / "docs" / "variables.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(WANDB_SHIM\w*)` \|", text, re.MULTILINE)) == set(environment.OWN_VARIABLES)


def test_the_table_of_patches_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "patching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [
        (patch.name, patch.gives, patch.checked, "" if patch.remove_when == "never" else patch.remove_when)
        for patch in patches.PATCHES
    ]


def test_files_that_the_map_names_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    places = [ROOT, ROOT / "shim", *(ROOT / "shim" / room for room in ("script", "companion", "patches"))]
    assert not [name for name in named if not any((place / name).exists() for place in places)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_in_the_pages_is_yaml(page: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert isinstance(yaml.safe_load(block), dict)


def test_what_explain_says_in_the_readme_is_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ (.*?)python -m shim explain (.*)\n(.*)$", text, re.MULTILINE)
    assert len(shown) == 2
    for variables, command, line in shown:
        named = dict(word.split("=", 1) for word in variables.split())
        (one,) = explain(command.split(), {"WANDB_PROJECT": "p", "PATH": str(tmp_path), **named})
        assert said(one) == line
