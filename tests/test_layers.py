"""The layers of docs/architecture.md: who may import whom. No exceptions, also none for types or imports inside functions."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "flowrt": ROOT / "flowrt",
    "flowrt_nodes": ROOT / "nodes" / "flowrt_nodes",
    "flowrt_sim": ROOT / "sim" / "flowrt_sim",
    "flowrt_scoring": ROOT / "scoring" / "flowrt_scoring",
    "flowrt_ops": ROOT / "ops" / "flowrt_ops",
    "flowrt_web": ROOT / "web" / "flowrt_web",
}
MAY_IMPORT = {
    "flowrt": set(),
    "flowrt_nodes": {"flowrt", "flowrt_sim"},
    "flowrt_sim": set(),
    "flowrt_scoring": {"flowrt", "flowrt_nodes", "flowrt_sim"},
    "flowrt_ops": {"flowrt"},
    "flowrt_web": {"flowrt", "flowrt_nodes"},
}
"""Which of our packages each of them may import."""
LAYERS = [
    {"addresses", "secrets"},
    {"system"},
    {"message", "diagnostics", "clock", "capture_time", "sink"},
    {"contract"},
    {"node"},
    {"catalog", "services"},
    {"flow"},
    {"config", "journal"},
    {"plan", "delivery"},
    {"runtime"},
    {"watch", "testing"},
    {"http"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOMAIN = "traffic"
"""The domain's vocabulary, beside the layers: it may import up to `config`."""
HANDED_ON = {ROOT / "flowrt" / "__init__.py", ROOT / "flowrt" / "testing" / "__init__.py"}
"""Where the domain's public names are handed on, beside the core's; nothing else in the core imports it."""
OPEN_TO_NODES = {
    "capture_time",
    "addresses",
    "contract",
    "diagnostics",
    "node",
    "services",
    "sink",
    "system",
    "traffic",
}
"""What the node library may import beside flowrt's public names; never the graph, the loader, or what runs it."""
TRAFFIC = re.compile(
    r"vehicle|pedestrian|crosswalk|violation|homography|scene|red_light|jaywalk|(?<!p)lane(?!t)|speed_kmh|spat/",
    re.IGNORECASE,
)
"""Words of the domain; "plane" and "planet" are none."""


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_of(file: Path, package: str) -> str:
    parts = [package, *file.relative_to(PACKAGES[package]).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it; a name imported from a package counts as a module of it where it is one."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {
                f"{node.module}.{alias.name}" if exists(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def exists(module: str) -> bool:
    package, *rest = module.split(".")
    if package not in PACKAGES:
        return False
    place = PACKAGES[package].joinpath(*rest)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


FILES = [(package, file) for package, folder in PACKAGES.items() for file in modules(folder)]
CORE = [file for file in modules(ROOT / "flowrt") if file not in HANDED_ON]


@pytest.mark.parametrize("file", CORE, ids=str)
def test_each_layer_imports_only_what_stands_before_it(file: Path) -> None:
    own = file.relative_to(ROOT / "flowrt").parts[0].removesuffix(".py")
    level = LEVEL["config"] if own == DOMAIN else LEVEL.get(own)
    assert level is not None, f"{own} has no place in the layers"
    for module in imports(file):
        package, *rest = module.split(".")
        if package != "flowrt":
            continue
        assert rest, f"{file.relative_to(ROOT)} imports flowrt itself, which is for others"
        if rest[0] == own:
            continue
        assert rest[0] != DOMAIN, f"{file.relative_to(ROOT)} imports the domain"
        assert LEVEL[rest[0]] <= level, f"{file.relative_to(ROOT)} imports {module}"


def test_the_runtime_knows_nothing_of_traffic() -> None:
    """Neither names nor texts of the core, but for examples in docstrings, speak of the domain."""
    found = []
    for file in CORE:
        if file.is_relative_to(ROOT / "flowrt" / DOMAIN):
            continue
        tree = ast.parse(file.read_text())
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            said = ""
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                said = node.value
            elif isinstance(node, ast.Name | ast.Attribute | ast.FunctionDef | ast.ClassDef | ast.arg | ast.keyword):
                said = (
                    getattr(node, "id", None)
                    or getattr(node, "attr", None)
                    or getattr(node, "name", None)
                    or node.arg
                    or ""
                )
            if TRAFFIC.search(said):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {said[:80]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_stands_below_them(package: str) -> None:
    for file in modules(PACKAGES[package]):
        others = {module.partition(".")[0] for module in imports(file)} & PACKAGES.keys()
        assert others - {package} <= MAY_IMPORT[package], file


def test_nodes_import_only_what_is_open_to_them() -> None:
    public = set(importlib.import_module("flowrt").__all__)
    for file in modules(PACKAGES["flowrt_nodes"]):
        own = {module.split(".")[1] for module in imports(file) if module.startswith("flowrt.")}
        commands = {"commands"} if "_command" in file.parts else set()  # a command of the domain, beside its node
        assert own - public <= OPEN_TO_NODES | commands, file


def test_private_modules_are_imported_only_beside_them() -> None:
    """A module or folder named `_…` belongs to the folder that it stands in."""
    for package, file in FILES:
        for module in imports(file):
            parts = module.split(".")
            private = [i for i, part in enumerate(parts) if part.startswith("_") and not part.startswith("__")]
            if parts[0] not in PACKAGES or not private:
                continue
            home = ".".join(parts[: private[0]])
            own = module_of(file, package)
            assert own == home or own.startswith(home + "."), f"{file.relative_to(ROOT)} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module_of(file, package): file for package, file in FILES}
    arrows = {name: {m for m in imports(file) if m in names and m != name} for name, file in names.items()}
    for name, targets in arrows.items():  # a package's own __init__ only hands its modules' names on
        arrows[name] = {target for target in targets if not name.startswith(target + ".")}
    settled: set[str] = set()
    while ready := {name for name in arrows.keys() - settled if arrows[name] <= settled}:
        settled |= ready
    stuck = sorted(arrows.keys() - settled)
    assert not stuck, f"modules in or above a circle: {stuck}"
