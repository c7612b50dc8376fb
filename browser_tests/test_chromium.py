"""Without a browser these tests say what to install; they are never skipped."""

import pytest

from chromium import Browser, NoBrowser


def test_a_missing_browser_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoBrowser, match=r"no Chromium on the PATH\n.*apt install chromium chromium-driver"):
        Browser()
