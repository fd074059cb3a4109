"""What a reservation costs, uncontended: `python -m netsupport.benchmarks.cost`. Microseconds, taken and released."""

from __future__ import annotations

import statistics
import time

from netsupport.benchmarks.methods import all_methods

ROUNDS = 2_000
SECONDS_MAX = 4.0


def main() -> None:
    """Print a table of medians."""
    medians = {}
    for method in all_methods():
        costs_s: list[float] = []
        end_s = time.perf_counter() + SECONDS_MAX
        while len(costs_s) < ROUNDS and time.perf_counter() < end_s:
            started_s = time.perf_counter()
            _port, release = method.take()
            release()
            costs_s.append(time.perf_counter() - started_s)
        medians[method.name] = (statistics.median(costs_s[1:]), len(costs_s))
    print("| way | median, µs | rounds |\n|---|---:|---:|")
    for name, (median_s, rounds) in medians.items():
        print(f"| {name} | {median_s * 1e6:,.0f} | {rounds:,} |")


if __name__ == "__main__":
    main()
