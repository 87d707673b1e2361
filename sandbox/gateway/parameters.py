"""Form-encoded parameters with brackets: `metadata[dossier_code]=…`, parsed and checked by type.

A shape names every parameter an endpoint knows with the reader that checks it; anything else is
refused, as the real gateway does, so that a misspelt parameter never passes in the sandbox.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from sandbox.gateway.errors import invalid_parameter

Raw = Any
Reader = Callable[[Raw, str], Any]
Shape = Mapping[str, Reader]

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_INTEGER = re.compile(r"^-?\d{1,18}$")


def parsed(encoded: bytes | str) -> dict[str, Raw]:
    """Nested dictionaries (and lists, for `name[]`) from a form body or a query string."""
    text = encoded.decode("utf-8", errors="replace") if isinstance(encoded, bytes) else encoded
    result: dict[str, Raw] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        found = _KEY.match(key)
        if found is None:
            raise invalid_parameter(f"Invalid parameter name: {key}", key)
        path = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])]
        _put(result, path, value, key)
    return result


def _put(target: dict[str, Raw], path: list[str], value: str, key: str) -> None:
    *parents, last = path
    if last == "" and parents:
        *parents, last = parents
        append = True
    else:
        append = False
    for name in parents:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            raise invalid_parameter(f"Invalid object: {key}", key)
    if not append:
        target[last] = value
        return
    values = target.setdefault(last, [])
    if not isinstance(values, list):
        raise invalid_parameter(f"Invalid array: {key}", key)
    values.append(value)


def checked(raw: Mapping[str, Raw], shape: Shape, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parameters as Python values; raises the gateway's 400 for the first that is wrong."""
    for name in raw:
        if name not in shape:
            raise invalid_parameter(f"Received unknown parameter: {name}", name, "parameter_unknown")
    for name in required:
        if name not in raw:
            raise invalid_parameter(f"Missing required param: {name}.", name, "parameter_missing")
    return {name: shape[name](value, name) for name, value in raw.items()}


def integer(*, minimum: int | None = None, maximum: int | None = None) -> Reader:
    code = "parameter_invalid_integer"

    def read(raw: Raw, name: str) -> int:
        if not isinstance(raw, str) or not _INTEGER.match(raw):
            raise invalid_parameter(f"Invalid integer: {raw}", name, code)
        number = int(raw)
        if minimum is not None and number < minimum:
            raise invalid_parameter(f"This value must be greater than or equal to {minimum}.", name, code)
        if maximum is not None and number > maximum:
            raise invalid_parameter(f"This value must be less than or equal to {maximum}.", name, code)
        return number

    return read


def boolean(raw: Raw, name: str) -> bool:
    if raw in ("true", "True", "1"):
        return True
    if raw in ("false", "False", "0"):
        return False
    raise invalid_parameter(f"Invalid boolean: {raw}", name)


def string(*, maximum: int = 5000, unset: bool = False) -> Reader:
    """Text; with `unset`, the empty string means "remove the value" and is read as None."""

    def read(raw: Raw, name: str) -> str | None:
        if not isinstance(raw, str):
            raise invalid_parameter("Invalid string", name)
        if raw == "":
            if unset:
                return None
            raise invalid_parameter(
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to"
                f" unset a parameter; however '{name}' cannot be unset. You should remove '{name}'"
                " from your request or supply a non-empty value.",
                name,
                "parameter_invalid_empty",
            )
        if len(raw) > maximum:
            raise invalid_parameter(f"Invalid string: {raw[:20]}...; must be at most {maximum} characters", name)
        return raw

    return read


def one_of(*choices: str) -> Reader:
    def read(raw: Raw, name: str) -> str:
        if raw in choices:
            return str(raw)
        listed = " or ".join(choices)
        if len(choices) > 2:
            listed = f"{', '.join(choices[:-1])}, or {choices[-1]}"
        raise invalid_parameter(f"Invalid {name}: must be one of {listed}", name)

    return read


def email(raw: Raw, name: str) -> str | None:
    if raw == "":
        return None
    if not isinstance(raw, str) or not _EMAIL.match(raw):
        raise invalid_parameter(f"Invalid email address: {raw}", name, "email_invalid")
    return raw


def web_address(raw: Raw, name: str) -> str:
    if not isinstance(raw, str) or not re.match(r"^https?://[^/\s]+", raw):
        raise invalid_parameter("Not a valid URL", name, "url_invalid")
    return raw


def metadata(raw: Raw, name: str) -> dict[str, str] | None:
    """Up to 50 short texts; None, sent as an empty string, removes them all."""
    if raw == "":
        return None
    if not isinstance(raw, dict):
        raise invalid_parameter("Invalid object", name)
    if len(raw) > 50:
        raise invalid_parameter("Metadata can have at most 50 keys.", name)
    for key, value in raw.items():
        if not isinstance(value, str):
            raise invalid_parameter("Invalid string", f"{name}[{key}]")
        if len(key) > 40:
            raise invalid_parameter("Metadata keys can have at most 40 characters.", name)
        if len(value) > 500:
            raise invalid_parameter(
                "Metadata values can have up to 500 characters, but you passed in a value that is"
                f" {len(value)} characters.",
                f"{name}[{key}]",
            )
    return dict(raw)


def texts(raw: Raw, name: str) -> list[str]:
    """An array of strings, sent as `name[]=a&name[]=b` or `name[0]=a&name[1]=b`."""
    if isinstance(raw, dict) and all(key.isdigit() for key in raw):
        raw = [raw[key] for key in sorted(raw, key=int)]
    if not isinstance(raw, list) or not all(isinstance(value, str) for value in raw):
        raise invalid_parameter("Invalid array", name)
    return list(raw)


def nested(shape: Shape, *, required: tuple[str, ...] = ()) -> Reader:
    def read(raw: Raw, name: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise invalid_parameter("Invalid object", name)
        full = {f"{name}[{key}]": value for key, value in raw.items()}
        full_shape = {f"{name}[{key}]": reader for key, reader in shape.items()}
        values = checked(full, full_shape, required=tuple(f"{name}[{key}]" for key in required))
        return {key[len(name) + 1 : -1]: value for key, value in values.items()}

    return read


_number = integer()


def moment(raw: Raw, name: str) -> dict[str, int]:
    """A time filter: one Unix time, or any of gt, gte, lt and lte."""
    if isinstance(raw, dict):
        return dict(nested(dict.fromkeys(("gt", "gte", "lt", "lte"), _number))(raw, name))
    return {"eq": int(_number(raw, name))}


LISTING: Shape = {
    "limit": integer(minimum=1, maximum=100),
    "starting_after": string(),
    "ending_before": string(),
    "created": moment,
    "expand": texts,
}
"""What every list endpoint understands."""
