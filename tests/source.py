"""What the guards of the house read in source files; pure functions, so that each guard is itself tested."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("backend", "blueprints", "services")
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith, ast.TryStar)

# Put together from parts, so that the guards do not find themselves.
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "HA" + "CK", "X" + "XX"]) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:" + "|".join(["wo" + "rk", "ro" + "ot"]) + r")/\w")
ROOMS_WITHOUT_NAME = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    """Every Python file of the three floors and the two at the top; migrations are Alembic's."""
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py") if "migrations" not in path.parts]
    return sorted([*files, ROOT / "wsgi.py", ROOT / "gunicorn.conf.py"])


def texts() -> list[Path]:
    """Every text file of the project, tests and documents too; not what belongs to one installation."""
    folders = [path for name in (*FLOORS, "tests", "docs", "deploy", ".ci") for path in (ROOT / name).rglob("*")]
    files = [path for path in [*folders, *ROOT.iterdir(), ROOT / "models" / "catalog.toml"] if path.is_file()]
    return sorted(path for path in files if path.name != ".env" and b"\0" not in path.read_bytes()[:8000])


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> list[Function]:
    """Every function and method, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def depth_of(node: ast.AST) -> int:
    """How many blocks stand in one another below *node*; an `elif` is no deeper than its `if`."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        inside = depth_of(child)
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        if isinstance(child, BLOCKS) and not is_elif:
            inside += 1
        deepest = max(deepest, inside)
    return deepest


def environment_uses(tree: ast.AST) -> set[str]:
    """Names that are read or set in the environment; `*` where it is used as a whole."""
    whole = {id(node): "*" for node in ast.walk(tree) if _is_environment(node)}
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))) if id(value) in whole:
                whole[id(value)] = name
            case ast.Call(func=ast.Attribute(value=value), args=[ast.Constant(value=str(name)), *_]) if (
                id(value) in whole
            ):
                whole[id(value)] = name
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if id(function) in whole:
                whole[id(function)] = name
            case _:
                pass
    return set(whole.values()) | _environment_imports(tree)


def _is_environment(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "environb", "getenv", "putenv", "unsetenv"}
        and (isinstance(node.value, ast.Name) and node.value.id == "os")
    )


def _environment_imports(tree: ast.AST) -> set[str]:
    """`from os import environ` and readers of `.env` hide the environment behind another name."""
    modules = {"dotenv", "pydantic_settings"}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            hidden = node.module == "os" and {alias.name for alias in node.names} & {"environ", "environb", "getenv"}
            found |= {f"from {node.module}"} if hidden or node.module in modules else set()
        elif isinstance(node, ast.Import):
            found |= {f"import {alias.name}" for alias in node.names if alias.name in modules}
    return found


def undocumented(tree: ast.Module, room: str = "") -> list[str]:
    """What needs a docstring and has none.

    The module; public functions and classes at its top; and what a contract promises: abstract methods.
    A class of fields alone speaks by its fields, and of the class that *room*, the module, is named for, the
    module tells.
    """
    missing = [] if _documented(tree) else ["the module"]
    public = [
        node for node in tree.body if isinstance(node, (ast.ClassDef, Function)) and not node.name.startswith("_")
    ]
    for node in public:
        told = _documented(node) or _only_fields(node) or node.name.lower() == room.replace("_", "")
        if not told:
            missing.append(node.name)
        missing += [f"{node.name}.{method}" for method in _undocumented_promises(node)]
    return missing


def _documented(node: ast.Module | ast.ClassDef | Function) -> bool:
    first = (ast.get_docstring(node) or "").partition("\n")[0]
    return len(first.split()) > 1


def _only_fields(node: ast.AST) -> bool:
    # A string under a field is the field's docstring.
    fields = (ast.AnnAssign, ast.Assign, ast.Pass, ast.Expr)
    return isinstance(node, ast.ClassDef) and all(isinstance(part, fields) for part in node.body)


def _undocumented_promises(node: ast.AST) -> Iterator[str]:
    for method in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(method, Function) and not _documented(method):
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in method.decorator_list}
            if "abstractmethod" in decorators:
                yield method.name


def modules_imported(tree: ast.AST) -> set[str]:
    """The top-level packages that are imported anywhere in *tree*."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
