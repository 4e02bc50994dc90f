"""The shape of the house: it does not protect itself, so these tests do."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests import source
from tests.source import ROOT, name_of, read, sources

LONGEST_FILE = 300
LONGEST_FUNCTION = 60
DEEPEST_BLOCK = 4

HEAVY = {
    "PIL", "accelerate", "anthropic", "bitsandbytes", "celery", "ctranslate2", "cv2", "dashscope", "datasets",
    "diffusers", "dlib", "faster_whisper", "imageio", "librosa", "matplotlib", "numpy", "onnxruntime", "openai",
    "pandas", "peft", "piper", "requests", "safetensors", "scipy", "skimage", "sklearn", "soundfile", "tokenizers",
    "torch", "torchaudio", "torchvision", "transformers", "xllamacpp",
}  # fmt: skip

# Settings read the environment, and hand it on as a whole to child processes. Two files are glue between processes
# and not parts of the service: gunicorn's gives the engine host its address, the host's learns from the environment
# which process it must not outlive.
ENVIRONMENT_GLUE = {
    "services/settings.py": {"from pydantic_settings", "*"},
    "gunicorn.conf.py": {"PROMETHEUS_MULTIPROC_DIR", "ENGINE_URL", "*"},
    "backend/host_conf.py": {"HOST_PARENT"},
}


def test_imports_go_one_way() -> None:
    ran = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "import wsgi",
        "import backend.host",
        "from services.engines import base; base.all_engines()",
        "from services.compute import registry; registry.all_functions()",
    ],
)
def test_a_start_loads_nothing_heavy(statement: str, tmp_path: Path) -> None:
    assert loaded_by(statement, tmp_path) & HEAVY == set()


def test_the_arbiter_starts_others_before_it_loads_what_they_need(tmp_path: Path) -> None:
    loaded = loaded_by("import backend.gunicorn_worker, backend.gunicorn_log", tmp_path)
    assert "gunicorn" in loaded and loaded & {"flask", "sqlalchemy", "prometheus_client"} == set()


def loaded_by(statement: str, folder: Path) -> set[str]:
    """The names of the packages that a fresh Python has loaded after *statement*."""
    folders = {name: str(folder) for name in ("INSTANCE_DIR", "DATA_DIR", "MODELS_DIR")}
    program = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=folders, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_only_settings_read_the_environment() -> None:
    uses = {name_of(path): source.environment_uses(read(path)) for path in sources()}
    assert {name: used for name, used in uses.items() if used} == ENVIRONMENT_GLUE


def test_files_can_be_read_at_once() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_functions_can_be_seen_whole() -> None:
    found = [
        f"{name_of(path)}:{function.lineno} {function.name}: {source.lines_of(function)} lines"
        for path in sources()
        for function in source.functions(read(path))
        if source.lines_of(function) > LONGEST_FUNCTION
    ]
    assert found == []


def test_blocks_are_not_nested_deeply() -> None:
    found = [
        f"{name_of(path)}:{function.lineno} {function.name}: {source.depth_of(function)} deep"
        for path in sources()
        for function in source.functions(read(path))
        if source.depth_of(function) > DEEPEST_BLOCK
    ]
    assert found == []


def test_rooms_have_names() -> None:
    names = [name_of(path) for path in [*sources(), *(ROOT / "tests").rglob("*.py")]]
    words = {name: set(name.removesuffix(".py").replace("/", "_").split("_")) for name in names}
    assert [name for name, found in words.items() if found & source.ROOMS_WITHOUT_NAME] == []


def test_nothing_is_left_for_later() -> None:
    assert find_lines(source.UNFINISHED) == []


def test_no_path_of_one_machine() -> None:
    assert find_lines(source.MACHINE_PATHS) == []


def find_lines(pattern: re.Pattern[str]) -> list[str]:
    """Where *pattern* stands in the project's files."""
    return [
        f"{name_of(path)}:{number} {line.strip()[:100]}"
        for path in source.texts()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_services_say_what_they_do() -> None:
    missing = {
        name_of(path): source.undocumented(read(path), path.stem) for path in sources() if "services" in path.parts
    }
    assert {name: names for name, names in missing.items() if names} == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [name_of(path) for path in sources() if not ast.get_docstring(read(path))] == []


def test_tests_of_services_need_no_web() -> None:
    files = (ROOT / "tests" / "services").rglob("*.py")
    web = {"flask", "werkzeug", "blueprints"}
    assert {name_of(path): found for path in files if (found := source.modules_imported(read(path)) & web)} == {}


def test_names_in_the_api_document_are_unique() -> None:
    """The document knows classes by their bare names; of two with one name, one would vanish without a word."""
    import_all()
    homes = defaultdict(set)
    for model in subclasses(BaseModel):
        if model.__module__.partition(".")[0] in source.FLOORS:
            homes[model.__name__].add(model.__module__)
    assert {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1} == {}


def import_all() -> None:
    for floor in source.FLOORS:
        package = importlib.import_module(floor)
        for module in pkgutil.walk_packages(package.__path__, f"{floor}."):
            # A worker is a program: importing it opens its broker, and without one it ends.
            if "migrations" not in module.name and module.name != "backend.worker":
                importlib.import_module(module.name)


def subclasses(base: type) -> list[type]:
    return [found for child in base.__subclasses__() for found in [child, *subclasses(child)]]


# The guards themselves


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("import os; os.environ['A']", {"A"}),
        ("import os; os.environ.get('A', '')", {"A"}),
        ("import os; os.getenv('A')", {"A"}),
        ("import os; os.environ['A'] = os.environ['B']", {"A", "B"}),
        ("import os; dict(os.environ)", {"*"}),
        ("import os; os.environ[name]", {"*"}),
        ("from os import environ", {"from os"}),
        ("from dotenv import load_dotenv", {"from dotenv"}),
        ("import os; os.getpid(); request.environ['wsgi.input']", set()),
    ],
)
def test_the_guard_sees_the_environment(code: str, used: set[str]) -> None:
    assert source.environment_uses(ast.parse(code)) == used


def test_the_guard_sees_depth() -> None:
    deep = textwrap.dedent("""
        def f():
            for a in b:
                if a:
                    pass
                elif c:
                    with d:
                        pass
    """)
    assert source.depth_of(ast.parse(deep)) == 3


def test_the_guard_sees_length() -> None:
    (function,) = source.functions(ast.parse("def f():\n    a = 1\n    return a\n"))
    assert source.lines_of(function) == 3


def test_the_guard_sees_missing_docstrings() -> None:
    code = textwrap.dedent("""
        class Fields:
            a: int = 1

        class Deeds:
            def act(self): ...

        class Promise(ABC):
            \"\"\"A promise of something.\"\"\"
            @abstractmethod
            def keep(self): ...

        class HouseRoom:
            def act(self): ...

        def public(): ...
        def _private(): ...
    """)
    assert source.undocumented(ast.parse(code), "house_room") == ["the module", "Deeds", "Promise.keep", "public"]


def test_the_guard_sees_words_and_paths() -> None:
    assert source.UNFINISHED.search("# TO" + "DO: later")
    assert not source.UNFINISHED.search("the hackathon's todo list")
    assert source.MACHINE_PATHS.search("cd /wo" + "rk/main")
    assert not source.MACHINE_PATHS.search("https://host/wo" + "rk/main")
