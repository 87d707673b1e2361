"""Writes a fresh `.env` for compose.yaml: example.env with a new random value for every secret we choose ourselves.

Run as `python -m deploy.secrets [FILE]`; needs nothing but the standard library. What others give us (keys of the
gateway and the bank, public addresses, account numbers) stays empty, and compose refuses to start until it is filled.
"""

import argparse
import base64
import os
import re
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "deploy" / "example.env"

_VARIABLE = re.compile(r"^([A-Z][A-Z0-9_]*)=(.*)$")


def new_password() -> str:
    """256 random bits in letters, digits, `-` and `_`: safe in an address, a shell and an env file."""
    return secrets.token_urlsafe(32)


def new_webhook_secret() -> str:
    """A Standard Webhooks secret: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


GENERATORS: dict[str, Callable[[], str]] = {"password": new_password, "webhook": new_webhook_secret}
"""What a line `# generated: <kind>` above a variable asks for."""


def filled(template: str) -> str:
    """The template with a value for every variable that a `# generated:` line stands above. ValueError on misuse."""
    lines: list[str] = []
    kind: str | None = None
    for line in template.splitlines():
        variable = _VARIABLE.match(line)
        if line.startswith("# generated: "):
            kind = line.removeprefix("# generated: ").strip()
            if kind not in GENERATORS:
                raise ValueError(f"example.env asks for an unknown kind of secret: {kind}")
        elif variable is not None and kind is not None:
            name, value = variable.groups()
            if value:
                raise ValueError(f"{name} is to be generated, but example.env already gives it a value")
            lines.append(f"{name}={GENERATORS[kind]()}")
            kind = None
            continue
        lines.append(line)
    return "\n".join(lines) + "\n"


def unfilled(env: str) -> list[str]:
    """Names of the variables that are still empty and marked `# required` above."""
    found: list[str] = []
    required = False
    for line in env.splitlines():
        variable = _VARIABLE.match(line)
        if line.strip() == "# required":
            required = True
        elif variable is not None:
            if required and not variable.group(2):
                found.append(variable.group(1))
            required = False
    return found


def write_new(path: Path, text: str) -> None:
    """Create `path`, readable by its owner only. FileExistsError when it is there: secrets are never overwritten."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def main(arguments: list[str] | None = None) -> int:
    """Entry point: 0 when written, 1 when the file exists."""
    parser = argparse.ArgumentParser(prog="python -m deploy.secrets", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / ".env", help="where to write (default: .env)")
    path: Path = parser.parse_args(arguments).file
    text = filled(TEMPLATE.read_text(encoding="utf-8"))
    try:
        write_new(path, text)
    except FileExistsError:
        sys.stderr.write(f"{path} exists and is kept: its passwords open databases that already hold data.\n")
        return 1
    names = "\n".join(f"  {name}" for name in unfilled(text))
    sys.stdout.write(f"Wrote {path} (mode 0600). Fill in before the first start:\n{names}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
