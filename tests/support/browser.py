"""A headless Chromium for tests of the page, through Debian's driver. Tests are skipped where there is none."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

PATIENCE_S = 90.0  # a busy machine is slow
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars")
# Runs before the page's own scripts: remembers what the content security policy blocked, and errors.
_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective + event.blockedURI));
addEventListener("error", (event) => violations.push(String(event.message)));
addEventListener("unhandledrejection", (event) => violations.push(String(event.reason)));
"""


class Page:
    """The playground in a browser window."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int = 1200, height: int = 800, is_dark: bool = False) -> Page:
        """Load the page anew, and wait until it has listed the models or told why it cannot."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(f"{url}/")
        self.until(lambda: self.all("#model option") or self.text("#status"))
        return self

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Return the text content, also of an element that is hidden or scrolled away."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the text content of all elements at one moment."""
        found = "[...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        return list(self.run(f"return {found}", selector))

    def click(self, selector: str) -> None:
        self.one(selector).click()

    def write(self, selector: str, text: str) -> None:
        """Put a text into a field at once, as pasting does."""
        changed = "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.run(f"arguments[0].value = arguments[1]; {changed}", self.one(selector), text)

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, holds: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if holds():
                    return
            except StaleElementReferenceException:
                pass
            time.sleep(0.02)
        raise AssertionError(f"it did not become true; the page shows: {self.text('body')[-600:]}")

    @property
    def is_busy(self) -> bool:
        return self.one("#stop").is_displayed()

    def send(self, text: str) -> None:
        """Send a message and wait for the end of the answer."""
        self.write("#message", text)
        self.click("#send")
        self.until_done()

    def until_done(self) -> None:
        self.until(lambda: not self.is_busy and self.text("#status") != "Answering …")

    def add_functions(self, text: str) -> None:
        """Paste functions and wait for what the server says about them."""
        self.run("document.querySelector('#paste-result').replaceChildren()")
        self.write("#paste", text)
        self.click("#add")
        self.until(lambda: self.text("#paste-result"))

    def functions(self) -> list[str]:
        return [one.text for one in self.all("#function-list .name")]

    def faults(self) -> list[str]:
        """Return what the content security policy blocked, errors of scripts, and complaints in the console.

        Answers that are errors are left out: the browser complains about each, and tests check them.
        """
        logged = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        severe = [one["message"] for one in logged if one["level"] == "SEVERE" and one["source"] != "network"]
        return [*self.run("return window.violations"), *severe]


def allow_clipboard(page: Page, url: str, *, is_allowed: bool) -> None:
    """Let the page write to the clipboard, or not."""
    for name in ("clipboard-read", "clipboard-write"):
        setting = {"permission": {"name": name}, "setting": "granted" if is_allowed else "denied", "origin": url}
        page.driver.execute_cdp_cmd("Browser.setPermission", setting)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start a browser with this folder for its files. Skips the test where Chromium or its driver is missing."""
    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver_program:
        pytest.skip("needs chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_program))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        yield Page(driver)
    finally:
        driver.quit()
