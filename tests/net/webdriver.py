# SPDX-License-Identifier: BSD-2-Clause
"""webdriver.py - a browser in a test: Debian's Chromium, driven over chromedriver's HTTP and JSON
(W3C WebDriver), with nothing but the standard library.

    with webdriver.Browser(tmp_path) as browser:
        browser.open("https://localhost:8443/")
        browser.click("#join")
        browser.wait("return document.title === 'there'")

It clicks and types as a person would: what is covered or disabled refuses the click.
"""
import base64
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that WebDriver gives to references

CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-default-apps", "--disable-extensions",
    "--ignore-certificate-errors", "--hide-scrollbars",
]


def missing():
    """What this machine lacks for a browser, or None."""
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return f"needs {program}"
    return None


class Error(Exception):
    pass


class Browser:
    def __init__(self, tmp, size=(1280, 800)):
        self.tmp = pathlib.Path(tmp)
        self.size = size
        self.session = None

    def __enter__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(self.tmp / "chromedriver.log", "wb")
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=self.log,
                                       stderr=self.log, start_new_session=True)
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.session:
            try:
                self._call("DELETE", "")  # closes Chromium
            except (Error, OSError):
                pass
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        self.log.close()

    def _begin(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                if self._call("GET", "/status", session=False)["ready"]:
                    break
            except OSError:
                pass
            if time.monotonic() > deadline or self.driver.poll() is not None:
                raise Error("chromedriver does not come up; see chromedriver.log")
            time.sleep(0.05)
        arguments = CHROMIUM + [f"--user-data-dir={self.tmp / 'profile'}",
                                f"--window-size={self.size[0]},{self.size[1]}"]
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": True,
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"}}}}, session=False)
        self.session = answer["sessionId"]
        self.resize(self.size)

    def _call(self, method, path, body=None, session=True):
        url = self.base + (f"/session/{self.session}" if session else "") + path
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            value = json.load(e)["value"]
            raise Error(f"{path}: {value['error']}: {value['message']}") from None

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def resize(self, size):
        """The page gets this size; the window has a frame around it."""
        frame = self.run("return [outerWidth - innerWidth, outerHeight - innerHeight]")
        self._call("POST", "/window/rect", {"width": size[0] + frame[0],
                                            "height": size[1] + frame[1]})

    def run(self, script, *arguments):
        """What the script returns; elements come back as references."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments, seconds=15, why=None):
        """Until the script returns something true; returns that."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(script, *arguments)
            if value:
                return value
            if time.monotonic() > deadline:
                raise Error(f"not within {seconds} s: {why or script}")
            time.sleep(0.05)

    def find(self, selector):
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self._call("POST", f"/element/{self.find(selector)}/click")

    def clear(self, selector):
        self._call("POST", f"/element/{self.find(selector)}/clear")

    def type(self, selector, text):
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def text(self, selector):
        return self._call("GET", f"/element/{self.find(selector)}/text")

    def screenshot(self, file):
        pathlib.Path(file).write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def console(self):
        """What the page has complained of since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] in ("SEVERE", "WARNING")]
