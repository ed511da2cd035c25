"""The loop: make an input, take it, and judge what it cost. Deterministic for a seed and a number of inputs.

Judged of each input: nothing undeclared is raised; at most the target's share of this thread's CPU time
(10 ms), measured again
before it counts, since caches and collectors have their own moods; and no more than 16 MiB of growth. Growth
is looked at closely (tracemalloc) only for an input after which the process is larger than it ever was.
"""

from __future__ import annotations

import gc
import resource
import time
import tracemalloc
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.targets import Target

MOST_GROWTH_BYTES = 16 << 20
_LOOK_AFTER_KIB = 1024
_AGAIN = 4
_MOST_FINDINGS = 20


@dataclass(slots=True)
class Finding:
    """An input that did what none may."""

    what: str
    data: bytes


@dataclass(slots=True)
class Fuzzed:
    """What a session did."""

    inputs: int = 0
    slowest_s: float = 0.0
    most_growth_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def fuzz(target: Target, seed: int, *, seconds: float, most_inputs: int = 2**63) -> Fuzzed:
    """Run all seeds, then mutants, until the time or the number of inputs is used up."""
    luck, done = Random(seed), Fuzzed()
    peak = _peak_kib()
    queue = list(target.seeds)
    until = time.monotonic() + seconds
    while done.inputs < most_inputs and time.monotonic() < until:
        data = queue.pop() if queue else target.make(luck)
        peak = _judge(target, data, done, peak)
        if len(done.findings) >= _MOST_FINDINGS:
            break
    return done


def _judge(target: Target, data: bytes, done: Fuzzed, peak: int) -> int:
    done.inputs += 1
    began = time.thread_time()
    try:
        target.take(data)
    except Exception as error:  # the very thing that is looked for
        done.findings.append(Finding(f"raised {error!r}"[:300], data))
        return peak
    took = time.thread_time() - began
    if took > done.slowest_s:
        if took > target.most_cpu_s:
            took = min(took, *(_cost(target, data) for _ in range(_AGAIN)))
        done.slowest_s = max(done.slowest_s, took)
        if took > target.most_cpu_s:
            done.findings.append(Finding(f"took {took * 1e3:.1f} ms", data))
    now = _peak_kib()
    if now > peak + _LOOK_AFTER_KIB:
        look_at_growth(target, data, done)
        return _peak_kib()
    return peak


def _cost(target: Target, data: bytes) -> float:
    began = time.thread_time()
    target.take(data)
    return time.thread_time() - began


def look_at_growth(target: Target, data: bytes, done: Fuzzed) -> None:
    """Take the input once more, and count what it needs."""
    gc.collect()
    tracemalloc.start()
    target.take(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    done.most_growth_bytes = max(done.most_growth_bytes, most)
    if most > MOST_GROWTH_BYTES:
        done.findings.append(Finding(f"needed {most / 2**20:.1f} MiB", data))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
