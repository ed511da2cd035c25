"""Static files: what stands in the folder, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException

from exptrack_daemon.web.pages import Pages


@pytest.fixture
def pages(tmp_path):
    folder = tmp_path / "static"
    (folder / "js").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>index</h1>")
    (folder / "js" / "a.js").write_text("1")
    (folder / ".hidden").write_text("SECRET")
    (tmp_path / "secret").write_text("SECRET")
    (folder / "link").symlink_to(tmp_path / "secret")
    return Pages(folder)


def status(pages, path, **headers):
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/{path}",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    try:
        response = asyncio.run(pages.get_response(path, scope))
    except HTTPException as error:
        return error.status_code
    assert response.headers["cache-control"] == "no-cache"
    return response.status_code


@pytest.mark.parametrize("path", ["index.html", "js/a.js"])
def test_files_are_served_and_asked_for_again_each_time(pages, path):
    assert status(pages, path) == 200


@pytest.mark.parametrize(
    "path",
    [
        ".hidden",
        "link",
        "../secret",
        "js/../../secret",
        "/etc/passwd",
        "js",
        "none",
        "a\0b",
        "x" * 5000,
    ],
)
def test_nothing_else_is(pages, path):
    assert status(pages, path) == 404
