"""`make chaos`: break everything, again and again, and report what held.

Every option may also stand in the environment: CHAOS_SECONDS, CHAOS_JOBS, CHAOS_REPLICAS, CHAOS_SEED, CHAOS_FAULTS.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path

import anyio
from measured_page import write_between_markers

from chaos.faults import FAULTS
from chaos.report import broken_promises, summary
from chaos.run import Outcome, Plan, run_chaos

PAGE = Path(__file__).parents[3] / "docs" / "guarantees.md"


def main() -> int:
    """Run, report, and give the exit code: 1 where a promise was broken."""
    options = _options()
    began = time.monotonic()
    plan = Plan(
        seconds=options.seconds,
        jobs=options.jobs,
        replicas=options.replicas,
        every=options.every,
        seed=options.seed,
        faults=tuple(
            name for name in FAULTS if not options.faults or any(word in name for word in options.faults.split(","))
        ),
    )
    print(f"seed {plan.seed}", flush=True)
    outcome: Outcome = anyio.run(
        run_chaos,
        plan,
        lambda text: print(f"{time.monotonic() - began:7.1f}  {text}", flush=True),
        backend_options={"use_uvloop": True},
    )
    print(f"\n{summary(outcome)}\n{broken_promises(outcome)}")
    if options.write:
        write_between_markers(PAGE, "chaos", summary(outcome))
    print(f"{len(outcome.violations)} violations; logs and records: {outcome.folder}; again: --seed {plan.seed}")
    return 1 if outcome.violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    variable = os.environ.get
    parser.add_argument("--seconds", type=float, default=float(variable("CHAOS_SECONDS", "600")))
    parser.add_argument("--jobs", type=int, default=int(variable("CHAOS_JOBS", "20000")))
    parser.add_argument("--replicas", type=int, default=int(variable("CHAOS_REPLICAS", "3")))
    parser.add_argument("--every", type=float, default=5.0, help="seconds from one fault to the next")
    parser.add_argument("--seed", type=int, default=int(variable("CHAOS_SEED", "0")) or secrets.randbelow(10**6) + 1)
    parser.add_argument(
        "--faults", default=variable("CHAOS_FAULTS", ""), help="words, by commas; faults with one of them"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/guarantees.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
