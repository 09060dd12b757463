"""Allocation as a pure function: what every participant gets, and what many participants add up to."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.studies.allocation import Candidate, TooFewStimuliError, allocate, check_supply

designs = st.tuples(st.integers(1, 5), st.integers(1, 4)).flatmap(  # conditions, trials per condition
    lambda ck: st.tuples(st.just(ck[0]), st.just(ck[1]), st.integers(ck[0] * ck[1], ck[0] * ck[1] + 3 * ck[1] + 2))
)


def grid(conditions: int, questions: int, counts: Counter[int] | None = None) -> list[Candidate]:
    """Every condition has a stimulus for every question; stimulus id = condition * 1000 + question."""
    counts = counts or Counter()
    return [Candidate(c * 1000 + q, c, q, counts[c * 1000 + q]) for c in range(conditions) for q in range(questions)]


def spread(counts: Counter[int], conditions: int, questions: int) -> int:
    """The largest difference of counts within a condition."""
    each = [[counts[c * 1000 + q] for q in range(questions)] for c in range(conditions)]
    return max(max(x) - min(x) for x in each)


@given(designs, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_everyone_gets_k_of_each_condition_no_question_twice_and_counts_stay_even(
    design: tuple[int, int, int], seed: int
) -> None:
    conditions, k, questions = design
    counts: Counter[int] = Counter()
    for participant in range(2 * questions // k + 3):
        chosen = allocate(grid(conditions, questions, counts), k, [seed, participant])
        assert Counter(s // 1000 for s in chosen) == dict.fromkeys(range(conditions), k)
        assert len({s % 1000 for s in chosen}) == conditions * k
        counts.update(chosen)
        assert spread(counts, conditions, questions) <= 1


@pytest.mark.parametrize(
    ("conditions", "k", "questions"), [(5, 3, 16), (6, 2, 13), (6, 4, 25), (5, 4, 21), (4, 5, 21), (6, 5, 32)]
)
def test_counts_stay_even_where_one_question_more_than_needed_leads_a_greedy_choice_astray(
    conditions: int, k: int, questions: int
) -> None:
    for seed in range(4):
        counts: Counter[int] = Counter()
        for participant in range(3 * questions // k):
            counts.update(allocate(grid(conditions, questions, counts), k, [seed, participant]))
            assert spread(counts, conditions, questions) <= 1


@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 6), st.data())
@settings(max_examples=60, deadline=None)
def test_released_trials_leave_gaps_that_are_filled_first(
    conditions: int, k: int, more: int, data: st.DataObject
) -> None:
    questions = conditions * k + more
    full = Counter({c * 1000 + q: 3 for c in range(conditions) for q in range(questions)})
    gap_questions = data.draw(
        st.lists(st.integers(0, questions - 1), unique=True, min_size=1, max_size=conditions * k).map(sorted)
    )
    # Gaps of one dropout: no question twice, at most k in a condition.
    gaps = [(i % conditions) * 1000 + q for i, q in enumerate(gap_questions)]
    full.subtract(gaps)
    chosen = allocate(grid(conditions, questions, full), k, [1])
    assert set(gaps) <= set(chosen)


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_deeper_gaps_are_filled_before_shallow_ones(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = Counter({c * 1000 + q: int(random.integers(0, 5)) for c in range(2) for q in range(30)})
    chosen = allocate(grid(2, 30, counts), 2, [seed])
    for condition in range(2):
        taken = [counts[s] for s in chosen if s // 1000 == condition]
        left = sorted(counts[condition * 1000 + q] for q in range(30))
        other = {s % 1000 for s in chosen if s // 1000 != condition}
        free = sorted(counts[condition * 1000 + q] for q in range(30) if q not in other)
        assert sum(left[:2]) <= sum(taken)
        assert sorted(taken) == free[:2]


@given(st.integers(2, 4), st.integers(1, 3), st.floats(0.5, 0.95), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_conditions_with_different_questions_still_give_full_sets_and_nearly_even_counts(
    conditions: int, k: int, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    present = random.random((conditions, 40)) < share
    counts: Counter[int] = Counter()
    for participant in range(30):
        candidates = [c for c in grid(conditions, 40, counts) if present[c.condition_id, c.question_id]]
        chosen = allocate(candidates, k, [seed, participant])
        assert Counter(s // 1000 for s in chosen) == dict.fromkeys(range(conditions), k)
        assert len({s % 1000 for s in chosen}) == conditions * k
        counts.update(chosen)
    for c in range(conditions):
        each = [counts[c * 1000 + q] for q in range(40) if present[c, q]]
        assert max(each) - min(each) <= 2


def test_the_order_is_random_so_that_no_condition_comes_first() -> None:
    first = Counter(allocate(grid(4, 24), 3, [0, participant])[0] // 1000 for participant in range(400))
    assert all(60 <= first[c] <= 140 for c in range(4))  # 100 expected, standard deviation 8.7


def test_ties_are_broken_by_chance_and_the_seed_makes_them_reproducible() -> None:
    sets = {frozenset(allocate(grid(4, 60), 3, [0, participant])) for participant in range(20)}
    assert len(sets) == 20
    assert allocate(grid(4, 60), 3, [5, 9]) == allocate(grid(4, 60), 3, [5, 9])


def test_too_few_stimuli_are_said_clearly_before_launch() -> None:
    check_supply(grid(4, 12), 4, 3)
    with pytest.raises(TooFewStimuliError, match="12 questions are needed; there are 11"):
        check_supply(grid(4, 11), 4, 3)
    with pytest.raises(TooFewStimuliError, match="1 of 3 conditions have no explanation"):
        check_supply(grid(2, 12), 3, 3)
    with pytest.raises(TooFewStimuliError, match="one condition has only 2"):
        check_supply([*grid(2, 12), Candidate(2000, 2, 0), Candidate(2001, 2, 1)], 3, 3)
    with pytest.raises(TooFewStimuliError, match="no explanation that fits"):
        check_supply([], 2, 1)


def test_too_few_common_questions_are_found_even_when_every_number_is_large_enough() -> None:
    # Conditions 0 and 1 share the same 3 questions: 2 of each would need 4.
    candidates = [Candidate(c * 1000 + q, c, q) for c in range(2) for q in range(3)]
    candidates += [Candidate(2000 + q, 2, q) for q in range(3, 20)]
    with pytest.raises(TooFewStimuliError, match="without showing a question twice"):
        check_supply(candidates, 3, 2)
