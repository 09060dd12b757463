"""The block elimination against plain dense matrices."""

from __future__ import annotations

import numpy as np
import pytest

from app.statistics.mixed_blocks import Codes, CrossedBlocks


def _codes(values: object) -> Codes:
    return np.unique(np.asarray(values), return_inverse=True)[1].astype(np.intp)


def _structures() -> dict[str, list[Codes]]:
    rng = np.random.default_rng(1)
    people, items, conditions = (_codes(rng.integers(0, k, 250)) for k in (15, 30, 3))
    return {
        "one factor": [people],
        "items outnumber participants": [people, items],
        "participants outnumber items": [items, people],
        "cells nested in participants": [people, items, _codes(people * 3 + conditions)],
        "explanations nested in items": [people, items, _codes(items * 3 + conditions)],
        "both nested": [people, items, _codes(items * 3 + conditions), _codes(people * 3 + conditions)],
        "three crossed": [people, items, _codes(rng.integers(0, 8, 250))],
    }


STRUCTURES = _structures()


@pytest.mark.parametrize("name", STRUCTURES)
def test_determinant_solution_and_leverages_equal_those_of_the_dense_matrix(name: str) -> None:
    codes = STRUCTURES[name]
    rng = np.random.default_rng(2)
    blocks = CrossedBlocks(codes, [int(c.max()) + 1 for c in codes])
    weights, sds = rng.uniform(0.1, 2.0, len(codes[0])), rng.uniform(0.3, 2.0, len(codes))
    z = np.zeros((len(weights), blocks.size))
    for columns in blocks.columns:
        z[np.arange(len(weights)), columns] += 1.0
    scaled = z * blocks.spread(sds)
    dense = np.eye(blocks.size) + scaled.T @ (weights[:, None] * scaled)
    inverse = np.linalg.inv(dense)
    factor = blocks.factor(weights, sds)
    leverages, diagonal = factor.inverse_entries()
    vectors = rng.normal(size=(blocks.size, 3))
    assert factor.logdet == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-9)
    np.testing.assert_allclose(factor.solve(vectors), inverse @ vectors, atol=1e-11)
    np.testing.assert_allclose(factor.solve(vectors[:, 0]), inverse @ vectors[:, 0], atol=1e-11)
    np.testing.assert_allclose(leverages, np.einsum("ij,jk,ik->i", scaled, inverse, scaled), atol=1e-11)
    np.testing.assert_allclose(diagonal, np.diagonal(inverse), atol=1e-11)
    np.testing.assert_allclose(blocks.gather(vectors[:, 0]), z @ vectors[:, 0], atol=1e-12)
    np.testing.assert_allclose(blocks.scatter(weights), z.T @ weights, atol=1e-12)


def test_cells_are_eliminated_with_their_participants_so_that_only_items_stay_dense() -> None:
    codes = STRUCTURES["cells nested in participants"]
    blocks = CrossedBlocks(codes, [int(c.max()) + 1 for c in codes])
    assert blocks.tail == int(codes[1].max()) + 1


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_inverse_is_the_same_made_whole_and_group_by_group(name: str) -> None:
    codes = STRUCTURES[name]
    blocks = CrossedBlocks(codes, [int(c.max()) + 1 for c in codes])
    factor = blocks.factor(np.ones(len(codes[0])), np.linspace(1.0, 0.5, len(codes)))
    for ours, theirs in zip(factor.inverse_entries(small=0), factor.inverse_entries(small=10**9), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)
