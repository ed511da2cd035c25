"""The GraphQL half of the fake W&B server: what each operation of the real client is answered."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

ENTITY = "fake-entity"

Variables: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]


@dataclasses.dataclass
class FakeRun:
    """What the server knows of one run."""

    entity: str
    project: str
    name: str
    storage_id: str
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """By the line number that the client counts; a line sent again replaces the one there."""
    overwritten: list[tuple[int, dict[str, Any], dict[str, Any]]] = dataclasses.field(
        default_factory=list
    )
    events: dict[int, str] = dataclasses.field(default_factory=dict)
    console: dict[int, str] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    alerts: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    exit_code: int | None = None
    was_preempting: bool = False
    completed: bool = False
    upserts: int = 0

    @property
    def lines(self) -> int:
        return max(self.history, default=-1) + 1

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history in the order of its lines."""
        return [self.history[line] for line in sorted(self.history)]

    @property
    def settings(self) -> dict[str, Any]:
        """The config as the user gave it."""
        return {key: entry["value"] for key, entry in self.config.items() if key != "_wandb"}


class GraphQL:
    """Runs and artifacts, and the operations on them."""

    def __init__(self, url: str, features: tuple[str, ...]) -> None:
        self.url = url
        self.features = features
        self.lock = threading.RLock()
        self.runs: dict[tuple[str, str, str], FakeRun] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.stopped_runs: set[str] = set()
        self._operations: dict[str, Callable[[Variables], Answer]] = {
            "Viewer": self._viewer,
            "ServerFeaturesQuery": self._server_features,
            "ServerInfo": self._server_info,
            "OrgFeatureFlags": lambda _: {"organization": {"featureFlags": []}},
            "OrganizationCoreWeaveOrganizationID": self._no_organization,
            "XXHashDigestsEnabled": lambda _: {"entity": {"xxhashDigestsEnabled": False}},
            "FetchArtifactDigestAlgorithm": lambda _: {"project": {"artifactType": None}},
            "RunResumeStatus": self._resume_status,
            "RunFiles": self._run_files,
            "RunStoppedStatus": self._stopped_status,
            "UpsertBucket": self._upsert_bucket,
            "CreateRunFiles": self._create_run_files,
            "MarkRunFilesUploaded": lambda _: {"markRunFilesUploaded": {"success": True}},
            "ArtifactType": lambda _: {"project": {"artifact": None}},
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit_artifact,
            "NotifyScriptableRunAlert": self._alert,
        }

    def answer(self, operation: str, variables: Variables, query: str) -> Answer:
        known = self._operations.get(operation)
        if known is not None:
            return {"data": known(variables)}
        if "__type" in query or "__schema" in query:
            return {"data": {}}
        message = f"fake server: unknown operation {operation}"
        return {"errors": [{"message": message}], "data": None}

    # -- runs ------------------------------------------------------------------------------------------

    def get_or_make_run(
        self, entity: str | None, project: str | None, name: str
    ) -> tuple[FakeRun, bool]:
        key = (entity or ENTITY, project or "uncategorized", name)
        with self.lock:
            run = self.runs.get(key)
            if run is not None:
                return run, False
            storage_id = base64.b64encode(f"Run:v1:{name}:{key[1]}:{key[0]}".encode()).decode()
            run = self.runs[key] = FakeRun(*key, storage_id=storage_id)
            return run, True

    def find_run(self, variables: Variables) -> FakeRun | None:
        entity, project = variables.get("entity"), variables.get("project")
        name = variables.get("name") or variables.get("runId") or ""
        return self.runs.get((entity or ENTITY, project or "uncategorized", name))

    def _resume_status(self, variables: Variables) -> Answer:
        entity = variables.get("entity") or ENTITY
        run = self.find_run(variables)
        model = {
            "id": "UHJvamVjdDox",
            "name": variables.get("project"),
            "entity": {"id": "RW50aXR5OjE=", "name": entity},
            "bucket": self._bucket_to_resume(run) if run else None,
        }
        return {"model": model}

    def _bucket_to_resume(self, run: FakeRun) -> Answer:
        with self.lock:
            last = [json.dumps(run.history[max(run.history)])] if run.history else []
            telemetry = run.config.get("_wandb", {}).get("value", {}).get("t", {"1": [1]})
            return {
                "id": run.storage_id,
                "name": run.name,
                "displayName": run.attributes.get("displayName") or run.name,
                "summaryMetrics": json.dumps(run.summary),
                "logLineCount": max(run.console, default=-1) + 1,
                "historyLineCount": run.lines,
                "eventsLineCount": max(run.events, default=-1) + 1,
                "historyTail": json.dumps(last),
                "eventsTail": "[]",
                "config": json.dumps(run.config),
                "tags": run.attributes.get("tags") or [],
                "notes": run.attributes.get("notes"),
                "wandbConfig": json.dumps({"t": telemetry}),
            }

    def _run_files(self, variables: Variables) -> Answer:
        run = self.find_run(variables)
        if run is None:
            return {"project": {"run": None}}
        wanted = variables.get("files") or list(run.files)
        nodes = [
            {"name": name, "sizeBytes": len(run.files[name])}
            for name in wanted
            if name in run.files
        ]
        return {"project": {"run": {"files": {"edges": [{"node": node} for node in nodes]}}}}

    def _stopped_status(self, variables: Variables) -> Answer:
        name = variables.get("runId") or variables.get("name")
        return {"project": {"run": {"stopped": name in self.stopped_runs}}}

    def _upsert_bucket(self, variables: Variables) -> Answer:
        with self.lock:
            run, inserted = self._run_to_upsert(variables)
            run.upserts += 1
            run.attributes |= {
                key: value
                for key, value in variables.items()
                if value is not None and key not in ("config", "summaryMetrics")
            }
            if variables.get("config"):
                run.config = json.loads(variables["config"])
            if variables.get("summaryMetrics"):
                run.summary = json.loads(variables["summaryMetrics"])
        project = {
            "id": "UHJvamVjdDox",
            "name": run.project,
            "entity": {"id": "RW50aXR5OjE=", "name": run.entity},
        }
        bucket = {
            "id": run.storage_id,
            "name": run.name,
            "displayName": run.attributes.get("displayName") or run.name,
            "description": None,
            "config": json.dumps(run.config),
            "sweepName": None,
            "project": project,
            "historyLineCount": run.lines,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _run_to_upsert(self, variables: Variables) -> tuple[FakeRun, bool]:
        for run in self.runs.values():
            if variables.get("id") == run.storage_id:
                return run, False
        name = variables.get("name") or "unnamed"
        return self.get_or_make_run(variables.get("entity"), variables.get("project"), name)

    def _create_run_files(self, variables: Variables) -> Answer:
        run, _ = self.get_or_make_run(variables["entity"], variables["project"], variables["run"])
        folder = f"{self.url}/storage/run/{run.entity}/{run.project}/{run.name}"
        files = [{"name": name, "uploadUrl": f"{folder}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}

    def _alert(self, variables: Variables) -> Answer:
        names = {key: variables.get(f"{key}Name") for key in ("entity", "project")}
        run = self.find_run({**names, "name": variables.get("runName")})
        if run is not None:
            run.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}

    # -- the account -----------------------------------------------------------------------------------

    def _viewer(self, _: Variables) -> Answer:
        viewer = {
            "id": "VXNlcjox",
            "entity": ENTITY,
            "username": "fake",
            "email": "fake@example.com",
            "admin": False,
            "flags": "{}",
            "name": "fake",
            "teams": {"edges": []},
        }
        return {"viewer": viewer}

    def _server_features(self, _: Variables) -> Answer:
        features = [{"name": name, "isEnabled": True} for name in self.features]
        return {"serverInfo": {"features": features}}

    def _server_info(self, _: Variables) -> Answer:
        versions = {"max_cli_version": "0.99.0"}
        return {"serverInfo": {"cliVersionInfo": versions, "latestLocalVersionInfo": None}}

    def _no_organization(self, _: Variables) -> Answer:
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    # -- artifacts -------------------------------------------------------------------------------------

    def _create_artifact(self, variables: Variables) -> Answer:
        with self.lock:
            key = f"QXJ0aWZhY3Q6{len(self.artifacts) + 1}"
            self.artifacts[key] = {"input": variables["input"], "state": "PENDING"}
        sequence = {"id": "S1", "latestArtifact": None}
        artifact = {"id": key, "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": artifact}}

    def _create_manifest(self, variables: Variables) -> Answer:
        artifact_id = variables["artifactID"]
        file: dict[str, Any] = {"id": "F1"}
        if variables.get("includeUpload"):
            file |= {"uploadUrl": f"{self.url}/storage/manifest/{artifact_id}", "uploadHeaders": []}
        manifest = {"id": f"M-{artifact_id}", "file": file}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def _create_artifact_files(self, variables: Variables) -> Answer:
        specs = (variables.get("input") or variables)["artifactFiles"]
        return {"createArtifactFiles": {"files": {"edges": [*map(self._artifact_file, specs)]}}}

    def _artifact_file(self, spec: dict[str, Any]) -> Answer:
        path = f"artifact/{spec['artifactID']}/{spec['name']}"
        node = {
            "id": "AF1",
            "name": spec["name"],
            "displayName": spec["name"],
            "storagePath": path,
            "uploadUrl": f"{self.url}/storage/{path}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": spec["artifactID"]},
        }
        return {"node": node}

    def _commit_artifact(self, variables: Variables) -> Answer:
        key = variables["artifactID"]
        self.artifacts[key]["state"] = "COMMITTED"
        digest = self.artifacts[key]["input"]["digest"]
        return {"commitArtifact": {"artifact": {"id": key, "digest": digest}}}
