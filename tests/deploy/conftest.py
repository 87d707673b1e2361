"""A filled-in .env as an operator would have it: generated secrets, and sample answers to every question."""

import pytest

from deploy.secrets import TEMPLATE, filled

ANSWERS = {
    "FEES_PUBLIC_URL": "https://phi.example.gov.vn",
    "PAYMENT_PUBLIC_URL": "https://thanhtoan.example.gov.vn",
    "POSTAL_PUBLIC_URL": "https://buuchinh.example.gov.vn",
    "WORKFLOWS_PUBLIC_URL": "https://hoso.example.gov.vn",
    "IDENTITY_PUBLIC_URL": "https://dangnhap.example.gov.vn",
    "PAYMENT_GATEWAY_URL": "https://gateway.example.vn",
    "PAYMENT_GATEWAY_KEY": "key-of-the-gateway",
    "PAYMENT_GATEWAY_WEBHOOK_SECRET": "whsec_c2VjcmV0IG9mIHRoZSBnYXRld2F5",
    "PAYMENT_BANK_URL": "https://bank.example.vn",
    "PAYMENT_BANK_KEY": "key-of-the-bank",
    "PAYMENT_BANK_NOTICE_SECRET": "whsec_c2VjcmV0IG9mIHRoZSBiYW5r",
    "PAYMENT_BANK_BIN": "970436",
    "PAYMENT_BANK_ACCOUNT": "0011001234567",
    "PAYMENT_BANK_HOLDER": "TRUNG TAM PHUC VU HANH CHINH CONG",
    "PAYMENT_COLLECTING_AGENCY_NAME": "Trung tâm Phục vụ hành chính công",
    "PAYMENT_RECEIPT_SERIES": "LT26",
    "POSTAL_S10_FIRST_SERIAL": "20000000",
    "POSTAL_S10_LAST_SERIAL": "20999999",
}


def variables_of(env: str) -> dict[str, str]:
    """Read an env file of plain `NAME=value` lines."""
    lines = (line for line in env.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="session")
def dotenv() -> dict[str, str]:
    """The variables of a filled-in .env."""
    return {**variables_of(filled(TEMPLATE.read_text(encoding="utf-8"))), **ANSWERS}
