"""The layers of docs/architecture.md: who may import whom."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"messages", "problem", "clock", "scene", "fingerprint", "entry_points"},
    {"node"},
    {"catalog"},
    {"flow"},
    {"services", "service_checks", "environment", "influx_buckets", "document", "share", "recording"},
    {"contract", "journal", "line_protocol"},
    {"load", "plan", "delivery", "editor_schema", "show", "graph_layout", "graph_png"},
    {"runtime"},
    {"watch", "flowtest", "kept", "replay"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TYPES_ONLY = {("node", "contract")}
"""The node API names the contract's type; it imports it for type checkers only."""


def imports(file: Path, package: str) -> set[str]:
    """First names below `package` that a file imports at any depth, type checking excluded."""
    found = set()
    tree = ast.parse(file.read_text())
    guarded = {
        id(x)
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
        for x in ast.walk(n)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != package else [f"{package}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith(package + ".")}
    return found


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize(
    "file", [f for f in modules(ROOT / "flowrt") if f.name != "__init__.py" or f.parent.name != "flowrt"], ids=str
)
def test_each_layer_imports_only_what_stands_before_it(file: Path) -> None:
    own = file.relative_to(ROOT / "flowrt").parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no place in the layers"
    for other in imports(file, "flowrt") - {own}:
        if (own, other) in TYPES_ONLY or other not in LEVEL:
            continue
        assert LEVEL[other] <= LEVEL[own], f"{file.relative_to(ROOT)} imports flowrt.{other}"


def test_the_runtime_never_imports_the_node_library_or_the_simulation() -> None:
    for file in modules(ROOT / "flowrt"):
        text = file.read_text()
        for package in ("flowrt_nodes", "flowrt_sim", "flowrt_ops"):
            assert f"import {package}" not in text, file
            assert f"from {package}" not in text, file


OPEN_TO_NODES = {
    "messages",
    "node",
    "problem",
    "scene",
    "services",
    "service_checks",
    "environment",
    "influx_buckets",
    "contract",
    "share",
    "delivery",
}
"""What the node library may import beside `flowrt` itself; never the graph, the loader, or what runs it."""


def test_nodes_import_only_what_is_open_to_them() -> None:
    public = set(importlib.import_module("flowrt").__all__)
    for file in modules(ROOT / "nodes" / "flowrt_nodes"):
        assert imports(file, "flowrt") - public <= OPEN_TO_NODES, file


def test_the_simulation_knows_nothing_of_flowrt() -> None:
    for file in modules(ROOT / "sim" / "flowrt_sim"):
        text = file.read_text()
        assert "import flowrt\n" not in text, file
        assert "from flowrt " not in text, file
        assert "from flowrt." not in text, file


SHIPPED = ["flowrt", "nodes/flowrt_nodes", "sim/flowrt_sim", "ops/flowrt_ops", "scoring/flowrt_scoring"]


def private_names(file: Path) -> list[tuple[str, ...]]:
    """The dotted names that a file imports of which a part begins with `_`; no `__future__` and the like."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [tuple(name.split(".")) for name in names if "._" in name and "__" not in name]


@pytest.mark.parametrize("package", SHIPPED)
def test_a_module_whose_name_begins_with_an_underscore_serves_only_its_own_folder(package: str) -> None:
    root = ROOT / package
    for file in modules(root):
        folder = file.relative_to(root.parent).parent.parts
        for name in private_names(file):
            owner = name[: max(i for i, part in enumerate(name) if part.startswith("_"))]
            assert folder[: len(owner)] == owner, f"{file}: {name}"
