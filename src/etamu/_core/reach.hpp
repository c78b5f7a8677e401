// Which columns left out of a model could reach a threshold, alpha times their l1, by what is remembered of them: see solvers/seen.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"

namespace etamu {

// With v = c u + r for the vector u at which a column was last scanned, |x'v| <= |c| known + |r| |x|.  Fills `found`; how many.
inline int64_t suspects(const Kernels& kernels, const double* v, const double* vectors, const double* squares, int64_t count, int64_t rows, const double* known,
                        const int32_t* of, const double* lengths, const bool* out, const double* l1, double alpha, int64_t columns, int32_t* found) {  // room for one more than there are columns
    const double own = kernels.dot(v, v, rows);
    std::vector<double> c{INFINITY}, r{0};  // what is not known can reach anything
    for (int64_t k = 0; k < count; ++k) {
        const double product = kernels.dot(vectors + k * rows, v, rows), by = product / std::max(squares[k], 1e-300);
        c.push_back(std::abs(by));
        r.push_back(std::sqrt(std::max(own - by * product, 0.0)) + 1e-7 * std::sqrt(own));
    }
    int64_t n = 0;
    for (int64_t j = 0; j < columns; ++j) {
        const size_t by = size_t(of[j] + 1);
        found[n] = int32_t(j);
        n += out[j] & !(c[by] * known[j] + r[by] * lengths[j] <= alpha * l1[j]);
    }
    return n;
}

// The columns `index` have those products with the vector of that place, times `share`, to within `lost` times its length: that is known of them now.
// `users` counts the columns known by each vector.  Fills `found` with those that could reach the threshold; how many.
inline int64_t note(const int32_t* index, int64_t count, const double* products, double share, const double* lost, double length, int32_t place, double* known,
                    int32_t* of, int64_t* users, const double* l1, double alpha, int32_t* found) {
    int64_t n = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int32_t j = index[i];
        known[j] = std::abs(products[i]) * share + lost[j] * length;
        if (of[j] >= 0) --users[of[j]];
        of[j] = place;
        ++users[place];
        found[n] = j;
        n += known[j] > alpha * l1[j];
    }
    return n;
}

// Of the columns that are out, those known to have more than `share` times their l1.  Fills `found`; how many.
inline int64_t promising(const double* known, const bool* out, const double* l1, double share, int64_t columns, int32_t* found) {  // room as above
    int64_t n = 0;
    for (int64_t j = 0; j < columns; ++j) {
        found[n] = int32_t(j);
        n += out[j] & (known[j] > share * l1[j]) & (known[j] < INFINITY);
    }
    return n;
}

}  // namespace etamu
