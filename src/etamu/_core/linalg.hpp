// Cholesky, triangular solves and the inverse of an information matrix, on one thread.
//
// These stand here because a fit alternates them with passes: a threaded BLAS leaves its workers spinning into the next
// pass, and for a handful of columns a library call costs more than the arithmetic.
#pragma once
#include <algorithm>
#include <cmath>
#include "vec.hpp"

namespace {

// Four rows of the trailing triangle, from column `from` on, less the products of `depth` finished rows: in register tiles of 4 x 3 L,
// whose lanes left of a row's diagonal hold nothing of use.
inline void subtract_products(double* r, int p, int k0, int depth, int j, int rows) {
    const double* done = r + int64_t(k0) * p;
    int k = j;
    for (; k + 3 * L <= p && rows == 4; k += 3 * L) {
        V acc[4][3];
        for (int i = 0; i < 4; ++i) for (int s = 0; s < 3; ++s) acc[i][s] = load(r + int64_t(j + i) * p + k + s * L);
        const double* row = done;
        for (int m = 0; m < depth; ++m, row += p) {
            const V u[3] = {load(row + k), load(row + k + L), load(row + k + 2 * L)};
            for (int i = 0; i < 4; ++i) {
                const V f = all(row[j + i]);
                for (int s = 0; s < 3; ++s) acc[i][s] -= f * u[s];
            }
        }
        for (int i = 0; i < 4; ++i) for (int s = 0; s < 3; ++s) store(r + int64_t(j + i) * p + k + s * L, acc[i][s]);
    }
    for (int i = 0; i < rows; ++i) {
        double* row = r + int64_t(j + i) * p;
        const int start = k > j + i ? k : j + i;
        for (int m = 0; m < depth; ++m) {
            const double* above = done + int64_t(m) * p;
            const double f = above[j + i];
            for (int c = start; c < p; ++c) row[c] -= f * above[c];
        }
    }
}

// r (p x p, row-major): the upper triangle of a unit-diagonal matrix in, its R with R'R = A out; what lies below the diagonal is
// not read, and is zero afterwards.  Returns the smallest squared pivot, or -1
// where a pivot is not positive.
inline double cholesky(double* r, int p) {
    double smallest = INF;
    const int depth = p < 64 ? 4 : 32;
    for (int k0 = 0; k0 < p; k0 += depth) {
        const int k1 = std::min(p, k0 + depth);
        for (int k = k0; k < k1; ++k) {  // finish the rows of the block
            double* row = r + int64_t(k) * p;
            for (int m = k0; m < k; ++m) {
                const double* above = r + int64_t(m) * p;
                double f = above[k];
                for (int j = k; j < p; ++j) row[j] -= f * above[j];
            }
            double pivot = row[k];
            if (!(pivot > 0)) return -1;
            smallest = std::min(smallest, pivot);
            double root = std::sqrt(pivot), inverse = 1 / root;
            row[k] = root;
            for (int j = k + 1; j < p; ++j) row[j] *= inverse;
        }
        for (int j = k1; j < p; j += 4) subtract_products(r, p, k0, k1 - k0, j, std::min(4, p - j));
    }
    for (int k = 1; k < p; ++k) std::fill(r + int64_t(k) * p, r + int64_t(k) * p + k, 0.0);
    return smallest;
}

// x := R^-T x
inline void solve_transposed(const double* r, int p, double* x) {
    for (int k = 0; k < p; ++k) {
        const double* row = r + int64_t(k) * p;
        double v = x[k] / row[k];
        x[k] = v;
        for (int j = k + 1; j < p; ++j) x[j] -= v * row[j];
    }
}

// x := R^-1 x
inline void solve_upper(const double* r, int p, double* x) {
    for (int k = p - 1; k >= 0; --k) {
        const double* row = r + int64_t(k) * p;
        double s = 0;
        for (int j = k + 1; j < p; ++j) s += row[j] * x[j];
        x[k] = (x[k] - s) / row[k];
    }
}

// out := scale (R'R)^-1 scale, by X = R^-1 and X X'
inline void inverse(const double* r, const double* scale, int p, double* work, double* out) {
    std::fill(work, work + int64_t(p) * p, 0.0);
    for (int i = p - 1; i >= 0; --i) {  // row i of R^-1 from the rows below it
        double* x = work + int64_t(i) * p;
        const double* row = r + int64_t(i) * p;
        double d = 1 / row[i];
        for (int k = i + 1; k < p; ++k) {
            double f = row[k] * d;
            const double* below = work + int64_t(k) * p;
            for (int j = k; j < p; ++j) x[j] -= f * below[j];
        }
        x[i] = d;
    }
    for (int i = 0; i < p; ++i)
        for (int j = i; j < p; ++j) {
            const double *a = work + int64_t(i) * p, *b = work + int64_t(j) * p;
            V sum_v{};
            int k = j;
            for (; k + L <= p; k += L) sum_v += load(a + k) * load(b + k);
            double s = sum(sum_v);
            for (; k < p; ++k) s += a[k] * b[k];
            out[int64_t(i) * p + j] = out[int64_t(j) * p + i] = s * scale[i] * scale[j];
        }
}

// Scale `information` (p rows of `ld`, upper triangle) to a unit diagonal into `triangle` and factor it there.
inline double factor(const double* information, int64_t ld, int p, double* scale, double* triangle) {
    for (int i = 0; i < p; ++i) {
        double d = information[i * ld + i];
        if (!(d > 0) || !(d < INF)) return -1;
        scale[i] = 1 / std::sqrt(d);
    }
    for (int i = 0; i < p; ++i) {
        double* row = triangle + int64_t(i) * p;
        double s = 0;
        for (int j = 0; j < i; ++j) row[j] = 0;
        for (int j = i; j < p; ++j) { row[j] = information[i * ld + j] * scale[i] * scale[j]; s += row[j]; }
        if (!std::isfinite(s)) return -1;
    }
    return cholesky(triangle, p);
}

}  // namespace
