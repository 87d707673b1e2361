"""How often automatic matching is right, on labelled days: `python -m benchmarks.matching_quality`.

A match is right when it says of each of its seen lines exactly the expected items that the truth says. Precision is the
share of automatic matches that are right; recall the share of lines that answer something and were matched rightly.
"""

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.labelled_days import LabelledDays, labelled_days
from services.payment.reconciliation.engine.items import MatchingRules, Outcome
from services.payment.reconciliation.engine.pipeline import match


@dataclass(slots=True)
class Score:
    """Counts of one run. `wrong` names each wrong automatic match."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    answering: int = 0
    ambiguous: int = 0
    by_fault: Counter[str] = field(default_factory=Counter)
    seen: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + len(self.wrong)) if self.right or self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.answering if self.answering else 1.0


def score_of(days: LabelledDays, outcome: Outcome) -> Score:
    """Compare what the engine did with the truth, line by line."""
    score = Score(seen=len(days.seen), answering=sum(bool(answers) for answers in days.truth.values()))
    for each in outcome.matches:
        for key in each.seen:
            if days.truth[key] == frozenset(each.expected):
                score.right += 1
                score.by_fault[days.faults.get(key, "none")] += 1
            else:
                score.wrong.append(f"{key} {days.faults.get(key, '')}: {each} instead of {sorted(days.truth[key])}")
    score.ambiguous = sum(len(each.seen) for each in outcome.ambiguous)
    return score


def main() -> None:
    """Entry point of `python -m benchmarks.matching_quality`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching_quality", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--fault-rate", type=float, default=0.005)
    arguments = parser.parse_args()
    total = Score()
    of_fault: Counter[str] = Counter()
    for seed in range(1, arguments.seeds + 1):
        days = labelled_days(arguments.items, seed=seed, fault_rate=arguments.fault_rate)
        begun = time.perf_counter()
        outcome = match(days.expected, days.seen, MatchingRules())
        seconds = time.perf_counter() - begun
        shuffled = random.Random(seed)
        again = match(
            shuffled.sample(days.expected, len(days.expected)),
            shuffled.sample(days.seen, len(days.seen)),
            MatchingRules(),
        )
        assert again == outcome, "the order of the items changed the outcome"
        score = score_of(days, outcome)
        of_fault.update(fault for key, fault in days.faults.items() if days.truth[key])
        total.right += score.right
        total.wrong += score.wrong
        total.answering += score.answering
        total.ambiguous += score.ambiguous
        total.seen += score.seen
        total.by_fault += score.by_fault
        print(
            f"seed {seed:2d}: {score.seen:,} lines in {seconds:.1f} s · precision {score.precision:.6f} "
            f"· recall {score.recall:.5f} · ambiguous {score.ambiguous}"
        )
    print(
        f"all seeds: precision {total.precision:.6f}, recall {total.recall:.5f}, "
        f"ambiguous {total.ambiguous / total.seen:.5%} of lines, wrong {len(total.wrong)}"
    )
    for fault, count in sorted(of_fault.items()):
        print(f"  {fault:15s} matched by itself {total.by_fault[fault]:6d} of {count:6d}")
    for sentence in total.wrong[:20]:
        print("  wrong:", sentence)
    raise SystemExit(1 if total.wrong else 0)


if __name__ == "__main__":
    main()
