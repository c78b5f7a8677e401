// What an information matrix with a large diagonal needs of its border, when that is mostly zeros: two crossed factors of
// thousands of levels meet in few of their cells.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>
#include "team.hpp"

namespace etamu {

// A matrix by its entries that are not zero, row by row.
struct Entries {
    std::vector<int64_t> start{0};
    std::vector<int32_t> column;
    std::vector<double> value;

    Entries(const double* dense, int64_t rows, int64_t columns) {
        for (int64_t i = 0; i < rows; ++i, dense += columns) {
            for (int64_t j = 0; j < columns; ++j)
                if (dense[j] != 0) column.push_back(int32_t(j)), value.push_back(dense[j]);
            start.push_back(int64_t(column.size()));
        }
    }
};

// out -= B' diag(1 / head) B for B of shape (rows, columns); each thread has rows of `out` of its own
inline void eliminate(const double* border, const double* head, int64_t rows, int64_t columns, int threads, double* out) {
    const Entries b(border, rows, columns);
    shared_out(columns, 32, threads, [&](int64_t first, int64_t last) {
        for (int64_t a = 0; a < rows; ++a) {
            const int32_t *begin = b.column.data() + b.start[size_t(a)], *end = b.column.data() + b.start[size_t(a) + 1];
            const double* value = b.value.data() + b.start[size_t(a)];
            for (const int32_t* i = std::lower_bound(begin, end, int32_t(first)); i < end && *i < last; ++i) {
                const double f = value[i - begin] / head[a];
                double* row = out + int64_t(*i) * columns;
                for (const int32_t* j = i; j < end; ++j) row[*j] -= f * value[j - begin];
            }
        }
    });
    for (int64_t i = 0; i < columns; ++i)
        for (int64_t j = i + 1; j < columns; ++j) out[j * columns + i] = out[i * columns + j];
}

// out[a] = b_a' S b_a for the rows b_a of B and a symmetric S
inline void quadratic_forms(const double* border, const double* symmetric, int64_t rows, int64_t columns, int threads, double* out) {
    const Entries b(border, rows, columns);
    shared_out(rows, 64, threads, [&](int64_t first, int64_t last) {
        for (int64_t a = first; a < last; ++a) {
            double total = 0;
            for (int64_t i = b.start[size_t(a)]; i < b.start[size_t(a) + 1]; ++i) {
                const double* row = symmetric + int64_t(b.column[size_t(i)]) * columns;
                double inner = 0;
                for (int64_t j = i + 1; j < b.start[size_t(a) + 1]; ++j) inner += row[b.column[size_t(j)]] * b.value[size_t(j)];
                total += b.value[size_t(i)] * (2 * inner + row[b.column[size_t(i)]] * b.value[size_t(i)]);
            }
            out[a] = total;
        }
    });
}

}  // namespace etamu
