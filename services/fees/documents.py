"""One catalogue document as data: YAML without anchors, guesses or surprises, each value with its line."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import yaml

from services.fees.faults import CatalogueError, CatalogueFault

MAX_FILE_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 15
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: the same events, ten times faster."""

_INTEGER = re.compile(r"^(0|[1-9]\d*(_\d{3})*)$")
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")

Value = str | int | bool | date | None | list["Value"] | dict[str, "Value"]
Steps = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """A read file: its value, the line of every path in it, and what could not be read.

    A path in `spoilt` holds None instead of a value that was refused; `readable` is false when nothing was read.
    """

    name: str
    value: Value = None
    readable: bool = False
    lines: dict[Steps, int] = field(default_factory=dict)
    faults: list[CatalogueFault] = field(default_factory=list)
    spoilt: set[Steps] = field(default_factory=set)

    def known(self, steps: Steps) -> Steps:
        """The deepest part of `steps` that the file has."""
        found: Steps = ()
        for step in steps:
            if (*found, step) in self.lines:
                found = (*found, step)
        return found

    def where(self, steps: Steps) -> str:
        """`file:line` of the deepest part of `steps` that the file has."""
        return f"{self.name}:{self.lines.get(self.known(steps), 1)}"

    def is_spoilt(self, steps: Steps) -> bool:
        """Whether `steps` lead to or through a value that was refused."""
        known = self.known(steps)
        return any(known[:length] in self.spoilt for length in range(len(known) + 1))

    def refuse(self, line: int, vi: str, en: str) -> None:
        """Note a fault of this file."""
        self.faults.append(CatalogueFault(self.name, line, vi, en))


def read_yaml(text: str, name: str) -> Document:
    """Parse one document of plain mappings, lists and scalars. Raises CatalogueError naming every fault."""
    document = parsed(text, name)
    if document.faults:
        raise CatalogueError(document.faults)
    return document


def parsed(text: str, name: str) -> Document:
    """Parse one document; what is refused stands in its `faults`, each with its line.

    Anchors and aliases are refused (a short file could otherwise unfold without end), as are repeated keys,
    tags, fractions, several documents, control characters, and numbers that YAML 1.1 reads as octal or minutes.
    """
    document = Document(name)
    if not _fits(document, text):
        return document
    try:
        if not _is_plain(document, text):
            return document
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "ký tự lạ / a strange character"
        document.refuse(
            mark.line + 1 if mark else 1,
            f"không đọc được YAML tại đây ({problem}); hãy kiểm tra thụt dòng, dấu hai chấm và dấu nháy",
            f"this is not YAML ({problem}); check indentation, colons and quotes",
        )
        return document
    if root is None:
        document.refuse(1, "tệp trống; hãy viết nội dung", "the file is empty; write its content")
        return document
    document.value = _value_of(root, (), document)
    document.readable = True
    return document


def _fits(document: Document, text: str) -> bool:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        document.refuse(1, "tệp không phải văn bản UTF-8", "the file is not UTF-8 text; save it as UTF-8")
        return False
    if size > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1024
        document.refuse(1, f"tệp lớn hơn {limit} KiB; hãy chia nhỏ", f"the file is over {limit} KiB; split it")
        return False
    return True


def _is_plain(document: Document, text: str) -> bool:
    """Look at the events alone, before anything is built: nothing may unfold and nothing may nest without end."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if getattr(event, "anchor", None):
            document.refuse(
                line,
                "không được dùng neo và tham chiếu (&, *); hãy viết đầy đủ giá trị",
                "anchors and aliases are not allowed; write the value out",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            document.refuse(
                line,
                f"lồng nhau quá {MAX_DEPTH} tầng; hãy viết phẳng hơn",
                f"nested more than {MAX_DEPTH} deep; write it flatter",
            )
            return False
    return not document.faults


_PLAIN_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def _value_of(node: yaml.Node, steps: Steps, document: Document) -> Value:
    line = node.start_mark.line + 1
    document.lines.setdefault(steps, line)
    if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN_COLLECTIONS:
        document.spoilt.add(steps)
        document.refuse(
            line, f"không dùng nhãn {node.tag}; hãy viết thẳng giá trị", f"no tag {node.tag}; write the value plainly"
        )
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping_of(node, steps, document)
    if isinstance(node, yaml.SequenceNode):
        return [_value_of(child, (*steps, index), document) for index, child in enumerate(node.value)]
    return _scalar_of(node, steps, document)


def _mapping_of(node: yaml.MappingNode, steps: Steps, document: Document) -> Value:
    mapping: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
            document.refuse(
                line, "tên trường phải là một từ; hãy viết tên: giá trị", "keys are plain words; write name: value"
            )
        elif key in mapping:
            document.refuse(
                line,
                f"trường {key!r} được viết hai lần; hãy giữ một",
                f"the key {key!r} is written twice; keep one",
            )
        else:
            document.lines[(*steps, key)] = line
            mapping[key] = _value_of(value_node, (*steps, key), document)
    return mapping


_REMEDIES: Mapping[str, tuple[str, str]] = {
    "int": (
        "hãy viết số nguyên không dấu; mã số thì đặt trong dấu nháy",
        "write a plain whole number, or quote it when it is a code",
    ),
    "float": ("số tiền là đồng nguyên, không có phần lẻ", "amounts are whole đồng, without fraction"),
    "bool": ("hãy viết true hoặc false, hoặc đặt chữ trong dấu nháy", "write true or false, or quote the word"),
    "timestamp": ("hãy viết ngày dạng YYYY-MM-DD, không có giờ", "write a day as YYYY-MM-DD, without a time"),
}


def _scalar_of(node: yaml.Node, steps: Steps, document: Document) -> Value:
    text, tag = str(node.value), str(node.tag).removeprefix("tag:yaml.org,2002:")
    line = node.start_mark.line + 1
    if tag == "str":
        if not any(unicodedata.category(character) in ("Cc", "Cs") and character != "\n" for character in text):
            return text
        vi, en = "có ký tự điều khiển không in được; hãy bỏ", "holds control characters; take them out"
    elif tag == "null":
        return None
    elif tag == "bool" and text in ("true", "false"):
        return text == "true"
    elif tag == "int" and _INTEGER.match(text) and len(text) <= MAX_DIGITS + 5:
        return int(text.replace("_", ""))
    elif tag == "timestamp" and _DAY.match(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            vi, en = f"không có ngày {text} trên lịch", f"{text} is not a day of the calendar"
    else:
        why = _REMEDIES.get(tag, (f"không dùng giá trị !{tag}", f"no !{tag} values; write it plainly"))
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        vi, en = f"không viết {shown!r} ở đây; {why[0]}", f"{shown!r} is not allowed here; {why[1]}"
    document.spoilt.add(steps)
    document.refuse(line, vi, en)
    return None
