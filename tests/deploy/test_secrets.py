"""`python -m deploy.secrets` writes a complete .env once, for its owner's eyes only."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.secrets import TEMPLATE, filled, main, unfilled
from tests.deploy.composition import ROOT
from tests.deploy.conftest import ANSWERS, variables_of


def test_a_fresh_file_is_private_and_complete_but_for_the_questions(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    done = subprocess.run(
        [sys.executable, "-m", "deploy.secrets", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(unfilled(path.read_text(encoding="utf-8"))) == set(ANSWERS)
    for value in variables_of(path.read_text(encoding="utf-8")).values():
        assert len(value) < 12 or value not in done.stdout


def test_an_existing_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    path.write_text("KEPT=yes\n", encoding="utf-8")

    assert main([str(path)]) == 1
    assert path.read_text(encoding="utf-8") == "KEPT=yes\n"
    assert "exists and is kept" in capsys.readouterr().err


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / ".env").symlink_to(target)

    assert main([str(tmp_path / ".env")]) == 1
    assert not target.exists()


def test_the_umask_of_the_operator_does_not_open_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert main([str(tmp_path / ".env")]) == 0
    finally:
        os.umask(before)

    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_secrets_are_long_safe_and_different_every_time() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    names = re.findall(r"# generated: (\w+)\n([A-Z0-9_]+)=", template)
    first, second = variables_of(filled(template)), variables_of(filled(template))

    assert len(names) == 23
    values = [run[name] for run in (first, second) for _, name in names]
    assert len(set(values)) == 2 * len(names)
    for kind, name in names:
        if kind == "webhook":
            assert len(base64.b64decode(first[name].removeprefix("whsec_"), validate=True)) == 32
        else:
            assert re.fullmatch(r"[A-Za-z0-9_-]{43}", first[name]), name


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of secret: magic"):
        filled("# generated: magic\nNAME=\n")


def test_a_value_in_the_template_is_not_overwritten_silently() -> None:
    with pytest.raises(ValueError, match="NAME is to be generated"):
        filled("# generated: password\nNAME=given\n")
