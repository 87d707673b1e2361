"""What a spreadsheet may be handed: text that it shows and never runs."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that looks like one gets an apostrophe before it.

    After OWASP, 'CSV Injection'. Control characters, which Excel files cannot hold, are dropped.
    """
    kept = "".join(each for each in text if each.isprintable() or each in "\t\r\n")
    return f"'{kept}" if kept.startswith(_FORMULA) or kept.lstrip().startswith(_FORMULA) else kept
