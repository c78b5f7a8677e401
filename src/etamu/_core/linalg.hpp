// Cholesky, triangular solves and the inverse of an information matrix, on one thread.
//
// These stand here because a fit alternates them with passes: a threaded BLAS leaves its workers spinning into the next
// pass, and for a handful of columns a library call costs more than the arithmetic.
#pragma once
#include <algorithm>
#include <cmath>
#include "vec.hpp"

namespace {

// y[0..n) -= sum of four multiples of rows
inline void subtract4(double* y, const double* a, const double* b, const double* c, const double* d, double fa, double fb, double fc, double fd, int n) {
    for (int i = 0; i < n; ++i) y[i] -= fa * a[i] + fb * b[i] + fc * c[i] + fd * d[i];
}

// r (p x p, row-major): the upper triangle of a unit-diagonal matrix in, its R with R'R = A out.  Returns the smallest
// squared pivot, or -1 where a pivot is not positive.
inline double cholesky(double* r, int p) {
    double smallest = INF;
    constexpr int BLOCK = 4;
    for (int k0 = 0; k0 < p; k0 += BLOCK) {
        int k1 = std::min(p, k0 + BLOCK);
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
        if (k1 - k0 < BLOCK) break;
        const double *a = r + int64_t(k0) * p, *b = a + p, *c = b + p, *d = c + p;
        for (int j = k1; j < p; ++j) subtract4(r + int64_t(j) * p + j, a + j, b + j, c + j, d + j, a[j], b[j], c[j], d[j], p - j);
    }
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
