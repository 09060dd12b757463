"""The number of processors of a machine changes no digit of a result."""

from __future__ import annotations

from threadpoolctl import threadpool_limits

from app.statistics.analysis import Options, run_step
from app.statistics.data import Columns, from_frame
from tests.statistics.tables import simulated


def test_numbers_do_not_depend_on_the_number_of_blas_threads() -> None:
    frame = simulated(3, participants=117, trials=10)
    frame["town"] = [f"town {who % 40}" for who in frame["who"]]  # so many columns that two threads share the products
    columns = Columns(
        "who", "item", "method", ("Clear", "Useful", "Sound"), covariates=("length",), background=("age", "town")
    )
    data = from_frame(frame, columns, scale=(1, 5))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            found.append(run_step("ols", data, Options()))
    assert found[0] == found[1]
