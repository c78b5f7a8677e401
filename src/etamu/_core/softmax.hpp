// Row terms of the multinomial family: q free predictors, and class `reference` (if any) whose predictor is 0.
// y holds class codes 0 .. classes-1 in the user's order; equation a is class a, or a + 1 past the reference.
#pragma once
#include "rows.hpp"

namespace {

ETAMU_INLINE double class_of(int equation, int reference) {
    return reference >= 0 && equation >= reference ? equation + 1 : equation;
}

// eta [q][rows] becomes mu; the deviance is -2 w log mu_y
inline void softmax_terms(double* eta, int q, int reference, int rows, RowBlock& t, Totals& totals) {
    V deviance{}, pearson{};
    for (int k = 0; k < rows; k += L) {
        V top = reference >= 0 ? V{} : all(-INF), y = load(t.y + k), w = load(t.w + k), chosen{};
        for (int a = 0; a < q; ++a) {
            V e = load(eta + a * rows + k);
            top = e > top ? e : top;
            chosen = y == class_of(a, reference) ? e : chosen;
        }
        V total = reference >= 0 ? exp(-top) : V{};
        for (int a = 0; a < q; ++a) {
            V e = exp(load(eta + a * rows + k) - top);
            total += e;
            store(eta + a * rows + k, e);
        }
        V scale = 1.0 / total, squares{};
        for (int a = 0; a < q; ++a) store(eta + a * rows + k, load(eta + a * rows + k) * scale);
        V log_mu = chosen - top - log(total);
        squares = exp(-log_mu) - 1.0;  // sum over classes of (y - mu)^2 / mu
        deviance += w != 0.0 ? -2.0 * w * log_mu : V{};
        pearson += w != 0.0 ? w * squares : V{};
    }
    totals.deviance += deviance;
    totals.pearson += pearson;
}

// w (y - mu) of every equation, behind its mu [q][rows]
inline const double* softmax_residuals(double* mu, int q, int reference, int rows, RowBlock& t) {
    double* out = mu + int64_t(q) * rows;
    for (int k = 0; k < rows; k += L) {
        V y = load(t.y + k), w = load(t.w + k);
        for (int a = 0; a < q; ++a) {
            V m = load(mu + a * rows + k);
            store(out + a * rows + k, w * (y == class_of(a, reference) ? 1.0 - m : -m));
        }
    }
    return out;
}

inline void softmax_weight(const double* mu, int a, int b, int rows, RowBlock& t) {
    for (int k = 0; k < rows; k += L) {
        V m = load(mu + a * rows + k);
        V other = a == b ? 1.0 - m : -load(mu + b * rows + k);
        store(t.weight + k, load(t.w + k) * m * other);
    }
}

}  // namespace
