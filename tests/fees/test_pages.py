"""The public pages: the catalogue on a day, and the trial form that explains itself, in both languages."""

import httpx
import pytest

FILED = {
    "go": "1",
    "procedure": "passport",
    "province": "01",
    "case": "first_issue",
    "filed_on": "2026-01-05",
    "channel": "online",
    "commune": "00070",
    "return_result": "1",
}


async def _page(client: httpx.AsyncClient, path: str, **params: str) -> str:
    answer = await client.get(path, params=params, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_the_first_page_is_the_catalogue(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")

    assert (answer.status_code, answer.headers["location"]) == (303, "/catalogue")


async def test_the_catalogue_is_public_and_searchable_without_marks(client: httpx.AsyncClient) -> None:
    page = await _page(client, "/catalogue", q="ho chieu")

    assert "Hộ chiếu phổ thông" in page
    assert "Giấy phép lái xe" not in page
    assert 'href="/login"' in page


async def test_the_catalogue_speaks_english(client: httpx.AsyncClient) -> None:
    page = await _page(client, "/catalogue", lang="en", q="passport")

    assert "Ordinary passport" in page
    assert "Hộ chiếu" not in page


async def test_the_catalogue_of_a_day_before_a_tariff_says_so(client: httpx.AsyncClient) -> None:
    assert "Chưa có trong danh mục" in await _page(client, "/catalogue", q="ho chieu", on="2016-01-01")


@pytest.mark.parametrize("typed", ["2025-13-40", "hôm nay", "\x00"])
async def test_a_day_that_is_none_is_answered_with_a_notice(client: httpx.AsyncClient, typed: str) -> None:
    assert "Ngày không đúng" in await _page(client, "/catalogue", on=typed)
    assert "Ngày không đúng" in await _page(client, "/catalogue/passport", on=typed)


async def test_a_procedure_shows_rates_adjustments_and_history(client: httpx.AsyncClient) -> None:
    page = await _page(client, "/catalogue/passport", on="2025-12-31")
    later = await _page(client, "/catalogue/passport", on="2026-01-01")

    sentence = "Giảm 10% theo Điều 5 Thông tư 63/2023/TT-BTC"
    assert page.count(sentence) == 2  # in force, and in the history
    assert later.count(sentence) == 1
    assert "đã hết hiệu lực" in later


async def test_an_unknown_procedure_page_is_404(client: httpx.AsyncClient) -> None:
    answer = await client.get("/catalogue/nothing", headers={"accept": "text/html"})

    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]


async def test_instruments_are_listed_with_what_is_not_applied(client: httpx.AsyncClient) -> None:
    page = await _page(client, "/instruments")

    assert "63/2023/TT-BTC" in page
    assert "Mới là dự thảo, chưa thấy kết quả ban hành" in page


async def test_every_procedure_has_a_page_in_both_languages(client: httpx.AsyncClient) -> None:
    app = client._transport.app  # type: ignore[attr-defined]
    for procedure in app.state.tariff.catalogue.procedures:
        assert procedure.title.vi in await _page(client, f"/catalogue/{procedure.slug}", lang="vi")
        assert procedure.title.en in await _page(client, f"/catalogue/{procedure.slug}", lang="en")


async def test_the_form_first_asks_for_procedure_and_province(client: httpx.AsyncClient) -> None:
    first = await _page(client, "/try")
    second = await _page(client, "/try", procedure="passport", province="01")

    assert "f-commune" not in first
    assert "Phường Hoàn Kiếm (00070)" in second


async def test_the_answer_shows_payers_and_every_step(client: httpx.AsyncClient) -> None:
    page = await _page(client, "/try", **FILED)

    assert "Ngân sách thành phố Hà Nội" in page
    assert "226.000 ₫" in page  # 200,000 and 26,000 of postage, all paid by the budget
    assert "Nghị quyết 77/2025/NQ-HĐND" in page
    assert "Không áp dụng mức giảm 10%" in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"case": ""}, "hãy chọn trường hợp"),
        ({"commune": ""}, "hãy chọn xã, phường"),
        ({"filed_on": ""}, "hãy chọn ngày"),
        ({"filed_on": "2016-01-01"}, "mức sớm nhất có từ 01/01/2017"),
        ({"filed_on": "\x00"}, "giá trị không hợp lệ"),
        ({"return_weight_grams": "nhẹ"}, "phải là số nguyên"),
        ({"return_weight_grams": "999999"}, "giá trị không hợp lệ"),
        ({"return_result": "", "cash_on_delivery": "1"}, "chỉ thu hộ khi"),
        ({"applicant_kind": "business", "groups": "student"}, "nhóm đối tượng chỉ áp dụng cho cá nhân"),
        ({"channel": "telepathy"}, "giá trị không hợp lệ"),
    ],
)
async def test_what_was_typed_wrongly_is_answered_at_its_field(
    client: httpx.AsyncClient, changes: dict[str, str], says: str
) -> None:
    assert says in await _page(client, "/try", **(FILED | changes))


async def test_a_motorcycle_asks_for_its_value(client: httpx.AsyncClient) -> None:
    filed = FILED | {"procedure": "vehicle-registration", "case": "first_motorcycle", "channel": "counter"}

    assert "thiếu số liệu này" in await _page(client, "/try", **filed)
    assert "2.000.000 ₫" in await _page(client, "/try", **filed, vehicle_value_dong="40.000.000")


async def test_a_land_transfer_asks_for_the_value_of_the_land(client: httpx.AsyncClient) -> None:
    filed = FILED | {"procedure": "land-transfer", "case": "", "return_result": ""}

    assert "thiếu số liệu này" in await _page(client, "/try", **filed)
    assert "3.000.000 ₫" in await _page(client, "/try", **filed, property_value_dong="2.000.000.000")


async def test_a_package_asks_for_its_months(client: httpx.AsyncClient) -> None:
    filed = FILED | {"procedure": "business-information", "case": "package", "return_result": ""}

    assert "gói này từ 125 bản trở lên" in await _page(client, "/try", **filed)
    assert "9.000.000 ₫" in await _page(client, "/try", **filed, copies="125", months="2")


@pytest.mark.parametrize(
    "path", ["/try?procedure=%00&province=01&go=1", "/try?procedure=passport&province=%00", "/try?go=1"]
)
async def test_nonsense_in_the_address_is_harmless(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


async def test_own_stylesheet_is_served(client: httpx.AsyncClient) -> None:
    answer = await client.get("/static/fees/fees.css")

    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/css")


async def test_the_list_shows_every_shape_of_a_tariff(client: httpx.AsyncClient) -> None:
    land = await _page(client, "/catalogue", q="land-certificate", on="2026-01-05")
    share = await _page(client, "/catalogue", q="vehicle-registration-fee", on="2026-01-05")
    both = await _page(client, "/catalogue", q="land-transfer", on="2026-01-05")

    assert [amount in land for amount in ("25.000 ₫", "500.000 ₫")] == [True, True]
    assert "2% giá trị" in share
    assert [amount in both for amount in ("28.000 ₫", "30.000 ₫")] == [True, True]
