"""A headless Chromium that pages are opened in, and what it saw: messages of its console and what it asked for."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No request leaves the machine, whatever a page asks for: every name is unknown.
SWITCHES = (
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--hide-scrollbars", "--lang=en",
)  # fmt: skip
A4 = {"paperWidth": 8.27, "paperHeight": 11.69}
A4_PIXELS = 703
"""Width in CSS pixels between margins of 12 mm."""


class NoBrowser(Exception):
    """There is no Chromium, or no driver for it."""


class Browser:
    """One window; `open` starts afresh."""

    def __init__(self) -> None:
        program = next((found for name in NAMES if (found := shutil.which(name))), None)
        driver = shutil.which("chromedriver")
        if program is None or driver is None:
            missing = "Chromium" if program is None else "chromedriver"
            raise NoBrowser(
                f"these tests open pages in Chromium, and there is no {missing} on the PATH\n"
                "to do: install it (Debian and Ubuntu: apt install chromium chromium-driver)"
            )
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for switch in SWITCHES:
            options.add_argument(switch)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to start as root
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(driver))

    def open(self, page: Path, *, width: int = 1280, dark: bool = False, media: str = "") -> None:
        """Show the page: a width below 500 pixels is a phone's screen; with `media` 'print' as if on paper."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._do("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def unfold(self) -> None:
        self.run("for (const part of document.querySelectorAll('details')) part.open = true")

    def messages(self) -> list[str]:
        """What the console said since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened, itself and what it holds in `data:` left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if url != self.driver.current_url and not url.startswith("data:")]

    def print(self) -> bytes:
        """The page as a PDF of A4 sheets."""
        return base64.b64decode(self._do("Page.printToPDF", printBackground=False, **A4)["data"])

    def close(self) -> None:
        self.driver.quit()

    def _do(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)
