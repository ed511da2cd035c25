"""The MLflow library, in an environment of our own, and its log lines. Done once a process."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from exptrack_daemon.errors import SinkBroken
from exptrack_daemon.sinks.mlflow.settings import MlflowSettings

_KEPT = frozenset(
    {
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_INSECURE_TLS",
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
        "MLFLOW_TRACKING_AWS_SIGV4",
        "MLFLOW_S3_ENDPOINT_URL",
        "MLFLOW_S3_IGNORE_TLS",
    }
)
"""Of the user's environment. Anything else (MLFLOW_RUN_ID, MLFLOW_TRACKING_URI, …) would bend every run."""
_STORE = "mlflow.store.tracking.sqlalchemy_store"
_SPEAKING = ("mlflow", "alembic", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class Library:
    """What we use of MLflow."""

    client: Any
    metric: Any
    param: Any
    tag: Any
    error: Any


def load_mlflow(settings: MlflowSettings) -> Library:
    """Import MLflow.

    Raises:
        SinkBroken: it, or what it needs for a database, is not installed.
    """
    return _load(settings.request_timeout_s, settings.is_database)


@functools.cache
def _load(timeout_s: int, is_database: bool) -> Library:
    _set_environment(timeout_s)
    try:
        # What MLflow does not like of its own libraries is nothing that a user could act on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow = importlib.import_module("mlflow")
            entities = importlib.import_module("mlflow.entities")
            if is_database:
                importlib.import_module(_STORE)
            importlib.import_module("numpy")
            importlib.import_module("PIL")
    except ImportError as error:
        raise SinkBroken(
            f"the MLflow sink needs its libraries: pip install 'exptrack[mlflow]' ({error})"
        ) from error
    for name in _SPEAKING:
        logging.getLogger(name).setLevel(logging.WARNING)
    return Library(
        mlflow.MlflowClient,
        entities.Metric,
        entities.Param,
        entities.RunTag,
        mlflow.exceptions.MlflowException,
    )


def _set_environment(timeout_s: int) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_") and name not in _KEPT]:
        del os.environ[name]
    os.environ |= {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
        # The delivery loop asks again, and says so where people look; MLflow's own seven tries take minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
