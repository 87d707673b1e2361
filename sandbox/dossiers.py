"""Reads `dossiers.csv`: what each dossier is, how the world behaves, and what must come of it."""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("dossiers.csv")
CHECKLIST = ("Tờ khai", "Bản sao giấy tờ tùy thân", "Bản chính giấy tờ kèm theo")
AMOUNTS = (
    "fee_citizen",
    "fee_budget",
    "charge_citizen",
    "charge_budget",
    "postage_citizen",
    "postage_budget",
    "collection_citizen",
    "refunded",
    "suspense",
    "compensation",
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a person worked out by hand: đồng by kind and payer, and how the dossier ends."""

    amounts: dict[str, int]
    end: str
    papers: str
    why: str


@dataclass(frozen=True, slots=True)
class Dossier:
    """One line of the file."""

    row: dict[str, str]
    expected: Expected

    @property
    def code(self) -> str:
        """The dossier code."""
        return self.row["code"]

    def says(self, column: str) -> str:
        """A cell."""
        return self.row[column]

    @property
    def sends(self) -> bool:
        """Whether the citizen's papers go by post."""
        return self.row["send_papers"] == "yes"

    @property
    def returns(self) -> bool:
        """Whether the result comes by post."""
        return self.row["return_result"] == "yes"

    def quote_request(self) -> dict[str, Any]:
        """The facts that decide what is owed, as the portal sends them."""
        row = self.row
        postal: dict[str, Any] = {
            "send": self.sends,
            "return_result": self.returns,
            "cash_on_delivery": row["pay_by"] == "cash_on_delivery",
        }
        if self.sends:
            postal["send_weight_grams"] = int(row["weight_grams"])
        return {
            "procedure": row["procedure"],
            "case": row["case"] or None,
            "filed_on": date.fromisoformat(row["filed_on"]).isoformat(),
            "channel": row["channel"],
            "province": row["province"],
            "commune": row["ward"],
            "agency": row["agency"],
            "applicant_kind": row["applicant_kind"],
            "applicant_groups": [group for group in row["groups"].split(";") if group],
            "applicant_commune": row["applicant_ward"] or None,
            "quantities": {name: int(value) for name, value in _pairs(row["quantities"])},
            "facts": {name: int(value) if value.isdigit() else value for name, value in _pairs(row["facts"])},
            "postal": postal,
        }

    def start_request(self, deadlines: dict[str, int]) -> dict[str, Any]:
        """The whole request that starts the dossier."""
        row = self.row
        return {
            "code": self.code,
            "request": self.quote_request(),
            "pay_when": row["pay_when"],
            "pay_by": row["pay_by"],
            "citizen": {
                "name": "Nguyễn Văn An",
                "phone": "0912345678",
                "address": "Số 12 ngõ 34, đường Giải Phóng",
                "commune": row["applicant_ward"] or row["ward"],
            },
            "checklist": CHECKLIST,
            "deadlines": deadlines,
        }


def load_dossiers(file: Path = FILE) -> list[Dossier]:
    """Every line of the file, in order."""
    with file.open(encoding="utf-8", newline="") as source:
        return [_dossier(row) for row in csv.DictReader(source)]


def _dossier(row: dict[str, str]) -> Dossier:
    amounts = {name: int(row[name]) for name in AMOUNTS}
    return Dossier(row, Expected(amounts=amounts, end=row["end"], papers=row["papers"], why=row["why"]))


def _pairs(cell: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in cell.split(";") if part)]
