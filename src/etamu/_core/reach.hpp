// Which columns left out of a model could reach a threshold, alpha times their l1, by what is remembered of them: see solvers/seen.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"
#include "team.hpp"

namespace etamu {

// What v has along each of some vectors u: v = c u + r.  Entry k + 1 is of the k-th of them; the first is of none.
struct Along {
    std::vector<double> c, r;  // |c| and the length of r

    Along(const Kernels& kernels, const double* v, const double* vectors, const double* squares, int64_t count, int64_t rows, int threads)
        : c(size_t(count + 1), 0.0), r(size_t(count + 1), 0.0) {
        const double own = kernels.dot(v, v, rows);
        shared_out(count, 8, count * rows > 20000 ? threads : 1, [&](int64_t first, int64_t last) {
            for (int64_t k = first; k < last; ++k) {
                const double product = kernels.dot(vectors + k * rows, v, rows), by = product / std::max(squares[k], 1e-300);
                c[size_t(k + 1)] = std::abs(by);
                r[size_t(k + 1)] = std::sqrt(std::max(own - by * product, 0.0)) + 1e-7 * std::sqrt(own);
            }
        });
    }
};

// Fills `found`, which has room for one more than there are columns, with those that a test finds; how many.
template <class Test> int64_t sought(int64_t columns, int threads, int32_t* found, Test test) {
    constexpr int64_t STRETCH = 2048;
    const int64_t stretches = (columns + STRETCH - 1) / STRETCH;
    std::vector<int64_t> many(size_t(stretches), 0);
    std::vector<int32_t> near(size_t(stretches * (STRETCH + 1)));
    shared_out(stretches, 1, stretches > 2 ? threads : 1, [&](int64_t s, int64_t) {
        int32_t* to = near.data() + s * (STRETCH + 1);
        int64_t n = 0;
        for (int64_t j = s * STRETCH, end = std::min(columns, j + STRETCH); j < end; ++j) to[n] = int32_t(j), n += test(j);
        many[size_t(s)] = n;
    });
    int64_t n = 0;
    for (int64_t s = 0; s < stretches; ++s) {
        std::copy_n(near.data() + s * (STRETCH + 1), many[size_t(s)], found + n);
        n += many[size_t(s)];
    }
    return n;
}

// Columns that are out whose product with v could be more than alpha times their l1: with the vector u at which one was last scanned, it is at
// most |c| known + |r| |x|, and what is not known, which is infinity, can be anything.
inline int64_t suspects(const Along& v, const double* known, const int32_t* of, const double* lengths, const bool* out, const double* l1, double alpha, int64_t columns,
                        int threads, int32_t* found) {
    std::vector<double> c = v.c;
    c[0] = 1;
    return sought(columns, threads, found, [&](int64_t j) {
        const size_t by = size_t(of[j] + 1);
        return out[j] & !(c[by] * known[j] + v.r[by] * lengths[j] <= alpha * l1[j]);
    });
}

// Columns that are out and have more than `share` times their l1 of v, as far as that lies along what they were last scanned with.
inline int64_t promising(const Along& v, const double* known, const int32_t* of, const bool* out, const double* l1, double share, int64_t columns, int threads, int32_t* found) {
    return sought(columns, threads, found, [&](int64_t j) { return out[j] & (of[j] >= 0) & (v.c[size_t(of[j] + 1)] * known[j] > share * l1[j]); });
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

// How many pairs of columns are so alike that the cosine of their angle is more than `share`, of those from `first` on with all, a column with itself
// being one; and how many of those columns are none but zeros
template <class T> std::pair<int64_t, int64_t> alike(const T* gram, int64_t ld, int64_t first, int64_t size, const double* lengths, double share) {
    int64_t pairs = 0, empty = 0;
    for (int64_t i = first; i < size; ++i) {
        const T *row = gram + i * ld;
        const double most = share * lengths[i];
        empty += lengths[i] == 0;
        for (int64_t j = 0; j < size; ++j) pairs += std::abs(double(row[j])) > most * lengths[j];
    }
    return {pairs, empty};
}

}  // namespace etamu
