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

// what every group adds to eta; groups without multipliers are looked up three at a time
inline void add_cells(const std::vector<Cells>& cells, size_t groups, const double* beta, int rows, double* eta) {
    size_t i = 0;
    auto plain = [&](size_t j) { return j < groups && cells[j].group->times.type == ONE; };
    while (i < groups) {
        if (plain(i) && plain(i + 1) && plain(i + 2)) {
            const Cells &a = cells[i], &b = cells[i + 1], &c = cells[i + 2];
            const double *one = beta, *two = one + a.group->cells, *three = two + b.group->cells;
            for (int k = 0; k < rows; ++k) eta[k] += one[a.cell[k]] + two[b.cell[k]] + three[c.cell[k]];
            beta = three + c.group->cells;
            i += 3;
        } else {
            add_cells(cells[i], beta, rows, eta);
            beta += cells[i++].group->cells;
        }
    }
}

// out[cell] += r, times the multiplier; `power` 2 for the diagonal of the information
inline void scatter(const Cells& c, const double* r, int power, int rows, double* out, int64_t stride) {
    if (c.group->times.type == ONE) for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += r[k];
    else if (power == 1) for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += c.times[k] * r[k];
    else for (int k = 0; k < rows; ++k) out[c.cell[k] * stride] += c.times[k] * c.times[k] * r[k];
}

// out[cell, :] += the weighted row, S registers of it
template <int S> inline void scatter_rows(const Cells& c, const double* row, int rows, double* out) {
    const bool plain = c.group->times.type == ONE;
    for (int k = 0; k < rows; ++k, row += S * L) {
        double* to = out + int64_t(c.cell[k]) * S * L;
        if (plain) for (int s = 0; s < S; ++s) add_to(to + s * L, load(row + s * L));
        else for (int s = 0; s < S; ++s) add_to(to + s * L, load(row + s * L) * c.times[k]);
    }
}

inline void scatter_rows(const Cells& c, const double* row, int rows, double* out, int64_t ld) {
    switch (ld / L) {
        case 1: return scatter_rows<1>(c, row, rows, out);
        case 2: return scatter_rows<2>(c, row, rows, out);
        case 3: return scatter_rows<3>(c, row, rows, out);
        case 4: return scatter_rows<4>(c, row, rows, out);
    }
    for (int k = 0; k < rows; ++k, row += ld) {
        double* to = out + c.cell[k] * ld;
        const double t = c.group->times.type == ONE ? 1.0 : c.times[k];
        for (int64_t s = 0; s < ld; s += L) add_to(to + s, load(row + s) * t);
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

// The scores of all groups' cells, one after another
inline void scatter_all(const std::vector<Cells>& cells, const Problem& problem, const double* r, int rows, double* out) {
    for (size_t i = 0; i < problem.groups.size(); out += problem.groups[i++].cells) scatter(cells[i], r, 1, rows, out, 1);
}

// The weights of the groups with themselves, where they have multipliers, and with each other
inline void tabulate_all(const std::vector<Cells>& cells, const Problem& problem, const double* w, int rows, double* tables) {
    const Tables& where = problem.tables;
    const size_t groups = problem.groups.size();
    for (size_t i = 0; i < groups; ++i) {
        if (where.self[i] >= 0) scatter(cells[i], w, 2, rows, tables + where.self[i], 1);
        for (size_t j = i + 1; j < groups; ++j) tabulate(cells[i], cells[j], w, rows, tables + where.pair[i][j]);
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

// out[column, :] += value times the weighted row
inline void scatter_sparse_rows(const SparseRows& x, int64_t first, int count, const double* row, double* out, int64_t ld) {
    for (int k = 0; k < count; ++k, row += ld)
        for (int64_t e = x.start[first + k]; e < x.start[first + k + 1]; ++e)
            for (int64_t s = 0; s < ld; s += L) add_to(out + x.index[e] * ld + s, load(row + s) * x.value[e]);
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
