"""Secrets in every place a program has: none is recorded anywhere, and what only looks like one stays."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest
from PIL import Image
from pyarrow import parquet

from exptrack_agent.redact import HIDDEN, Redactor
from exptrack_agent.settings import redact_of
from exptrack_daemon.home import Home
from tests.security.secret_samples import LOOK_ALIKES, keyed, shaped
from tests.support.mlflow_places import Reader, prepare
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack
from tests.support.relay import Relay
from tests.support.studio import StudioServer

SEED = 20_26

SCRIPT = """
import json, logging, sys
from pathlib import Path
import msgpack
from exptrack_agent.integrations.capture import capture_output
from exptrack_agent.integrations.items import put_artifact, put_note
from exptrack_agent.integrations.python_logging import RunHandler
import exptrack_agent.tracker.reproduction as reproduction

told = json.loads(Path(os.environ["SAMPLES"]).read_text())
shaped, keyed, alike = told["shaped"], told["keyed"], told["alike"]
every = " ".join(shaped.values())
signed = f"https://h/x?sig={told['sig']}&y=1"
login = f"postgres://ada:{told['url']}@db/x"
run = xt.init(f"p {shaped['aws']}", name=f"n {shaped['gitlab']}", group=shaped["npm"], job_type=shaped["jwt"],
    run_id="secrets", autostart=False, sinks=told["sinks"],
    config={"nested": {"deep": [dict(keyed)]}, "free": list(shaped.values()), "text": json.dumps(keyed),
            **{secret: 1 for secret in shaped.values()}, "api_keys": {"a": told["table"]}, **alike},
    notes=f"{login} {every}", tags=[shaped["github"], f"t {shaped['openai']}"],
    sink_options={"tensorboard": {"api_key": keyed["api_key"]}})
run.config["later"] = dict(keyed)
run.summary["where"] = signed
run.summary.update({"deep": {"list": [dict(keyed)]}, "free": every})
run.log_hparams({"lr": 0.1, "free": every, **keyed}, {"loss": 1.0})
for key, value in keyed.items():
    run.alert("boom " + every[:200], f"ValueError: request failed with {key}={value}")
    run.alert("boom", f'{{"{key}": "{value}"}} and --{key.replace("_", "-")} {value}')
    put_note(run, f"{key}: str = '{value}'")
for step in range(20):
    run.log({"loss": 1.0 / (step + 1)}, step=step)
run.log({"said": xt.Text("\\n".join(shaped.values()) + f" {login} {signed}")})
run.log({"rows": xt.Table([["x", every], [login, 2]], columns=["a", "b"])})
run.log({"seen": xt.Image(__import__("numpy").zeros((4, 4), "uint8"), caption=f"{every} {login}")})
put_artifact(run, f"/models/{shaped['google']}/w.bin", name=f"m {shaped['stripe']}",
    metadata={"source": signed, **keyed, "free": every})
with capture_output(run):
    print("Authorization: Bearer", told["bearer"])
    print("\\n".join(f"export {key}={value}" for key, value in keyed.items()))
    print(every, file=sys.stderr)
logger = logging.getLogger("mine")
logger.addHandler(RunHandler(run))
try:
    raise ValueError("cannot log in: " + every + told["block"])
except ValueError:
    logger.exception("it failed, Authorization: Basic %s", told["basic"])
document = run.redacted(reproduction.gather(source=True, environment=True, seeds={}, folder=Path.cwd()))
run.put_item(msgpack.packb({"kind": "artifact", "time_ns": 1, **reproduction.artifact_fields(document, "")}))
run.flush(timeout_s=20)
Path(os.environ["SAMPLES"] + ".written").touch()
while told["waits"] and not Path(os.environ["SAMPLES"] + ".go").exists():
    time.sleep(0.02)
run.finish(timeout_s=20)
"""


WITH_MLFLOW = bool(os.environ.get("EXPTRACK_TORTURE"))
"""It takes ten seconds of a processor to begin; `make torture` has them."""
SINKS = ["tensorboard", "wandb", *(["mlflow"] if WITH_MLFLOW else [])]
ONCE = (
    *("url", "sig", "bearer", "basic", "table", "diff"),
    *("argv", "argv2", "environ", "environ2", "git"),
)
"""Where a secret stands that is in no other place."""


def samples(*, waits: bool) -> dict[str, Any]:
    luck = Random(SEED)
    block = (
        "-----BEGIN RSA PRIVATE KEY-----\n"
        + shaped(luck)["openai"]
        + "\n-----END RSA PRIVATE KEY-----"
    )
    return {
        "shaped": shaped(luck),
        "keyed": keyed(luck),
        "alike": LOOK_ALIKES,
        "block": block,
        "sinks": SINKS if waits else [],
        "waits": waits,
        **{name: f"{name}{luck.getrandbits(80):x}" for name in ONCE},
    }


def secrets_of(told: dict[str, Any]) -> list[str]:
    block = told["block"].splitlines()[1]
    once = [told[name] for name in ONCE]
    return [*told["shaped"].values(), *told["keyed"].values(), block, *once]


def repository(folder: Path, told: dict[str, Any]) -> Path:
    """With credentials in its remote's address, and a change that holds one."""
    folder.mkdir()
    source = folder / "train.py"
    source.write_text("x = 1\n")
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", f"https://ada:{told['git']}@example.org/x.git"],
        ["add", "train.py"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    source.write_text(f'x = 2\npassword: str = "{told["diff"]}"\n')
    return folder


def training(home: Path, folder: Path, told: dict[str, Any], **environ: str) -> subprocess.Popen:
    """A trainer with secrets wherever one may be."""
    folder.mkdir()
    (folder / "samples.json").write_text(json.dumps(told))
    return trainer(
        f"os.chdir({str(repository(folder / 'work', told))!r})\n" + SCRIPT,
        home,
        "--api-key",
        told["argv"],
        f"--password={told['argv2']}",
        SAMPLES=str(folder / "samples.json"),
        TORCH_HUB_TOKEN=told["environ"],
        TORCH_HOME=f"https://x:{told['environ2']}@h/",
        **environ,
    )


def contents(*folders: Path) -> bytes:
    """All that stands in files below, unpacked where it is packed, and their names."""
    parts: list[bytes] = []
    for path in [path for folder in folders for path in folder.rglob("*") if path.is_file()]:
        parts += [str(path).encode(), path.read_bytes()]
        if path.suffix == ".parquet":
            table = parquet.read_table(path)
            parts += [
                str(table.schema).encode(),
                json.dumps(table.to_pylist(), default=str).encode(),
            ]
        if path.suffix == ".gz":
            parts.append(gzip.decompress(parts[-1]))
        if path.suffix == ".png":
            with Image.open(path) as image:
                parts.append(str(image.info).encode())
    return b"\n".join(parts)


def answers(home: Path) -> bytes:
    """What the studio's server and the command line say of the run."""
    parts: list[bytes] = []
    with StudioServer(home) as studio:
        asked = [
            "runs",
            "runs/secrets",
            "columns",
            "health",
            "metrics?runs=secrets",
            "system?run=secrets",
        ]
        asked += ["media?run=secrets", "compare?runs=secrets", "points?run=secrets&name=loss"]
        listed = studio.api("media?run=secrets")
        asked += [f"media/secrets/{one['number']}" for one in listed["media"]]
        for path in asked:
            answer = studio.get(f"/api/v1/{path}")
            assert answer.status == 200, (path, answer.body)
            parts.append(answer.body)
        parts.append(studio.get("/metrics").body)
    for words in (
        ["show", "--json"],
        ["show"],
        ["tail"],
        ["verify"],
        ["export", "--format", "jsonl"],
    ):
        done = exptrack(words[0], "secrets", *words[1:], "--home", str(home))
        assert done.returncode == 0, done.stderr
        parts.append((done.stdout + done.stderr).encode())
    return b"\n".join(parts)


def found_in(data: bytes, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets if secret.encode() in data]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_no_secret_stands_anywhere_nor_goes_over_the_wire(home: Path, tmp_path: Path) -> None:
    told = samples(waits=True)
    secrets = secrets_of(told)
    assert len({*secrets}) >= 60
    if WITH_MLFLOW:
        prepare(home)
    (home / "daemon.toml").write_text('[sinks.wandb]\nmode = "offline"\n')
    daemon = Daemon(home).start()
    runtime = Home(home).runtime
    try:
        with Relay(runtime / "frames.sock") as frames, Relay(runtime / "control.sock") as control:
            process = training(home, tmp_path / "t", told)
            wait_until((tmp_path / "t" / "samples.json.written").exists, 30)
            assert found_in(contents(*Home(home).ring_roots), secrets) == []
            (tmp_path / "t" / "samples.json.go").touch()
            finished(process, 60)
            wire = bytes(frames.heard + control.heard)
        assert found_in(wire, secrets) == []
        assert b"bert-base-uncased" in wire
        assert HIDDEN.encode() in wire
        wait_until(lambda: not WITH_MLFLOW or "FINISHED" in Reader(home).runs().values(), 60)
        wait_until(lambda: not any(s["lag_rows"] for s in daemon.status()["sinks"]), 60)
        said = answers(home)
    finally:
        daemon.end()
    kept = contents(home)
    assert found_in(kept, secrets) == []
    assert found_in(said, secrets) == []
    assert all(kind in kept for kind in (b".parquet", b"tfevents", b".wandb"))
    assert (b"mlflow.db" in kept) is WITH_MLFLOW
    shown = json.loads(exptrack("show", "secrets", "--json", "--home", str(home)).stdout)
    assert {name: shown["config"][name] for name in LOOK_ALIKES} == LOOK_ALIKES


@pytest.mark.acceptance
def test_no_secret_stands_in_the_spool_of_a_run_without_a_daemon(
    home: Path, tmp_path: Path
) -> None:
    told = samples(waits=False)
    finished(training(home, tmp_path / "t", told, EXPTRACK_MODE="offline"))
    kept = contents(home, *Home(home).ring_roots)
    assert b"bert-base-uncased" in kept
    assert found_in(kept, secrets_of(told)) == []


@pytest.mark.parametrize(
    "place", ["{}", "x={}", "see {}, please", "'{}'", '{{"a": "{}"}}', "u/{}/v"]
)
def test_a_known_shape_is_found_wherever_it_stands(place):
    for kind, secret in shaped(Random(SEED)).items():
        assert secret not in Redactor().text(place.format(secret)), kind


@pytest.mark.parametrize(
    "place", ["{0}={1}", "{0}: {1}", '"{0}": "{1}"', "--{0} {1}", "--{0}={1}", "{0} = '{1}'"]
)
def test_a_telling_key_hides_its_value_in_any_text(place):
    for key, secret in keyed(Random(SEED)).items():
        assert secret not in Redactor().text("run " + place.format(key, secret) + " end"), key


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Basic {}",
        "{{'Authorization': 'token {}'}}",
        "{{'password': b'{}'}}",
        'password="not {} but more"',
        "token: str = '{}'",
        "api_key: str | None = '{}'",
        'said: "login with password={} refused"',
        "--password 'a {}' --lr 3",
        'curl -H "X-Api-Key: {}" https://h/x',
        "https://ada:p@{}@host/x",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{}\n-----END PGP PRIVATE KEY BLOCK-----",
        '{{\\"password\\": \\"{} x\\"}}',
        "key=QcGqZwVb12345",
        "AccountName=a;AccountKey={}+/==;EndpointSuffix=x",
    ],
)
def test_ways_of_saying_it(said):
    assert "QcGqZwVb" not in Redactor().text(said.format("QcGqZwVb"))


@pytest.mark.parametrize(
    "said",
    [
        "api_key=os.environ['OPENAI_API_KEY']",
        "the token embedding: 'keys and values' are fine",
        'f"Bearer {token}"',
        "key='a b' and more",
        "sorted(found, key=lambda one: one.number)",
        "token = tokenizer.decode(ids[0])",
        "login(token=token, password=password)",
        "token: bool | str | None = None",
        "{key: value for key, value in pairs}",
        'pad_token: str = "<pad>"',
        "x == y and tokens: list[str] = []",
    ],
)
def test_code_that_names_a_secret_stays_as_it_is(said):
    assert Redactor().text(said) == said


def test_what_stands_below_a_secret_name_is_secret():
    given = {"api_keys": {"openai": "QcGqZwVb"}, "secrets": {"db": {"x": ["QcGqZwVb"]}}}
    assert "QcGqZwVb" not in json.dumps(Redactor().value(given))
    assert Redactor().value({"token": {"type": "bpe"}}) == {"token": {"type": "bpe"}}


def test_a_known_shape_is_found_in_keys_and_captions_and_alone_in_an_item():
    for kind, secret in shaped(Random(SEED)).items():
        assert list(Redactor().value({secret: 1})) == [HIDDEN], kind
        for item in ({"kind": "note", "text": secret}, {"kind": "image", "caption": secret}):
            assert secret.encode() not in Redactor().item(msgpack.packb(item)), kind


def test_every_telling_key_is_seen_in_an_item():
    for key, secret in keyed(Random(SEED)).items():
        item = {"kind": "config", "config": json.dumps({"deep": {key: secret}})}
        assert secret.encode() not in Redactor().item(msgpack.packb(item)), key


def test_long_texts_made_to_be_slow_are_not():
    """A search that goes back and forth would take minutes; the time limit of a test is one."""
    for part in ("a.", "a='", 'token="\\', "a: b", "https://a", "sk-", "eyJaaaaaaaa.", "key: a = "):
        Redactor().text(part * (60_000 // len(part)))


def test_look_alikes_stay_as_they_are():
    assert len(LOOK_ALIKES) == 40
    assert Redactor().value(LOOK_ALIKES) == LOOK_ALIKES
    for name, value in LOOK_ALIKES.items():
        assert Redactor().text(f"{name}={value}") == f"{name}={value}"


def test_the_user_can_add_names_and_switch_it_off():
    assert Redactor(["Patient"]).value({"patient": "ada", "lr": 1}) == {"patient": HIDDEN, "lr": 1}
    assert redact_of(None, {}) is True
    assert redact_of(None, {"EXPTRACK_REDACT": "0"}) is False
    assert redact_of(None, {"EXPTRACK_REDACT": "patient, ward"}) == ("patient", "ward")
    assert redact_of(False, {"EXPTRACK_REDACT": "1"}) is False


def test_what_was_cleaned_once_stays_as_it_is():
    redactor = Redactor()
    for key, secret in keyed(Random(SEED)).items():
        clean = redactor.text(f"{key}={secret} https://a:{secret}@h/?token={secret}")
        assert redactor.text(clean) == clean
