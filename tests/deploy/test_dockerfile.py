"""The Dockerfile copies what the processes import, from what exists, and ends as an ordinary user."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy import composition

ROOT = composition.ROOT
MODULES = {
    "services.fees.app",
    "services.payment.app",
    "services.payment.gateway",
    "services.postal.app",
    "workflows.api",
    "workflows.worker",
}
IGNORED_MODULES = {"tests", "sandbox", "benchmarks", "deploy"}


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments of each line, continuations joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def copied() -> set[str]:
    """Paths taken from the project."""
    arguments = [rest.split() for word, rest in instructions() if word == "COPY" and "--from=" not in rest]
    return {source for parts in arguments for source in parts[:-1]}


def own_packages() -> set[str]:
    """Top folders of the project that can be imported."""
    return {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("**/*.py")) and path.name[0] != "."}


def imported_packages(folder: Path) -> set[str]:
    """Top names imported anywhere below a folder."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
    return found


def test_everything_copied_exists_and_is_let_through() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert ignore[1] == "*"
    assert copied() == {"requirements.lock", "alembic.ini", "kit", "services", "workflows"}
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignore, source


def test_everything_let_through_is_copied() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert {line[1:] for line in ignore if line.startswith("!")} == copied()


def test_every_project_package_that_the_image_imports_is_copied() -> None:
    needed = {name for folder in copied() if (ROOT / folder).is_dir() for name in imported_packages(ROOT / folder)}

    assert needed & own_packages() <= copied()
    assert not needed & IGNORED_MODULES


def modules_that_compose_runs() -> set[str]:
    """Modules named by uvicorn factories and `python -m`."""
    commands = [service["command"] for service in composition.our_services().values()]
    factories = {
        c.partition(":")[0] for command in commands for c in command if re.fullmatch(r"[a-z_.]+:create_app", c)
    }
    return factories | {command[2] for command in commands if command[:2] == ["python", "-m"]}


def test_compose_runs_the_processes_of_the_house() -> None:
    assert modules_that_compose_runs() == MODULES


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What /app holds in the image."""
    folder = tmp_path_factory.mktemp("app")
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / source, folder / source)
    return folder


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_process_can_be_imported_from_what_is_copied(module: str, image_folder: Path) -> None:
    code = f"import importlib; print(importlib.import_module({module!r}).__file__)"

    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=image_folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(image_folder))


def test_alembic_finds_its_folders_in_the_image() -> None:
    for line in re.findall(
        r"^script_location = (.+)$", (ROOT / "alembic.ini").read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert line.split("/")[0] in copied()
        assert (ROOT / line / "env.py").exists()


def test_both_stages_start_from_the_same_pinned_python_that_the_project_supports() -> None:
    bases = [rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")

    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(rf"python:{re.escape(oldest)}\.\d+-slim-[a-z]+", bases[0])


def test_dependencies_are_installed_by_hash() -> None:
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]

    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "requirements.lock" in installs[0]


def test_the_image_ends_as_the_user_that_compose_names() -> None:
    users = [rest for word, rest in instructions() if word == "USER"]

    assert users == ["10001:10001"]
    assert [word for word, _ in instructions()].index("USER") > [word for word, _ in instructions()].index("COPY")


@pytest.mark.parametrize("name", [".env", "secrets", "id_rsa"])
def test_no_secret_file_can_enter_the_build(name: str) -> None:
    assert name not in copied()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[-1] == "**/.*"
