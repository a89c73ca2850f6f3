"""A headless Chromium through WebDriver's HTTP protocol, with the standard library alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# An element's key in WebDriver's JSON, fixed by the standard.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {
    "Left": "\ue012",
    "Right": "\ue014",
    "Escape": "\ue00c",
    "Enter": "\ue007",
    "Tab": "\ue004",
    "End": "\ue010",
}

# Whatever proxy the machine has, the driver is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """A headless Chromium driven by WebDriver's HTTP protocol: a page, its elements, its keyboard and its log."""

    def __init__(self, address: str, arguments: list[str]) -> None:
        self._session = address + "/session"
        wanted = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session += f"/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._session + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with _DIRECT.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, path: Path) -> None:
        """Opens a file from disk."""
        self._call("POST", "/url", {"url": path.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script's `return` gives."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def wait(self, script: str) -> None:
        """Until a script's `return` is true: for what the browser does in its own time. Fails after 10 s."""
        until = time.monotonic() + 10
        while not self.run(script):
            if time.monotonic() > until:
                raise TimeoutError(f"still not so: {script}")
            time.sleep(0.02)

    def find(self, css: str) -> dict[str, str]:
        """The first element of a selector, to hand to `run` or `click`."""
        return self._call("POST", "/element", {"using": "css selector", "value": css})

    def click(self, css: str) -> None:
        """Clicks an element as a person would: it must be visible and not covered."""
        self._call("POST", f"/element/{self.find(css)[_ELEMENT]}/click", {})

    def type(self, css: str, text: str) -> None:
        """Types into an element."""
        self._call("POST", f"/element/{self.find(css)[_ELEMENT]}/value", {"text": text})

    def press(self, *names: str) -> None:
        """Presses keys by name or character, wherever the focus is."""
        keys = [KEYS.get(name, name) for name in names]
        presses = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": presses}]})

    def select(self, css: str, value: str) -> None:
        """Chooses an option, as choosing it in the list does."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))"
        self.run(script, self.find(css), value)

    def text(self, css: str) -> str:
        """An element's visible text."""
        return str(self.run("return arguments[0].innerText", self.find(css)))

    def texts(self, css: str) -> list[str]:
        """The visible texts of all elements of a selector."""
        return list(
            self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", css)
        )

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What the console (`browser`) or the network (`performance`) reported since the last call."""
        return list(self._call("POST", "/se/log", {"type": kind}))

    def emulate(self, *, width: int, height: int, dark: bool, scale: float = 1.0) -> None:
        """The size of the window and the system's choice of colours."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def quit(self) -> None:
        """Ends the session."""
        self._call("DELETE", "")


def driver_program() -> str | None:
    """The installed chromedriver, or None where it or Chromium is absent."""
    has_browser = any(shutil.which(name) for name in ("chromium", "google-chrome"))
    return shutil.which("chromedriver") if has_browser else None


@contextmanager
def started(driver: str, folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`, which ends with the block."""
    with (folder / "driver.log").open("w+") as log:
        process = subprocess.Popen([driver, "--port=0"], stdout=log, stderr=subprocess.STDOUT)
        try:
            port = _port(folder / "driver.log", process)
            quiet = [
                "no-sandbox",
                "disable-gpu",
                "disable-quic",
                "no-first-run",
                "disable-background-networking",
            ]
            quiet += ["headless", "disable-component-update", "disable-sync", "disable-dev-shm-usage"]
            arguments = [
                f"--{flag}"
                for flag in (*quiet, f"user-data-dir={folder / 'profile'}", "window-size=1280,900")
            ]
            driven = Browser(f"http://127.0.0.1:{port}", arguments)
            yield driven
            driven.quit()
        finally:
            process.terminate()
            process.wait(10)


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The free port that the driver says it listens on."""
    for _ in range(300):
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return int(line.rstrip(".").rpartition(" ")[2])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"chromedriver did not start:\n{log.read_text()}")
