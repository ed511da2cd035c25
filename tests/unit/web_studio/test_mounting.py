"""The door to the tabs: nothing is loaded before it is asked for, and nobody outside is spoken to."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("gradio")
WALK = """
import asyncio, json, os, re, sys
events, away = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"), []
def heard(event, args):
    if event in events and "127.0.0.1" not in str(args) and "localhost" not in str(args):
        away.append(f"{event} {args}")
sys.addaudithook(heard)
from pathlib import Path
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.studio.mounting import studio_mount
lazy = [name for name in ("gradio", "pandas", "exptrack_agent") if name in sys.modules]
mount = studio_mount(Studio(Path(sys.argv[1])))

async def get(path):
    answer = {"body": b""}
    async def send(message):
        if message["type"] == "http.response.start":
            answer.update(status=message["status"], headers=dict(message["headers"]))
        answer["body"] += message.get("body", b"")
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": "/ui",
        "query_string": b"", "headers": [(b"host", b"127.0.0.1:80")], "http_version": "1.1", "scheme": "http",
        "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
    await mount(scope, receive, send)
    return answer

async def main():
    page = await get("/ui/")
    config = json.loads((await get("/ui/config"))["body"])
    temporary = os.environ["GRADIO_TEMP_DIR"]
    is_private = os.stat(temporary).st_mode & 0o077 == 0
    leak = await get("/ui/gradio_api/file=" + sys.argv[1] + "/secret")
    await asyncio.sleep(0.5)
    await mount.close()
    html = page["body"].decode()
    print(json.dumps({
        "lazy": lazy, "away": away, "status": page["status"], "is_private": is_private,
        "is_gone": not os.path.exists(temporary), "leak": leak["status"],
        "policy": page["headers"][b"content-security-policy"].decode(),
        "head": html.index("/static/css/theme.css") < html.index("<style>"),
        "names": [d["api_name"] for d in config["dependencies"] if d["api_name"]],
        "analytics": config["analytics_enabled"],
    }))

asyncio.run(main())
"""


@pytest.mark.timeout(120)
def test_the_tabs_are_made_at_the_first_request_and_speak_to_nobody_outside(home):
    (home / "secret").write_text("s")
    done = subprocess.run(
        [sys.executable, "-c", WALK, str(home)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["lazy"] == found["away"] == []
    assert (found["status"], found["leak"]) == (200, 403)
    assert found["is_private"]
    assert found["is_gone"]
    assert found["head"]
    assert not found["analytics"]
    assert "connect-src 'self'" in found["policy"]
    assert {"save_version", "start_simulation", "stop_job", "launch_script"} <= set(found["names"])
