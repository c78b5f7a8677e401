// Columns that are not stored: the cells of a factor (or of a product of factors) and the entries of a sparse row.
//
// A row adds to one cell of each group, so that eta is a look-up, the score a scatter, and the information a cross-tabulation
// of two groups' cells and a scatter of the weighted row of the other columns.  No indicator is ever formed.
#pragma once
#include "pack.hpp"

namespace {

// The cells and multipliers of one block's rows
struct Cells {
    const Group* group;
    int32_t cell[MAX_BLOCK];
    double times[MAX_BLOCK];
};

template <class T> inline void widen(const char* data, int64_t first, int count, int32_t* out) {
    const T* p = reinterpret_cast<const T*>(data) + first;
    for (int k = 0; k < count; ++k) out[k] = int32_t(p[k]);
}

inline void read_cells(const Group& group, int64_t first, int count, int rows, Cells& c) {
    c.group = &group;
    switch (group.type) {
        case U8: widen<uint8_t>(group.data, first, count, c.cell); break;
        case U16: widen<uint16_t>(group.data, first, count, c.cell); break;
        default: widen<int32_t>(group.data, first, count, c.cell);
    }
    std::fill(c.cell + count, c.cell + rows, 0);
    if (group.times.type != ONE) {
        gather_column(group.times, first, count, c.times);
        std::fill(c.times + count, c.times + rows, 0.0);
    }
}

inline void add_cells(const Cells& c, const double* beta, int rows, double* eta) {
    if (c.group->times.type == ONE) for (int k = 0; k < rows; ++k) eta[k] += beta[c.cell[k]];
    else for (int k = 0; k < rows; ++k) eta[k] += c.times[k] * beta[c.cell[k]];
}

// out[cell] += r, times the multiplier; `power` 2 for the diagonal of the information
inline void scatter(const Cells& c, const double* r, int power, int rows, double* out, int64_t stride) {
    if (c.group->times.type == ONE) for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += r[k];
    else if (power == 1) for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += c.times[k] * r[k];
    else for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += c.times[k] * c.times[k] * r[k];
}

// out[cell, :] += a row of S registers of weighted columns
template <int S> inline void scatter_rows(const Cells& c, const double* a, int rows, double* out, int64_t ld) {
    const bool plain = c.group->times.type == ONE;
    for (int k = 0; k < rows; ++k) {
        double* to = out + c.cell[k] * ld;
        V t = all(plain ? 1.0 : c.times[k]);
        for (int s = 0; s < S; ++s) add_to(to + s * L, load(a + int64_t(k) * W + s * L) * t);
    }
}

inline void scatter_rows(int registers, const Cells& c, const double* a, int rows, double* out, int64_t ld) {
    switch (registers) {
        case 3: return scatter_rows<3>(c, a, rows, out, ld);
        case 2: return scatter_rows<2>(c, a, rows, out, ld);
        case 1: return scatter_rows<1>(c, a, rows, out, ld);
    }
}

// out[cell of a, cell of b] += w
inline void tabulate(const Cells& a, const Cells& b, const double* w, int rows, double* out) {
    const int64_t ld = b.group->cells;
    if (a.group->times.type == ONE && b.group->times.type == ONE) {
        for (int k = 0; k < rows; ++k) out[a.cell[k] * ld + b.cell[k]] += w[k];
        return;
    }
    for (int k = 0; k < rows; ++k) {
        double t = (a.group->times.type == ONE ? 1.0 : a.times[k]) * (b.group->times.type == ONE ? 1.0 : b.times[k]);
        out[a.cell[k] * ld + b.cell[k]] += w[k] * t;
    }
}

// ---- sparse rows -------------------------------------------------------------------------------------------------

inline void add_sparse(const SparseRows& x, int64_t first, int count, const double* beta, double* eta) {
    for (int k = 0; k < count; ++k)
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e) eta[k] += x.value[e] * beta[x.index[e]];
}

inline void scatter_sparse(const SparseRows& x, int64_t first, int count, const double* r, double* out, int64_t stride) {
    for (int k = 0; k < count; ++k)
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e) out[x.index[e] * stride] += x.value[e] * r[k];
}

// both triangles of out[i, j] += w x_i x_j
inline void square_sparse(const SparseRows& x, int64_t first, int count, const double* w, double* out) {
    for (int k = 0; k < count; ++k)
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e) {
            double v = w[k] * x.value[e];
            double* row = out + x.index[e] * x.columns;
            for (int64_t f = x.start[first + k]; f < x.start[first + k + 1]; ++f) row[x.index[f]] += v * x.value[f];
        }
}

inline void sparse_by_rows(int registers, const SparseRows& x, int64_t first, int count, const double* a, double* out, int64_t ld) {
    for (int k = 0; k < count; ++k)
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e)
            for (int s = 0; s < registers; ++s) add_to(out + x.index[e] * ld + s * L, load(a + int64_t(k) * W + s * L) * x.value[e]);
}

// out[cell, column] += w x
inline void tabulate_sparse(const Cells& c, const SparseRows& x, int64_t first, int count, const double* w, double* out) {
    for (int k = 0; k < count; ++k) {
        double* row = out + c.cell[k] * x.columns;
        double v = w[k] * (c.group->times.type == ONE ? 1.0 : c.times[k]);
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e) row[x.index[e]] += v * x.value[e];
    }
}

}  // namespace
