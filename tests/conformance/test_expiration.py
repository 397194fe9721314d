"""The extension expiration (rows 40 to 43)."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_absent, expect_present, expect_status

if TYPE_CHECKING:
    from .tus import Tus
    from .wire import Response

pytestmark = pytest.mark.needs("creation", "expiration")

HTTP_DATE = (
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] "
    r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)


def expect_date(answer: Response) -> None:
    """State that Upload-Expires is a date as HTTP writes it."""
    value = expect_present(answer, "Upload-Expires")
    good = re.fullmatch(HTTP_DATE, value)
    expect(answer, good, f"Upload-Expires is {value!r}, not a date like HTTP's")


@pytest.mark.needs("creation")
@pytest.mark.rule(40, "MUST", "A server whose uploads expire announces expiration.")
def test_row_40_announced(tus: Tus) -> None:
    """An Upload-Expires means that OPTIONS lists expiration."""
    if "expiration" in tus.announced.extensions:
        return
    created = tus.create(11)
    expect_absent(created, "Upload-Expires")
    expect_absent(tus.patch(tus.location(created), 0, b"hello"), "Upload-Expires")


@pytest.mark.rule(41, "MUST", "The answer to PATCH has Upload-Expires if the upload will expire.")
def test_row_41_patch(tus: Tus, expires_in_s: float | None) -> None:
    """PATCH on an upload that will expire tells when, as a date."""
    created = tus.create(11)
    url = tus.location(created)
    expires = created.get("Upload-Expires") or tus.head(url).get("Upload-Expires")
    answer = tus.patch(url, 0, b"hello")
    if not expires and not answer.get("Upload-Expires") and expires_in_s is None:
        pytest.skip("server does not say that this upload expires")
    expect_date(answer)


@pytest.mark.rule(42, "MUST", "The answer to POST has Upload-Expires if the time is known then.")
def test_row_42_post(tus: Tus) -> None:
    """POST tells a date if it tells a time at all."""
    answer = tus.create(11)
    if answer.get("Upload-Expires") is None:
        pytest.skip("server does not know at creation when the upload expires")
    expect_date(answer)


@pytest.mark.rule(43, "SHOULD", "An expired upload is answered 404 or 410.")
@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
def test_row_43_expired(tus: Tus, expires_in_s: float | None, method: str) -> None:
    """HEAD and PATCH on an upload after its time answer 404 or 410."""
    if expires_in_s is None:
        pytest.skip("waiting for uploads to expire was not asked for (--expires-in SECONDS)")
    created = tus.create(11)
    url = tus.location(created)
    deadline = time.monotonic() + expires_in_s
    if (value := created.get("Upload-Expires")) is not None:
        left_s = parsedate_to_datetime(value).timestamp() - time.time()
        time.sleep(max(0.0, min(left_s, expires_in_s)))
    while tus.head(url).status < 300 and time.monotonic() < deadline:
        time.sleep(0.25)
    answer = tus.head(url) if method == "HEAD" else tus.patch(url, 0, b"hello")
    expect_status(answer, 404, 410)
