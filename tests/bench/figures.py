# SPDX-License-Identifier: MIT
"""Numbers as the benchmarks print them."""
import math
import statistics


def quantile(values, share):
    """The smallest value that so large a share of them does not exceed."""
    values = sorted(values)
    return values[max(0, -int(-share * len(values) // 1) - 1)]


def median_interval(values, trust=0.95):
    """Between which of the values the true median lies, whatever their distribution: each value
    is above it as often as a coin shows heads. (None, None): too few to say."""
    values, count = sorted(values), len(values)
    outside, cut = 0, 0
    while cut < count // 2:
        outside += 2 * math.comb(count, cut) / 2 ** count
        if outside > 1 - trust:
            break
        cut += 1
    return (values[cut - 1], values[-cut]) if cut else (None, None)


def verdict(is_met):
    return "met" if is_met else "short"


def shown(took_ms):
    return f"median {statistics.median(took_ms):.2f} ms, p99 {quantile(took_ms, 0.99):.2f} ms"
