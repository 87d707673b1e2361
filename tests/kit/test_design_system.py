"""The house templates and style: complete in both languages, legible, labelled, safe under a strict CSP."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
import pytest
from playwright.async_api import Page, Route, ViewportSize, async_playwright

HERE = Path(__file__).parent
KIT = HERE.parents[1] / "kit"
CSS = (KIT / "static" / "house.css").read_text(encoding="utf-8")
PAGES = ("specimen.html.j2", "specimen_public.html.j2", "problem.html.j2")
MOMENT = datetime(2026, 11, 21, 15, 16, tzinfo=UTC)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Names and codes are the same in every language.
UNTRANSLATED = ("Liên Thông", "English", "Tiếng Việt", "LT7K2M9Q", "12/BB-ĐS", "H26.214-261121-0007")

Translate = Callable[[str, str], str]


def _rows() -> list[dict[str, object]]:
    cases = [
        ("good", ("Đã thu", "Paid"), 100_000, 0),
        ("warn", ("Chưa rõ kết quả", "Outcome unknown"), 1_250_000, -180_000),
        ("info", ("Đang chuyển", "In transit"), 32_000, 0),
        ("bad", ("Bị từ chối", "Declined"), 84_500_000, 0),
    ]
    return [
        {
            "code": "H26.214-261121-0007",
            "at": MOMENT,
            "what": ("Cấp giấy phép xây dựng nhà ở riêng lẻ", "Permit to build a house"),
            "status": status,
            "tone": tone,
            "amount_dong": amount,
            "difference_dong": difference,
        }
        for tone, status, amount, difference in cases
    ]


def _context(lang: str, translate: Translate, *, signed_in: bool = True) -> dict[str, object]:
    def dong(amount: int) -> str:
        text = f"{amount:,}"
        return f"₫{text}" if lang == "en" else f"{text.replace(',', '.')} ₫"

    def when(at: datetime) -> str:
        return at.astimezone(ZoneInfo("Asia/Ho_Chi_Minh")).strftime("%d/%m/%Y %H:%M")

    def day(on: date) -> str:
        return on.strftime("%d/%m/%Y")

    return {
        "t": translate,
        "lang": lang,
        "dong": dong,
        "when": when,
        "day": day,
        "path_with_lang": lambda other: f"?lang={other}",
        "service": {"name": "payment", "title_vi": "Thu phí", "title_en": "Payments"},
        "nav": [
            {"href": "/a", "vi": "Khoản thu", "en": "Bills", "active": False, "badge": None},
            {"href": "/b", "vi": "Đối soát", "en": "Reconciling", "active": True, "badge": 3},
            {"href": "/c", "vi": "Sao kê ngân hàng", "en": "Statements", "active": False, "badge": 12},
        ],
        "person": {"name": "12", "roles": ["chief"]} if signed_in else None,
        "csrf": "token<&>",
        "request_id": "0000-17",
        "flash": [{"kind": "success", "vi": "Đã lưu lời giải thích.", "en": "Explanation saved."}],
        "moment": MOMENT,
        "rows": _rows(),
        "status": 404,
        "title": translate("Không tìm thấy hồ sơ", "Dossier not found"),
        "detail": translate("Không có hồ sơ nào mang mã này.", "No dossier has this code."),
        "what_to_do": None,
    }


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE, KIT / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(name: str, lang: str, translate: Translate | None = None, **changes: object) -> str:
    chosen: Translate = translate or (lambda vi, en: vi if lang == "vi" else en)
    signed_in = name != "problem.html.j2"
    context = _context(lang, chosen, signed_in=signed_in) | changes
    return _environment().get_template(name).render(context)


@dataclass
class Element:
    tag: str
    attrs: dict[str, str | None]
    texts: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed by its own tag, in order."""

    VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute given twice in {self.get_starttag_text()}"
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}> at {self.getpos()}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open:
            self._open[-1].texts.append(data.strip())

    def ids(self) -> list[str]:
        return [value for element in self.elements if (value := element.attrs.get("id"))]


@pytest.fixture(params=["vi", "en"])
def lang(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PAGES)
def page_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_page_is_well_formed_in_both_languages(page_name: str, lang: str) -> None:
    reader = Reader(_render(page_name, lang))

    assert reader.elements[0].attrs == {"lang": lang}
    ids = reader.ids()
    assert sorted(ids) == sorted(set(ids))


def test_every_macro_is_shown_in_the_specimen() -> None:
    shown = "".join((HERE / name).read_text(encoding="utf-8") for name in PAGES[:2])
    shown += (KIT / "templates" / "layout.html.j2").read_text(encoding="utf-8")

    for prefix, file in (("ui", "components.html.j2"), ("form", "forms.html.j2")):
        source = (KIT / "templates" / file).read_text(encoding="utf-8")
        macros = set(re.findall(r"{% macro ([a-z]\w*)", source))
        used = set(re.findall(rf"\b{prefix}\.(\w+)\(", shown))
        # csrf_field is drawn by form.post, which every form of the specimen uses.
        assert macros - used - {"csrf_field"} == set()
        assert used - macros == set()


def test_every_text_goes_through_translation_in_both_languages(page_name: str) -> None:
    pairs: list[tuple[str, str]] = []

    def bracketed(vi: str, en: str) -> str:
        pairs.append((vi, en))
        return f"⟦{vi}⟧"

    reader = Reader(_render(page_name, "vi", bracketed))

    for vi, en in pairs:
        assert vi.strip(), f"no Vietnamese for {en!r}"
        assert en.strip() not in ("", vi), f"no English for {vi!r}"
    spoken = ("aria-label", "alt", "title", "placeholder", "data-label")
    for element in reader.elements:
        words = element.texts + [element.attrs.get(name) or "" for name in spoken]
        for text in words:
            rest = re.sub(r"⟦[^⟧]*⟧", "", text)
            for name in UNTRANSLATED:
                rest = rest.replace(name, "")
            assert not re.search(r"[^\W\d_]", rest), f"only in one language: {text!r}"


def test_every_control_has_a_label_and_every_reference_a_target(page_name: str, lang: str) -> None:
    reader = Reader(_render(page_name, lang))
    ids = set(reader.ids())
    labelled = {element.attrs.get("for") for element in reader.elements if element.tag == "label"}

    for element in reader.elements:
        kind = element.attrs.get("type")
        if element.tag in ("select", "textarea") or (element.tag == "input" and kind != "hidden"):
            assert element.attrs.get("id") in labelled, element
        for name in ("for", "aria-describedby", "aria-labelledby"):
            for target in (element.attrs.get(name) or "").split():
                assert target in ids, f"{name} points nowhere: {element}"
        href = element.attrs.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids, f"link into nowhere: {element}"


def test_headings_start_with_one_h1_and_skip_no_level(page_name: str, lang: str) -> None:
    reader = Reader(_render(page_name, lang))
    levels = [int(e.tag[1]) for e in reader.elements if re.fullmatch("h[1-6]", e.tag)]

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_pages_hold_no_inline_style_or_script(page_name: str, lang: str) -> None:
    for element in Reader(_render(page_name, lang)).elements:
        assert element.tag != "style"
        assert element.tag != "script" or (element.attrs.get("src") and not element.texts)
        assert not [name for name in element.attrs if name == "style" or name.startswith("on")]
        assert not (element.attrs.get("href") or "").startswith(("javascript:", "data:"))


def test_values_from_people_are_escaped() -> None:
    source = (
        '{% import "components.html.j2" as ui with context %}'
        '{% import "forms.html.j2" as form with context %}'
        "{{ form.text('q', evil, evil, hint=evil, error=evil) }}{{ ui.badge(evil) }}"
        "{{ ui.pairs([(evil, evil)]) }}{{ ui.notice('error', evil, title=evil) }}"
    )
    template = _environment().from_string(source)

    html = template.render(_context("vi", lambda vi, _en: vi), evil='"><script>alert(1)</script>')

    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 9


def test_forms_carry_the_csrf_value_escaped() -> None:
    html = _render("specimen.html.j2", "vi")

    posts = html.count('method="post"')
    assert posts == 4
    assert html.count('<input type="hidden" name="csrf" value="token&lt;&amp;&gt;">') == posts


def test_zero_difference_is_said_and_a_shortfall_carries_its_sign() -> None:
    source = (
        '{% import "components.html.j2" as ui with context %}'
        "{{ ui.difference(amount) }}|{{ ui.money(amount, signed=true) }}"
    )
    template = _environment().from_string(source)
    context = _context("vi", lambda vi, _en: vi)

    def shown(amount: int) -> str:
        return re.sub(r"<[^>]+>|\s{2,}|\n", "", template.render(context, amount=amount))

    assert shown(0) == "Khớp|0 ₫"
    assert shown(-180_000) == "−180.000 ₫|−180.000 ₫"
    assert shown(2_000) == "+2.000 ₫|+2.000 ₫"


def test_problem_page_says_what_to_do_for_every_kind_of_status() -> None:
    answers = {status: _render("problem.html.j2", "vi", status=status) for status in (400, 401, 404, 409, 503)}

    bodies = {re.sub(r"\d{3}", "", html) for html in answers.values()}
    assert len(bodies) == 5
    assert "Chỉ dẫn riêng" in _render("problem.html.j2", "vi", what_to_do="Chỉ dẫn riêng")
    fields = [{"field": "amount_dong", "vi": "Phải lớn hơn 0", "en": "Must be above 0"}]
    assert "Phải lớn hơn 0" in _render("problem.html.j2", "vi", fields=fields)
    assert "main-nav" in _render("problem.html.j2", "vi", person={"name": "Ánh", "roles": []})


def _tokens(prelude: str) -> dict[str, str]:
    """The custom properties of the first `:root` block after a prelude such as a media query."""
    found = re.search(re.escape(prelude) + r"\s*:root\s*{([^}]*)}", CSS)
    assert found, f"no :root after {prelude!r}"
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", found.group(1)))


LIGHT = _tokens("components use the names only. */")
DARK = LIGHT | _tokens("@media screen and (prefers-color-scheme: dark) {")
SUN = _tokens("@media screen and (prefers-contrast: more) {")
SCHEMES = {"light": LIGHT, "dark": DARK, "sun": LIGHT | SUN, "sun over dark": DARK | SUN}
GROUNDS = ("paper", "surface", "sunken", "brand-soft")
TONES = ("neutral", "info", "good", "warn", "bad")


def _readable_pairs() -> Iterator[tuple[str, str]]:
    for ground in GROUNDS:
        for text in ("ink", "muted", "brand-deep", "link", *TONES):
            yield text, ground
    for tone in TONES:
        for text in (tone, "ink", "link"):
            yield text, f"{tone}-soft"
    yield from (("on-brand", "brand"), ("on-brand", "brand-deep"), ("on-bad", "bad"))
    yield "surface", "good"  # the tick of a finished step


def _luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_computed_as_wcag_defines_it() -> None:
    assert _contrast("#000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_its_ground(scheme: str) -> None:
    tokens = SCHEMES[scheme]
    wanted = 7.0 if scheme.startswith("sun") else 4.5

    weak = {
        (text, ground): round(ratio, 2)
        for text, ground in _readable_pairs()
        if (ratio := _contrast(tokens[f"--{text}"], tokens[f"--{ground}"])) < wanted
    }

    assert weak == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_edges_of_controls_and_focus_are_visible(scheme: str) -> None:
    tokens = SCHEMES[scheme]

    for ground in GROUNDS:
        for mark in ("edge", "focus", "brand"):
            assert _contrast(tokens[f"--{mark}"], tokens[f"--{ground}"]) >= 3, (mark, ground)


def test_vietnamese_marks_have_room() -> None:
    assert float(LIGHT["--leading"]) >= 1.5
    assert float(LIGHT["--leading-heading"]) >= 1.3


def test_style_uses_only_defined_names_and_nothing_from_elsewhere() -> None:
    defined = set(re.findall(r"(--[\w-]+):", CSS))

    assert set(re.findall(r"var\((--[\w-]+)", CSS)) <= defined
    assert "url(" not in CSS
    assert "@import" not in CSS


def test_style_and_script_stay_small() -> None:
    assert (KIT / "static" / "house.css").stat().st_size < 24 * 1024
    assert (KIT / "static" / "house.js").stat().st_size < 3 * 1024


# Links inside running text are exempt (WCAG 2.2, 2.5.8); a radio is touched through its label, a
# row or tile link through the whole card.
SMALL_TARGETS = """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')]
  .filter(e => e.checkVisibility() && e.type !== 'hidden' && !e.matches('.skip'))
  .filter(e => !(e.matches('a') && e.closest('p') && !e.matches('.row-link, .button')))
  .map(e => e.matches('[type=radio], [type=checkbox]') ? e.labels[0]
    : e.matches('.row-link') ? e.closest('tr, .tile') : e)
  .map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect()])
  .filter(([, box]) => box.height < 43.9 || box.width < 43.9)
  .map(([html, box]) => `${Math.round(box.width)}x${Math.round(box.height)} ${html}`)"""


async def _open(page: Page, name: str, lang: str) -> list[str]:
    """Show a template under the strictest policy; returns the list complaints will arrive in."""
    complaints: list[str] = []
    html = _render(name, lang)

    async def answer(route: Route) -> None:
        path = route.request.url.removeprefix("http://specimen.test")
        if path.startswith("/static/kit/"):
            await route.fulfill(path=KIT / "static" / path.removeprefix("/static/kit/"))
        elif path == "/":
            policy = {"content-security-policy": "default-src 'self'"}
            await route.fulfill(body=html, content_type="text/html; charset=utf-8", headers=policy)
        else:
            await route.fulfill(path=KIT / "static" / "favicon.svg")

    await page.route("**/*", answer)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto("http://specimen.test/")
    await page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    return complaints


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_phone_pages_fit_and_every_target_can_be_touched(page_name: str, lang: str) -> None:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = await browser.new_context(
            viewport=ViewportSize(width=360, height=740), has_touch=True, is_mobile=True
        )
        page = await context.new_page()
        complaints = await _open(page, page_name, lang)
        small = await page.evaluate(SMALL_TARGETS)
        widths = []
        for width in (360, 320):
            await page.set_viewport_size(ViewportSize(width=width, height=740))
            widths.append(await page.evaluate("document.documentElement.scrollWidth"))
        await browser.close()

    assert complaints == []
    assert small == []
    assert widths == [360, 320]


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_script_groups_amounts_on_screen_and_sends_digits_once() -> None:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = await browser.new_page()
        await _open(page, "specimen.html.j2", "vi")
        await page.fill("#f-amount", "1250000")
        await page.dispatch_event("#f-amount", "blur")
        shown = await page.input_value("#f-amount")
        sent = await page.evaluate(
            "new FormData(document.querySelector('#refund')).get('amount')",
        )
        second_stopped = await page.evaluate(
            """() => {
              const form = document.querySelector('#refund');
              const submit = () => form.dispatchEvent(new Event('submit', {cancelable: true}));
              return [!submit(), !submit()];
            }"""
        )
        await browser.close()

    assert shown == "1.250.000"
    assert sent == "1250000"
    assert second_stopped == [False, True]
