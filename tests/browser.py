"""Chromium without a window, driven through a pipe by its DevTools protocol: no port, no driver, nothing to install."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 60.0
#: Chromium's own services must not look like the page's.
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


class Page:
    """One tab. Every request that it makes is kept in ``requests``, every word of its console in ``console``."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer = write, read, b""
        self._number = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.console: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Emulation.setScrollbarsHidden", hidden=True)
        for domain in ("Page", "Network", "Runtime", "Log"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask Chromium for something and wait for the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, path: Path, width: int, *, dark: bool = False, media: str = "") -> None:
        """Show a file in a window of this width (or as on paper) until it has been loaded.

        Not as a telephone, which makes its window as wide as what it shows.
        """
        self("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._events.clear()
        self("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()

    def value(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        answer = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """Return the whole page as a PNG."""
        return base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """Return the page as it is printed on A4, as a PDF."""
        return base64.b64decode(self("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._read, 1 << 20) if ready else b""
            if not piece:
                raise TimeoutError("Chromium does not answer")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._keep(message)
        return message

    def _keep(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        elif event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.console.append(json.dumps(event["params"]))


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """Have a browser for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="contralock-browser-", ignore_cleanup_errors=True) as profile:
        (from_us, write), (read, to_us) = os.pipe(), os.pipe()
        # Chromium reads from descriptor 3 and writes to 4. As root it has no sandbox, and needs none for our own page.
        options = f"{' '.join(QUIET)} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage"
        chromium = f"chromium {options} --remote-debugging-pipe --user-data-dir={shlex.quote(profile)}"
        running = subprocess.Popen(
            ["/bin/bash", "-c", f"exec 3<&{from_us} 4>&{to_us}; exec {chromium}"],
            pass_fds=(from_us, to_us),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        try:
            yield Page(write, read)
        finally:
            # The end of the pipe ends Chromium and its children.
            os.close(write)
            os.close(read)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(10)
            running.kill()
            running.wait()
