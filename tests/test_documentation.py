"""The documentation agrees with the repository.

The tests check the tree and the example in docs/architecture.md, the tables of formats, the links, the options, and the
size of the README.
"""

from __future__ import annotations

import re
from pathlib import Path

from prompt_template import GENERIC, load_template, template_names
from web.command_line import read_options

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINE = re.compile(r"(?P<indent> *)(?P<names>[\w./*-]+(?:, [\w./*-]+)*)(?:  +(?P<about>\S.*))?")


def described_files() -> dict[str, str]:
    """Return the files in the tree of docs/architecture.md, each with its description there."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    tree = text.split("## The tree", 1)[1].split("```", 2)[1]
    folders: list[tuple[int, str]] = []
    found: dict[str, str] = {}
    for line in filter(None, tree.splitlines()):
        parts = _LINE.fullmatch(line)
        assert parts is not None, f"not a line of the tree: {line!r}"
        indent = len(parts["indent"])
        folders = [(depth, name) for depth, name in folders if depth < indent]
        before = "".join(name for _, name in folders)
        for name in parts["names"].split(", "):
            if name.endswith("/"):
                folders.append((indent, name))
            for path in sorted(ROOT.glob(before + name)) if "*" in name else [ROOT / before / name]:
                found[str(path.relative_to(ROOT))] = parts["about"] or ""
    return found


def test_the_tree_in_the_documentation_is_the_tree_on_disk() -> None:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name.isidentifier()]
    folders = [path for path in folders if not (path / "pyvenv.cfg").exists()]  # a virtual environment of any name
    paths = [*ROOT.glob("*.py"), *(file for folder in folders for file in folder.rglob("*.py"))]
    names = {str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py"}
    on_disk = {name for name in names if not name.startswith(("tests/", "examples/"))}
    described = {name for name in described_files() if name.endswith(".py") and not name.endswith("__init__.py")}
    assert described - on_disk == set(), "docs/architecture.md names files that do not exist"
    assert on_disk - described == set(), "docs/architecture.md lacks files"


def test_every_file_and_folder_of_the_tree_is_described() -> None:
    assert [name for name, about in described_files().items() if not about] == []


def test_links_lead_to_files() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_links_lead_to_headings() -> None:
    broken = []
    for page in PAGES:
        for target, heading in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
            text = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
            if heading not in [re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings]:
                broken.append(f"{page.name}: {target}#{heading}")
    assert broken == []


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) < 8192


def test_every_option_is_explained() -> None:
    options = {f"--{name.replace('_', '-')}" for name in vars(read_options([]))}
    text = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert options == set(re.findall(r"--[a-z-]+", text)) & options, "docs/deployment.md lacks options"


def test_the_example_of_a_format_is_small_and_whole() -> None:
    """docs/architecture.md shows one template as an example, which has to stay short and to be a format itself."""
    section = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## Adding a format\n", 1)[1]
    section = section.split("\n## ", 1)[0]
    assert len(re.findall(r"(?m)^\d+\. ", section)) <= 10
    examples = re.findall(r"\]\(\.\./templates/(\w+)\.py\)", section)
    assert len(examples) == 1
    text = (ROOT / "templates" / f"{examples[0]}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    assert "\nTEMPLATE: PromptTemplate = " in text
    assert load_template(examples[0]).name == examples[0]
    assert len(list((ROOT / "tests" / "golden" / examples[0]).glob("*.json"))) >= 5


def test_every_format_is_in_the_tables_of_models() -> None:
    """docs/models.md lacked the formats that were added last, so a user could not know that they exist."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", text)) == {*template_names(), GENERIC}
