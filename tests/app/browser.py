"""The page in a process of its own, and a real Chromium that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait


BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE_SECONDS = 600
"""Machines that run tests are busy."""
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --autoplay-policy=no-user-gesture-required "
    # A microphone that the page is allowed to use, without anybody who nods. It beeps unless it is given a recording.
    "--use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()


@contextmanager
def served_page(*options: str) -> Iterator[str]:
    """Run `iap demo` with these options; gives the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "iap_pipelines.cli", "demo", "--port", str(port), *options]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}/"
            _wait_for_server(server, address, log)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=60)


def _wait_for_server(server: subprocess.Popen, address: str, log) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except OSError:
            time.sleep(1)
    log.seek(0)
    raise RuntimeError(f"iap demo does not answer:\n{log.read().decode()}")


@contextmanager
def chromium(width: int = 1400, height: int = 1500, microphone: Path | None = None) -> Iterator[WebDriver]:
    """
    A headless browser with an empty profile.

    Args:
        width: of its window, in pixels.
        height: of its window, in pixels.
        microphone: WAV file that its microphone hears, over and over; beeps if `None`.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    # Nothing is asked of the network: neither by the browser nor by Selenium's search for another driver.
    os.environ["SE_OFFLINE"] = "true"
    with tempfile.TemporaryDirectory() as profile:
        heard = () if microphone is None else (f"--use-file-for-fake-audio-capture={microphone}",)
        for flag in (*_FLAGS, *heard, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.set_page_load_timeout(PATIENCE_SECONDS)
        try:
            yield driver
        finally:
            driver.quit()


class Page:
    """What a person does on the page."""

    def __init__(self, driver: WebDriver, address: str) -> None:
        self.driver = driver
        driver.get(address)
        self.wait(lambda: "Scene:" in self.value("caption"))

    def wait(self, condition) -> object:
        """Wait until `condition()` is true; elements that are just being redrawn count as not yet."""
        return WebDriverWait(
            self.driver, PATIENCE_SECONDS, poll_frequency=0.5, ignored_exceptions=[StaleElementReferenceException]
        ).until(lambda _: condition())

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.wait(lambda: next(iter(self.find(selector)), None))

    def value(self, element_id: str) -> str:
        """Text of a text field."""
        return self.one(f"#{element_id} textarea, #{element_id} input").get_property("value")

    def write(self, element_id: str, text: str) -> None:
        field = self.one(f"#{element_id} textarea, #{element_id} input[type=number]")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].select()", field)
        field.send_keys(text)
        self.driver.execute_script("arguments[0].blur()", field)

    def choose(self, element_id: str, label: str) -> None:
        choice = next(entry for entry in self.find(f"#{element_id} label") if entry.text.strip() == label)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", choice)

    def upload(self, element_id: str, path: Path) -> None:
        self.one(f"#{element_id} input[type=file]").send_keys(str(path))

    def click(self, element_id: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.one(f"#{element_id}"))

    def press(self, selector: str) -> None:
        """Click what stands there, once it is there."""
        self.driver.execute_script("arguments[0].click()", self.one(selector))

    def told(self) -> str:
        """What the page says in notes that appear above it."""
        return "\n".join(note.text for note in self.find("[data-testid='toast-body'], .toast-body"))

    def download_links(self, element_id: str) -> list[str]:
        """Addresses of the files that are offered."""
        self.one(f"#{element_id} a[download]")
        return [link.get_attribute("href") for link in self.find(f"#{element_id} a[download]")]

    def copied_code(self, address: str) -> str:
        """What the button beside the code copies."""
        grant = {"origin": address, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", grant)
        self.press("#code button[aria-label*='opy'], #code button[title*='opy']")
        script = "navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))"
        return self.wait(lambda: self.driver.execute_async_script(script))

    def generate(self) -> None:
        """Press the button and wait for the clip."""
        self.click("generate")
        self.wait(lambda: self.value("status") == "Done" and self.find("#clip video"))
