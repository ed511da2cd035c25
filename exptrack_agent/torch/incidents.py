"""What went wrong numerically, and what is done about it: the policies of a `StabilityMonitor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from exptrack_agent.errors import ExptrackAgentError, Misuse
from exptrack_agent.notices import say_once
from exptrack_agent.torch.sending import kept_from_training

Policy = Literal["record", "warn", "stop", "callback"]
Place = Literal["loss", "gradient", "activation", "weight"]
MOST_KEPT = 100


class NumericalInstability(ExptrackAgentError, ArithmeticError):
    """NaN or Inf appeared in training, and the policy is "stop"."""


class Incident(NamedTuple):
    """NaN or Inf at one place at one step."""

    step: int
    place: Place
    name: str
    """The parameter or module where it began; of a loss, its name."""
    nan: int
    inf: int

    def __str__(self) -> str:
        what = " and ".join(
            f"{count:,} {kind}" for count, kind in ((self.nan, "NaN"), (self.inf, "Inf")) if count
        )
        return f"{what or 'NaN or Inf'} in {self.place} {self.name} at step {self.step}"


Callback: TypeAlias = Callable[[Incident], object]


class Incidents:
    """Keeps what happened, and acts by the policy."""

    def __init__(self, run: Any, policy: str, callback: Callback | None) -> None:
        if policy not in ("record", "warn", "stop", "callback"):
            raise Misuse(f'policy is "record", "warn", "stop" or "callback", not {policy!r}')
        if (policy == "callback") != (callback is not None):
            raise Misuse('policy="callback" and callback=… go together')
        self.kept: list[Incident] = []
        """The first hundred."""
        self.nan = 0
        self.inf = 0
        self.steps: set[int] = set()
        self._run = run
        self._policy = policy
        self._callback = callback
        self._pending: Incident | None = None
        self._alerted: set[str] = set()

    @property
    def first(self) -> Incident | None:
        """Where it began."""
        return min(self.kept, key=lambda incident: incident.step) if self.kept else None

    def add(self, incident: Incident) -> None:
        """Count, keep, and act."""
        self.nan += incident.nan
        self.inf += incident.inf
        if len(self.steps) < 100_000:
            self.steps.add(incident.step)
        if len(self.kept) < MOST_KEPT:
            self.kept.append(incident)
        if self._policy == "callback" and self._callback is not None:
            with kept_from_training("the stability callback"):
                self._callback(incident)
        elif self._policy in ("warn", "stop"):
            self._say(incident)
        if self._policy == "stop" and self._pending is None:
            self._pending = incident

    def raise_pending(self) -> None:
        """At a step boundary: stop training if it must.

        Raises:
            NumericalInstability: an incident happened and the policy is "stop".
        """
        incident, self._pending = self._pending, None
        if incident is not None:
            raise NumericalInstability(
                f'{incident}; training stops here because the policy is "stop"'
            )

    def _say(self, incident: Incident) -> None:
        if incident.place in self._alerted:
            return
        self._alerted.add(incident.place)
        say_once(f"unstable {incident.place}", str(incident))
        level = "error" if self._policy == "stop" else "warning"
        self._run.alert(f"NaN or Inf in a {incident.place}", str(incident), level)
