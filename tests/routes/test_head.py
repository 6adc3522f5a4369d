"""What stands around the pages: the picture of a shared link, icons and manifest; and that they can be drawn again."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image, ImageChops

from scripts.pictures import PICTURES, STATIC
from tests.routes.browser import Browser


def test_a_shared_link_has_a_picture_by_its_whole_address(app, store):
    browser = Browser(app)
    for path in ("/", "/login", "/terms"):
        meta = {tag["property"]: tag["content"] for tag in browser.page(path).select("meta[property]")}

        assert meta["og:title"]
        assert meta["og:description"]
        assert meta["og:image"].startswith("http://dashboard.test/static/preview.png?v=")
        picture = browser.get(meta["og:image"].removeprefix("http://dashboard.test"))
        assert picture.content_type == "image/png"
        assert Image.open(BytesIO(picture.data)).size == (1200, 630)


def test_icons_and_manifest_are_where_they_are_looked_for(app):
    client = app.test_client()
    icon, touch = client.get("/favicon.ico"), client.get("/apple-touch-icon.png")
    manifest = client.get("/manifest.webmanifest")

    assert Image.open(BytesIO(icon.data)).format == "ICO"
    assert Image.open(BytesIO(touch.data)).size == (180, 180)
    assert manifest.content_type.startswith("application/manifest+json")
    assert "manifest-src 'self'" in client.get("/").headers["Content-Security-Policy"]
    for shown in manifest.json["icons"]:
        answer = client.get(shown["src"])
        assert answer.content_type.startswith(shown["type"])
        if shown["type"] == "image/png":
            assert "x".join(map(str, Image.open(BytesIO(answer.data)).size)) == shown["sizes"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_script_draws(name):
    kept, drawn = Image.open(STATIC / name).convert("RGB"), PICTURES[name]().convert("RGB")

    assert ImageChops.difference(kept, drawn).getbbox() is None
