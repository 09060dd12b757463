"""Reads a participant's page as a browser would: its heading and the fields of its form. For the simulator and for tests."""

from __future__ import annotations

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """What a page holds. Feed it with the constructor."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}  # radio buttons and checkboxes: the values that can be picked
        self.checked: dict[str, str] = {}
        self.texts: dict[str, str] = {}  # text fields and what stands in them
        self.heading = ""
        self.completion_code: str | None = None
        self._inside: str | None = None
        self.feed(html)
        self.close()

    @property
    def step(self) -> str | None:
        """The step that the page's form belongs to; None when it has none."""
        return self.hidden.get("step")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "input" and values.get("name"):
            self._field(values)
        if tag == "h1":
            self._inside = "h1"
        if values.get("id") == "completion-code":
            self._inside, self.completion_code = "code", ""

    def handle_data(self, data: str) -> None:
        if self._inside == "h1":
            self.heading += data.strip()
        elif self._inside == "code" and self.completion_code is not None:
            self.completion_code += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "p"):
            self._inside = None

    def _field(self, values: dict[str, str]) -> None:
        name, kind, value = values["name"], values.get("type", "text"), values.get("value", "")
        if kind == "hidden":
            self.hidden[name] = value
        elif kind in ("radio", "checkbox"):
            self.choices.setdefault(name, []).append(value)
            if "checked" in values:
                self.checked[name] = value
        else:
            self.texts[name] = value
