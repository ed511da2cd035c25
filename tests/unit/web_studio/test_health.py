"""The health document in rows."""

from __future__ import annotations

from exptrack_daemon.web.studio.health import health_rows

GIB = 1024**3


def health(**changes):
    return {
        "daemon": {"running": True, "responding": True, "pid": 7, "version": "1", "uptime_s": 61},
        "sinks": [],
        "lost_items": 0,
        "disk": {"free_bytes": 50 * GIB, "total_bytes": 100 * GIB},
        "node": {
            "cpu_percent": 3.4,
            "load_1m": 0.5,
            "memory_used_bytes": GIB,
            "memory_total_bytes": 4 * GIB,
            "gpus": [],
        },
        "notices": [],
    } | changes


def rows(**changes):
    return {row[0]: row[1:] for row in health_rows(health(**changes))}


def test_all_is_well():
    assert rows() == {
        "Daemon": ["running", "pid 7, version 1, for 1 min 1 s"],
        "Disk": ["fine", "50.0 GiB free of 100.0 GiB"],
        "Processor": ["3 %", "load 0.5"],
        "Memory": ["25 %", "1.0 GiB of 4.0 GiB"],
        "GPU": ["none", "no NVIDIA GPU is seen on this machine"],
    }


def test_a_daemon_that_is_stopped_or_silent_says_what_to_do():
    assert rows(daemon={"running": False})["Daemon"][0] == "stopped"
    silent = {"running": True, "responding": False}
    assert "exptrack daemon status" in rows(daemon=silent)["Daemon"][1]


def test_what_is_wrong_is_named():
    sink = {
        "name": "wandb",
        "status": "unavailable",
        "reason": "503",
        "runs": 1,
        "lag_rows": 1200,
        "dead_letters": 2,
    }
    found = rows(
        sinks=[sink],
        lost_items=3,
        disk={"free_bytes": GIB, "total_bytes": 100 * GIB},
        notices=["the catalogue is not used"],
    )
    assert found["Sink wandb"] == ["unavailable", "1 run, 1,200 rows behind, 2 refused, 503"]
    assert found["Losses"][0] == "3 items"
    assert found["Disk"][0] == "low"
    assert found["Notice"][1] == "the catalogue is not used"


def test_gpus_are_listed():
    gpu = {"index": 0, "utilization_percent": 87.0, "temperature_celsius": 60}
    node = health()["node"] | {"gpus": [gpu]}
    assert rows(node=node)["GPU 0"] == ["87 %", "temperature_celsius 60"]
