// Which columns left out of a model could reach a threshold, by what is remembered of them: see solvers/seen.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"

namespace etamu {

// With v = c u + r for the vector u at which a column was last scanned, |x'v| <= |c| known + |r| |x|.  Fills `found`; how many.
inline int64_t suspects(const Kernels& kernels, const double* v, const double* vectors, const double* squares, int64_t count, int64_t rows, const double* known,
                        const int32_t* of, const double* lengths, const bool* out, const double* threshold, int64_t columns, int32_t* found) {
    const double own = kernels.dot(v, v, rows);
    std::vector<double> c, r;
    for (int64_t k = 0; k < count; ++k) {
        const double product = kernels.dot(vectors + k * rows, v, rows), by = product / std::max(squares[k], 1e-300);
        c.push_back(std::abs(by));
        r.push_back(std::sqrt(std::max(own - by * product, 0.0)) + 1e-7 * std::sqrt(own));
    }
    int64_t n = 0;
    for (int64_t j = 0; j < columns; ++j)  // what is not known can reach anything
        if (out[j] && (of[j] < 0 || !(c[size_t(of[j])] * known[j] + r[size_t(of[j])] * lengths[j] <= threshold[j]))) found[n++] = int32_t(j);
    return n;
}

}  // namespace etamu
