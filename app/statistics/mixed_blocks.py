"""Linear algebra of crossed random intercepts: H = I + S Z'WZ S, its Cholesky factor and the few entries of its inverse we need.

Z holds one indicator column per level of each grouping factor, S the standard deviations and W a diagonal of weights. One
factor, with every factor nested in it, gives a block-diagonal part A with small blocks; it is eliminated, and only the Schur
complement C - B'A^-1 B of the remaining levels is dense (Golub & Van Loan, Matrix Computations, 4th ed., section 3.2). The
elimination that leaves the fewest levels is chosen, so that the cost is linear in ratings for a fixed number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]

LARGEST_BLOCK = 64
"""Levels that one eliminated block may hold (a participant with its cells, an item with its explanations)."""
SMALL_STRIP = 400_000
"""Entries of the dense strip of the inverse up to which it is made whole."""


def _nested(fine: Codes, coarse: Codes) -> bool:
    """Is every level of `fine` inside one level of `coarse`?"""
    keys = np.unique(fine * (coarse.max() + 1) + coarse)
    return len(keys) == len(np.unique(fine))


def _elimination(codes: Sequence[Codes], sizes: Sequence[int]) -> tuple[list[int], int]:
    """(factors to eliminate, the top one first; block size) that leave the smallest dense part."""
    best: tuple[int, list[int], int] | None = None
    for top in range(len(codes)):
        family, width = [top], 1
        for child in sorted(range(len(codes)), key=lambda k: -sizes[k]):
            if child == top or sizes[child] < sizes[top] or child in family or not _nested(codes[child], codes[top]):
                continue
            if sizes[child] == sizes[top] and child < top:
                continue  # the same partition twice: one of them is the top
            parents = np.zeros(sizes[child], dtype=np.intp)
            parents[codes[child]] = codes[top]
            children = int(np.bincount(parents, minlength=sizes[top]).max())
            if width + children <= LARGEST_BLOCK:
                family.append(child)
                width += children
        rest = sum(sizes) - sum(sizes[k] for k in family)
        if best is None or rest < best[0]:
            best = (rest, family, width)
    assert best is not None
    return best[1], best[2]


class CrossedBlocks:
    """The structure of the random effects of n observations; made once, used for every weight and standard deviation.

    `codes[k]` (n,) numbers the levels of factor k from 0 to `sizes[k]` - 1, each used. A vector over all levels has length
    `size` in an order of its own (padding included, always 0); `columns[k]` (n,) and `level_columns[k]` (sizes[k],) say where.
    """

    def __init__(self, codes: Sequence[Codes], sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self.count = len(codes)
        n = len(codes[0])
        self.eliminated, self.width = _elimination(codes, sizes)
        self.rest = [k for k in range(self.count) if k not in self.eliminated]
        top = self.eliminated[0]
        self.groups = sizes[top]
        self.head = self.groups * self.width
        self.tail = sum(sizes[k] for k in self.rest)
        self.size = self.head + self.tail
        self.columns: list[Codes] = [np.empty(0, dtype=np.intp)] * self.count
        self.level_columns: list[Codes] = [np.empty(0, dtype=np.intp)] * self.count
        used = np.zeros(self.groups, dtype=np.intp)
        for k in self.eliminated:
            parents = np.zeros(sizes[k], dtype=np.intp)
            parents[codes[k]] = codes[top]
            order = np.argsort(parents, kind="stable")
            counts = np.bincount(parents, minlength=self.groups)
            within = np.empty(sizes[k], dtype=np.intp)
            within[order] = np.arange(sizes[k]) - np.repeat(np.cumsum(counts) - counts, counts)
            self.level_columns[k] = parents * self.width + used[parents] + within
            used += counts
            self.columns[k] = self.level_columns[k][codes[k]]
        start = self.head
        for k in self.rest:
            self.level_columns[k] = start + np.arange(sizes[k])
            self.columns[k] = start + codes[k]
            start += sizes[k]
        self._cross_structure(n)

    def _cross_structure(self, n: int) -> None:
        """Sparsity of B (head × tail): all rows of a group have entries in the group's columns, so that A^-1 B has them too."""
        width, tail = self.width, max(self.tail, 1)
        self.pairs = [(i, j) for i in self.eliminated for j in self.rest]
        group = self.columns[self.eliminated[0]] // width
        keys = [group * tail + self.columns[j] - self.head for j in self.rest]
        unique, inverse = np.unique(np.concatenate(keys) if keys else np.empty(0, dtype=np.intp), return_inverse=True)
        owners, columns = np.divmod(unique, tail)
        self.starts = np.searchsorted(owners, np.arange(self.groups + 1))
        counts = np.diff(self.starts)
        self.group_columns = columns
        self.row_pointers = np.concatenate([[0], np.cumsum(np.repeat(counts, width))])
        self.rows = np.repeat(np.arange(self.head), np.repeat(counts, width))
        within = np.arange(len(self.rows)) - self.row_pointers[self.rows]
        self.cols = columns[self.starts[self.rows // width] + within]
        # Entry of the same column in the first row of the group, and the step to its next row.
        self.first_entries = width * self.starts[self.rows // width] + within
        self.row_steps = counts[self.rows // width]
        places = (
            dict(zip(self.rest, inverse.reshape(len(self.rest), n) - self.starts[group], strict=True)) if keys else {}
        )
        self.entries = [self.row_pointers[self.columns[i]] + places[j] for i, j in self.pairs]
        # B itself has fewer: a level that did not meet the column has 0 there.
        self.filled = np.unique(np.concatenate(self.entries)) if self.entries else np.empty(0, dtype=np.intp)
        self.filled_pointers = np.searchsorted(self.rows[self.filled], np.arange(self.head + 1))

    def spread(self, values: Sequence[float] | Vector) -> Vector:
        """One value per factor (the standard deviations), laid out over the levels; (size,)."""
        out = np.zeros(self.size)
        for k, value in enumerate(values):
            out[self.level_columns[k]] = value
        return out

    def gather(self, levels: Vector) -> Vector:
        """Z v: the sum of an observation's levels; (n,)."""
        total = levels[self.columns[0]]
        for k in range(1, self.count):
            total = total + levels[self.columns[k]]
        return total

    def scatter(self, observations: Vector) -> Vector:
        """Z' v: the sum of each level's observations; (size,)."""
        total = np.bincount(self.columns[0], observations, minlength=self.size).astype(float, copy=False)
        for k in range(1, self.count):
            total += np.bincount(self.columns[k], observations, minlength=self.size)
        return total

    def factor(self, weights: Vector, sds: Vector) -> Factor:
        """Cholesky factor of H for `weights` (n,) and `sds` (one per factor). Raises LinAlgError if H isn't positive definite."""
        width, m = self.width, self.tail
        if width == 1:
            k = self.eliminated[0]
            diagonal = 1.0 + sds[k] ** 2 * np.bincount(self.columns[k], weights, minlength=self.head)
            inverse = (1.0 / diagonal)[:, None, None]
            logdet = float(np.log(diagonal).sum())
        else:
            flat = np.zeros(self.head * width)
            for i in self.eliminated:
                for j in self.eliminated:
                    index = self.columns[i] * width + self.columns[j] % width
                    flat += sds[i] * sds[j] * np.bincount(index, weights, minlength=len(flat))
            blocks = flat.reshape(self.groups, width, width) + np.eye(width)
            inverse = np.linalg.inv(blocks)
            logdet = float(np.linalg.slogdet(blocks)[1].sum())
        data = np.zeros(len(self.rows))
        for (i, j), entry in zip(self.pairs, self.entries, strict=True):
            data += sds[i] * sds[j] * np.bincount(entry, weights, minlength=len(data))
        cross = sparse.csr_array(
            (data[self.filled], self.cols[self.filled], self.filled_pointers), shape=(self.head, m)
        )
        solved = self._apply_head_to_cross(inverse, data)
        schur = np.zeros((m, m))
        if m:
            if self.width > 1 and self.head * m > SMALL_STRIP:
                self._subtract_by_group(schur, data, solved.data)
            else:
                schur -= (cross.T @ solved).toarray()
            for i in self.rest:
                at = self.level_columns[i] - self.head
                schur[at, at] += (
                    1.0
                    + sds[i] ** 2 * np.bincount(self.columns[i], weights, minlength=self.size)[self.level_columns[i]]
                )
            for i, j in combinations(self.rest, 2):
                index = (self.columns[i] - self.head) * m + self.columns[j] - self.head
                block = sds[i] * sds[j] * np.bincount(index, weights, minlength=m * m).reshape(m, m)
                schur += block + block.T
            root, info = dpotrf(schur, lower=1, overwrite_a=1)
            if info:
                raise np.linalg.LinAlgError("the random effects' Hessian is not positive definite")
            logdet += 2.0 * float(np.log(np.diagonal(root)).sum())
        else:
            root = schur
        return Factor(self, np.asarray(sds, dtype=float), inverse, cross, solved, root, logdet)

    def _subtract_by_group(self, schur: NDArray[np.float64], cross: Vector, solved: Vector) -> None:
        """schur -= B' A^-1 B, one small dense product per group: with wide blocks quicker than the sparse product."""
        for first, last in pairwise(self.starts.tolist()):
            columns = self.group_columns[first:last]
            entries = slice(first * self.width, last * self.width)
            product = cross[entries].reshape(self.width, -1).T @ solved[entries].reshape(self.width, -1)
            schur[columns[:, None], columns] -= product

    def _apply_head_to_cross(self, inverse: NDArray[np.float64], cross: Vector) -> sparse.csr_array:
        """A^-1 B from B's entries, group by group."""
        group, within = np.divmod(self.rows, self.width)
        data = np.zeros(len(self.rows))
        for t in range(self.width):
            data += inverse[group, within, t] * cross[self.first_entries + t * self.row_steps]
        return sparse.csr_array((data, self.cols, self.row_pointers), shape=(self.head, self.tail))


@dataclass(frozen=True)
class Factor:
    """H factored for one set of weights and standard deviations."""

    blocks: CrossedBlocks
    sds: Vector
    head_inverse: NDArray[np.float64]
    cross: sparse.csr_array
    solved: sparse.csr_array
    root: NDArray[np.float64]
    logdet: float

    def solve(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """H^-1 v for v (size,) or (size, r)."""
        b = self.blocks
        columns = vector.reshape(b.size, -1)
        head = self._apply_head(columns[: b.head])
        out = np.empty_like(columns)
        if b.tail:
            tail = columns[b.head :] - self.cross.T @ head
            tail, info = dpotrs(self.root, tail, lower=1)
            assert info == 0
            out[b.head :] = tail
            head = head - self.solved @ tail
        out[: b.head] = head
        return out.reshape(vector.shape)

    def _apply_head(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        b = self.blocks
        if b.width == 1:
            return self.head_inverse[:, :, 0] * columns
        return (self.head_inverse @ columns.reshape(b.groups, b.width, -1)).reshape(b.head, -1)

    def inverse_entries(self, small: int = SMALL_STRIP) -> tuple[Vector, Vector]:
        """(leverages, diagonal): z_i' S H^-1 S z_i of each observation (n,), and the diagonal of H^-1 (size,).

        Needs only those entries of H^-1 where an observation has both levels: of the strip A^-1 B (C - B'A^-1 B)^-1 the ones in
        the sparsity of B. Up to `small` entries the whole strip is made at once, beyond that group by group.
        """
        b = self.blocks
        head = self.head_inverse.copy()
        crossed = np.zeros(len(b.rows))
        tail = np.zeros((b.tail, b.tail))
        if b.tail:
            tail, info = dpotri(self.root, lower=1)
            assert info == 0
            tail = np.tril(tail) + np.tril(tail, -1).T
        if b.tail and b.head * b.tail <= small:
            shape = (b.groups, b.width, b.tail)
            strip = self.solved @ tail
            head += strip.reshape(shape) @ self.solved.toarray().reshape(shape).transpose(0, 2, 1)
            crossed = -strip[b.rows, b.cols]
        elif b.tail:
            for g, (first, last) in enumerate(pairwise(b.starts.tolist())):
                columns = b.group_columns[first:last]
                entries = slice(first * b.width, last * b.width)
                part = self.solved.data[entries].reshape(b.width, last - first)
                strip = part @ tail[columns[:, None], columns]
                head[g] += strip @ part.T
                crossed[entries] = -strip.reshape(-1)
        leverage = np.zeros(len(b.columns[0]))
        flat = head.reshape(-1)
        for i in b.eliminated:
            for j in b.eliminated:
                leverage += self.sds[i] * self.sds[j] * flat[b.columns[i] * b.width + b.columns[j] % b.width]
        for (i, j), entry in zip(b.pairs, b.entries, strict=True):
            leverage += 2.0 * self.sds[i] * self.sds[j] * crossed[entry]
        for i in b.rest:
            for j in b.rest:
                leverage += self.sds[i] * self.sds[j] * tail[b.columns[i] - b.head, b.columns[j] - b.head]
        diagonal = np.concatenate([np.einsum("gii->gi", head).reshape(-1), np.diagonal(tail)])
        return leverage, diagonal
