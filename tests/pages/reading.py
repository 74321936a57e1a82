"""What a page holds, read by Python's own parser."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "input", "link"}


@dataclass
class Found(HTMLParser):
    """Elements with their attributes, texts, and whether each element is closed in its order."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of each element of this name."""
        return [attrs for name, attrs in self.elements if name == tag]

    def words(self) -> str:
        """All text, spaces as one."""
        return " ".join(" ".join(self.text).split())


def read_page(text: str) -> Found:
    """Read a page; every element is closed in its order."""
    found = Found()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


def assert_self_contained(text: str) -> Found:
    """A page has one script and one style, both its own, and names nothing that could be fetched."""
    found = read_page(text)
    assert len(found.all("script")) == len(found.all("style")) == 1
    assert not found.all("link") + found.all("iframe") + found.all("object") + found.all("form")
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in found.elements:
        assert "style" not in attrs, f"{tag} has a style that the policy forbids"
        assert not [name for name in attrs if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attrs.get(name)
            assert value is None or re.match(r"data:image/png;base64,|#", value), (tag, value)
            assert value is None or not value.startswith("#") or value[1:] in ids, value
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in text.replace('"http://www.w3.org/2000/svg"', "").replace("http-equiv", "")
    [policy] = [attrs["content"] for attrs in found.all("meta") if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    return found
