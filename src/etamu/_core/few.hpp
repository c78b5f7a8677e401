// Designs of factors and few columns: the columns stay columns, and what a row adds to its cells is made a register of rows at a time.
//
// Panels and tiles are for many columns: of three, they multiply eight lanes of which five are zero, and every row is turned into
// a register before it is weighed.  Here weights meet columns in whole registers of rows, the products of two columns are summed
// lane by lane until the end of the pass, and one turn of (weight, weighted columns, score) gives what each row adds to a table.
#pragma once
#include "codes.hpp"

namespace {

// The sums of a pass over few columns, one register of partial sums for each until the end
class Few {
  public:
    static constexpr int MOST = 3 * L - 2;  // columns: with weight and score three registers
    static size_t size(int columns) { return size_t(columns + 1) * (columns + 2) / 2 * L + size_t(columns + 1) * L; }

    Few(int columns, double* memory) : columns(columns), scores(memory), products(memory + size_t(columns + 1) * L) {}

    // X' r and the sum of r; column j of x from x + j * rows on
    void add_score(const double* x, const double* r, int rows) const {
        for (int j = 0; j <= columns; ++j) {
            V sums[2] = {};
            for (int k = 0; k < rows; k += 2 * L)
                for (int u = 0; u < 2; ++u) {
                    const V v = load(r + k + u * L);
                    sums[u] += j < columns ? v * load(x + int64_t(j) * rows + k + u * L) : v;
                }
            add_to(scores + j * L, sums[0] + sums[1]);
        }
    }

    // X' diag(w) X, X' w and the sum of w; `weighted` becomes diag(w) X
    void add_information(const double* x, const double* w, int rows, double* weighted) const {
        double* to = products;
        for (int i = 0; i <= columns; ++i) {  // w itself last
            const double* a = w;
            if (i < columns) {
                double* own = weighted + int64_t(i) * rows;
                for (int k = 0; k < rows; k += L) store(own + k, load(x + int64_t(i) * rows + k) * load(w + k));
                a = own;
            }
            int j = i == columns ? 0 : i;
            for (; j + 3 < columns; j += 4, to += 4 * L) add_products<4>(a, x + int64_t(j) * rows, rows, to);
            for (; j < columns; ++j, to += L) add_products<1>(a, x + int64_t(j) * rows, rows, to);
        }
        V total{};
        for (int k = 0; k < rows; k += L) total += load(w + k);
        add_to(to, total);
    }

    void score(int constant, double* out) const {
        if (constant) out[0] += sum(load(scores + columns * L));
        for (int j = 0; j < columns; ++j) out[constant + j] += sum(load(scores + j * L));
    }

    // into the upper triangle of `out`, rows of `ld`
    void information(int constant, int64_t ld, double* out) const {
        const double* from = products;
        for (int i = 0; i < columns; ++i)
            for (int j = i; j < columns; ++j, from += L) out[(constant + i) * ld + constant + j] += sum(load(from));
        if (!constant) return;
        for (int j = 0; j < columns; ++j, from += L) out[1 + j] += sum(load(from));
        out[0] += sum(load(from));
    }

  private:
    template <int N> static void add_products(const double* a, const double* x, int rows, double* out) {
        V acc[N] = {};
        for (int k = 0; k < rows; k += L) {
            const V v = load(a + k);
            for (int j = 0; j < N; ++j) acc[j] += v * load(x + int64_t(j) * rows + k);
        }
        for (int j = 0; j < N; ++j) add_to(out + j * L, acc[j]);
    }

    int columns;
    double *scores, *products;  // of the columns and of 1; of the pairs of columns row by row, of w with each, of w
};

// Each row's (weight, weighted columns, score), S registers, added to its cell of every group
template <int S> void add_lines(const std::vector<Cells>& cells, const Problem& problem, const double* const* column, int rows, double* tables) {
    const size_t groups = problem.groups.size();
    for (int k = 0; k < rows; k += L) {
        V line[S][L];
        for (int s = 0; s < S; ++s) {
            for (int u = 0; u < L; ++u) line[s][u] = column[s * L + u] ? load(column[s * L + u] + k) : V{};
            transpose(line[s]);
        }
        for (size_t i = 0; i < groups; ++i) {
            const Cells& c = cells[i];
            double* table = tables + problem.tables.cross[i];
            if (c.group->times.type == ONE) {
                for (int u = 0; u < L; ++u) for (int s = 0; s < S; ++s) add_to(table + (int64_t(c.cell[k + u]) * S + s) * L, line[s][u]);
            } else {
                for (int u = 0; u < L; ++u) for (int s = 0; s < S; ++s) add_to(table + (int64_t(c.cell[k + u]) * S + s) * L, line[s][u] * c.times[k + u]);
            }
        }
    }
}

inline void add_lines(const std::vector<Cells>& cells, const Problem& problem, const double* w, const double* weighted, const double* r, int columns, int rows, double* tables) {
    const double* column[3 * L] = {w};
    for (int j = 0; j < columns; ++j) column[1 + j] = weighted + int64_t(j) * rows;
    column[1 + columns] = r;
    switch (problem.tables.ld / L) {
        case 1: return add_lines<1>(cells, problem, column, rows, tables);
        case 2: return add_lines<2>(cells, problem, column, rows, tables);
        case 3: return add_lines<3>(cells, problem, column, rows, tables);
    }
}

}  // namespace
