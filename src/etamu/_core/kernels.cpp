// The fused pass: pack a block, form eta, run the row terms, add score and information.
// This file is compiled once per instruction set; ETAMU_KERNELS names the table it exports.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>
#include "codes.hpp"
#include "columns.hpp"
#include "coordinate.hpp"
#include "few.hpp"
#include "linalg.hpp"
#include "pack.hpp"
#include "rows.hpp"
#include "softmax.hpp"

namespace {
using namespace etamu;

// weights of all pairs of q equations, in whole registers of either kind
int weights_width(int q) { int pairs = q * (q + 1) / 2; return (pairs + 2 * L - 1) / (2 * L) * (2 * L); }

int width(int columns) { return padded_columns(columns) + L; }

int padded(int count) { return (count + 2 * L - 1) / (2 * L) * (2 * L); }

// An unstarted buffer: nothing is written that a block does not write.
template <class T> struct Buffer {
    T* data = nullptr;
    size_t size = 0;
    ~Buffer() { std::free(data); }
    T* at_least(size_t n) {
        if (n > size) {
            std::free(data);
            data = static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64));
            size = n;
            if (!data) { size = 0; throw std::bad_alloc(); }
        }
        return data;
    }
};
struct Scratch { Ahead ahead; Buffer<double> x, turn, beta, panel, row, sums, equations, products, folded; Buffer<float> xf, panelf, productsf; RowBlock rows; std::vector<Cells> cells; };
Scratch& scratch() {
    static thread_local std::unique_ptr<Scratch> s;
    if (!s) s.reset(new Scratch);
    return *s;
}

template <class Body> void each_block(const Task& task, Body body) {
    for (int64_t first = task.start; first < task.stop; first += task.step)
        body(first, int(std::min(task.block, task.stop - first)));
}

// What a pass reads of the design: one constant column needs no multiplications, the others lie in panels.
struct Layout {
    int constant;  // 1 when the first column is the constant, which then has no place in the panels
    int columns;   // in the panels
};

Layout layout_of(const Problem& problem) {
    const int constant = begins_with_constant(problem);
    return Layout{constant, int(problem.columns.size()) - constant};
}

// The rows of a block as panels.  Lanes past the last column are zero: packing leaves them alone, so that they are
// cleared once, and again for a shorter block.
class Block {
  public:
    // beta: of one equation, spread; null where eta is not wanted or there are several.  `kept`: whether the rows are asked for beside eta
    Block(const Problem& problem, const Task& task, Scratch& s, const double* beta, bool kept = true)
        : problem(problem), s(s), layout(layout_of(problem)), x(layout.columns, padded(int(task.block))), packing(problem, layout.constant, x, beta, kept) {
        x.x = s.x.at_least(x.size() + TALL);
        x.rows = 0;
        if (s.cells.size() < problem.groups.size()) s.cells.resize(problem.groups.size());
        turn = s.turn.at_least(size_t(L) * padded(int(task.block)));
    }
    // Reads rows, adds x beta to eta (if it was given a beta), and tells `ready` of every 2 L rows that have come
    template <class Ready> void read(int64_t first, int count, double* eta, Ready ready) {
        const int rows = padded(count);
        if (rows != x.rows) {
            x.rows = rows;
            if (layout.columns % L) {
                const int g = x.count() - 1;
                for (int k = 0; k < rows; ++k) std::fill(x.panel(g) + int64_t(k) * W + x.used(g), x.panel(g) + int64_t(k) * W + x.registers(g) * L, 0.0);
            }
        }
        this->first = first;
        this->count = count;
        for (size_t i = 0; i < problem.groups.size(); ++i) read_cells(problem.groups[i], first, count, rows, s.cells[i]);
        packing.read(first, count, x, turn, eta, ready);
    }
    // what groups and sparse columns add to eta
    void add_cells_to(const double* beta, double* eta) const {
        add_cells(s.cells, problem.groups.size(), beta, x.rows, eta);
        for (const Group& g : problem.groups) beta += g.cells;
        if (problem.sparse.columns) add_sparse(problem.sparse, first, count, beta, eta);
    }

    const Problem& problem;
    Scratch& s;
    Layout layout;
    Panels<double> x;
    int64_t first = 0;
    int count = 0;

  private:
    Packing packing;
    double* turn;
};

// The coefficients of every equation, those of the panels together and zero past the last column
const double* spread(Scratch& s, const Layout& layout, const double* beta, int equations, int64_t length) {
    double* out = s.beta.at_least(size_t(length) * equations);
    std::fill(out, out + length * equations, 0.0);
    for (int a = 0; a < equations; ++a)
        for (int j = 0; j < layout.columns; ++j) out[a * length + j] = beta[int64_t(j + layout.constant) * equations + a];
    return out;
}

// eta += X beta of E equations at once, for the L rows from k on: a row's registers are loaded once for all of them
template <int E> ETAMU_INLINE void add_predictors(const Panels<double>& x, const double* beta, int64_t length, int k, double* eta) {
    V sums[E][L];
    for (auto& equation : sums) for (V& v : equation) v = V{};
    for (int g = 0; g < x.count(); ++g) {
        const double *row = x.panel(g) + int64_t(k) * W, *b = beta + x.start(g);
        for (int s = 0; s < x.registers(g); ++s) {
            V v[E];
            for (int a = 0; a < E; ++a) v[a] = load(b + a * length + s * L);
            for (int r = 0; r < L; ++r) {
                V u = load(row + r * W + s * L);
                for (int a = 0; a < E; ++a) sums[a][r] += u * v[a];
            }
        }
    }
    for (int a = 0; a < E; ++a) store(eta + a * int64_t(x.rows) + k, load(eta + a * int64_t(x.rows) + k) + sum_each(sums[a]));
}

// eta += X beta of every equation for the 2 L rows from k on
ETAMU_INLINE void add_predictors(const Panels<double>& x, const double* beta, int64_t length, int q, int k, double* eta) {
    for (int half = k; half < k + 2 * L; half += L) {
        int a = 0;
        for (; a + 3 <= q; a += 3) add_predictors<3>(x, beta + a * length, length, half, eta + a * int64_t(x.rows));
        for (; a < q; ++a) add_predictors<1>(x, beta + a * length, length, half, eta + a * int64_t(x.rows));
    }
}

template <int S> void add_panel_score(const double* x, int rows, const double* r, double* sums) {
    V acc[4][S] = {};
    for (int k = 0; k < rows; k += 4)
        for (int u = 0; u < 4; ++u) {
            V v = all(r[k + u]);
            for (int s = 0; s < S; ++s) acc[u][s] += load(x + int64_t(k + u) * W + s * L) * v;
        }
    for (int s = 0; s < S; ++s) store(sums + s * L, (acc[0][s] + acc[1][s]) + (acc[2][s] + acc[3][s]));
}

// score += X' r, for the columns in the panels
void add_score(const Panels<double>& x, const double* r, double* score, Ahead& ahead) {
    double sums[W];
    for (int g = 0; g < x.count(); ++g) {
        switch (x.registers(g)) {
            case 3: add_panel_score<3>(x.panel(g), x.rows, r, sums); break;
            case 2: add_panel_score<2>(x.panel(g), x.rows, r, sums); break;
            case 1: add_panel_score<1>(x.panel(g), x.rows, r, sums); break;
        }
        for (int c = 0; c < x.used(g); ++c) score[x.start(g) + c] += sums[c];
    }
}

double total(const double* x, int rows) {
    V s{};
    for (int k = 0; k < rows; k += L) s += load(x + k);
    return sum(s);
}

// score += X' r of E equations at once, whose r lie `x.rows` apart
template <int E, int S> void add_panel_scores(const Panels<double>& x, int g, const double* r, double* score, int64_t columns) {
    const double* row = x.panel(g);
    V acc[E][S];
    for (auto& equation : acc) for (V& v : equation) v = V{};
    for (int k = 0; k < x.rows; ++k, row += W) {
        V v[S];
        for (int s = 0; s < S; ++s) v[s] = load(row + s * L);
        for (int a = 0; a < E; ++a) {
            V residual = all(r[a * int64_t(x.rows) + k]);
            for (int s = 0; s < S; ++s) acc[a][s] += v[s] * residual;
        }
    }
    double sums[W];
    for (int a = 0; a < E; ++a) {
        for (int s = 0; s < S; ++s) store(sums + s * L, acc[a][s]);
        for (int c = 0; c < x.used(g); ++c) score[a * columns + x.start(g) + c] += sums[c];
    }
}

void add_scores(const Panels<double>& x, const double* r, int q, double* score, int64_t columns, Ahead& ahead) {
    int a = 0;
    for (; a + 3 <= q; a += 3)
        for (int g = 0; g < x.count(); ++g) {
            const double* from = r + a * int64_t(x.rows);
            switch (x.registers(g)) {
                case 3: add_panel_scores<3, 3>(x, g, from, score + a * columns, columns); break;
                case 2: add_panel_scores<3, 2>(x, g, from, score + a * columns, columns); break;
                case 1: add_panel_scores<3, 1>(x, g, from, score + a * columns, columns); break;
            }
        }
    for (; a < q; ++a) add_score(x, r + a * int64_t(x.rows), score + a * columns, ahead);
}

// the block as panels of floats
Panels<float> to_float(Scratch& s, const Panels<double>& x) {
    Panels<float> f(x.columns, x.rows);
    f.x = s.xf.at_least(f.size() + TALL);
    narrowed(x, f);
    return f;
}

// `with_cells`: those of groups and sparse columns too, unless the tables of Information add them up
void add_score_rows(Block& block, const double* r, const Result& result, bool with_cells) {
    const Problem& problem = block.problem;
    if (block.layout.constant) result.score[0] += total(r, block.x.rows);
    add_score(block.x, r, result.score + block.layout.constant, block.s.ahead);
    if (!with_cells) return;
    scatter_all(block.s.cells, problem, r, block.x.rows, result.cells);
    double* to = result.cells;
    for (const Group& g : problem.groups) to += g.cells;
    if (problem.sparse.columns) scatter_sparse(problem.sparse, block.first, block.count, r, to, 1);
}

// What groups and sparse columns share with the constant, the stored columns and the score (`row`: their weighted rows) and each other
void add_tables(Block& block, const double* w, const double* row, double* tables) {
    const Problem& problem = block.problem;
    const Tables& where = problem.tables;
    const auto& cells = block.s.cells;
    const size_t groups = problem.groups.size();
    const int rows = block.x.rows;
    tabulate_all(cells, problem, w, rows, tables);
    for (size_t i = 0; i < groups; ++i) {
        scatter_rows(cells[i], row, rows, tables + where.cross[i], where.ld);
        if (problem.sparse.columns) tabulate_sparse(cells[i], problem.sparse, block.first, block.count, w, tables + where.pair[i][groups]);
    }
    if (problem.sparse.columns) {
        scatter_sparse_rows(problem.sparse, block.first, block.count, row, tables + where.cross[groups], where.ld);
        square_sparse(problem.sparse, block.first, block.count, w, tables + where.self[groups]);
    }
}

// The scores of cells and sparse columns, from the tables that have been adding them up
void take_scores(const Problem& problem, int columns, const Result& result) {
    double* to = result.cells;
    const auto take = [&](size_t i, int64_t count) {
        double* from = result.tables + problem.tables.cross[i] + 1 + columns;
        for (int64_t c = 0; c < count; ++c, ++to, from += problem.tables.ld) *to += *from, *from = 0;
    };
    for (size_t i = 0; i < problem.groups.size(); ++i) take(i, problem.groups[i].cells);
    if (problem.sparse.columns) take(problem.groups.size(), problem.sparse.columns);
}

// The information of one equation, added to block by block and complete at the end.
class Information {
  public:
    Information(const Block& block, const Task& task, const Result& result, int64_t ld) : result(result), ld(ld) {
        const Problem& problem = block.problem;
        wanted = task.order > 1 && problem.family != MULTINOMIAL;
        plain = problem.groups.empty() && !problem.sparse.columns;
        single = task.arithmetic == SINGLE && plain;
        corner = result.information + block.layout.constant * (ld + 1);
        if (!wanted) return;
        const size_t size = single ? Folded::size<float>(block.x.columns) : Folded::size<double>(block.x.columns);
        double* memory = block.s.folded.at_least(size);
        std::fill(memory, memory + size, 0.0);
        folded = single ? Folded::in<float>(memory) : Folded::in<double>(memory);
    }

    // w: the rows' information weights, r: their shares of the score
    void add(Block& block, const double* w, const double* r) {
        Scratch& s = block.s;
        const Problem& problem = block.problem;
        const Panels<double>& x = block.x;
        const int constant = block.layout.constant;
        double* sums = s.sums.at_least(x.columns + 2 * W);
        std::fill(sums, sums + x.columns + 2 * W, 0.0);
        const int tiles = x.count() * (x.columns / TALL + 1) / 2 + 1;
        auto tick = [&] { s.ahead.step(2 * tiles); };
        if (single) {
            gram<F, float>(to_float(s, x), w, s.panelf.at_least(size_t(2 * W) * x.rows), corner, ld, folded, sums, tick, false, [](int, int, const float*) {});
        } else {
            const int64_t width = problem.tables.ld;
            double* row = plain ? nullptr : s.row.at_least(size_t(width) * x.rows + W);
            if (row) for (int k = 0; k < x.rows; ++k) { std::fill(row + k * width, row + (k + 1) * width, 0.0); row[k * width] = w[k]; row[k * width + 1 + x.columns] = r[k]; }
            gram<V, double>(x, w, s.panel.at_least(size_t(W) * x.rows), corner, ld, folded, sums, tick, row, [&](int registers, int from, const double* a) {
                const int used = std::min(registers * L, x.columns - from);
                for (int k = 0; k < x.rows; ++k)
                    for (int j = 0; j < used; ++j) row[k * width + 1 + from + j] = a[int64_t(k) * W + j];
            });
            if (row) add_tables(block, w, row, result.tables);
        }
        if (constant) {
            result.information[0] += total(w, x.rows);
            for (int j = 0; j < x.columns; ++j) result.information[1 + j] += sums[j];
        }
    }

    void complete(const Block& block) const {
        if (!wanted) return;
        if (!plain) take_scores(block.problem, block.x.columns, result);
        if (single) unfold(Panels<float>(block.x.columns, 0), folded, corner, ld);
        else unfold(block.x, folded, corner, ld);
    }

  private:
    const Result& result;
    int64_t ld;
    bool wanted, plain, single;
    double* corner;  // of the columns in the panels
    Folded folded{};
};

// Information of all pairs of equations: out[column pair][equation pair], rows of `weights_width(q)`.
void softmax_information(Block& block, const double* mu, int arithmetic, int q, double* out) {
    Scratch& s = block.s;
    const Panels<double>& x = block.x;
    const int wide = weights_width(q), rows = x.rows;
    RowBlock& t = s.rows;
    auto run = [&](auto zero, const auto& columns, auto* panel, auto* products) {
        using R = decltype(zero);
        using T = std::remove_reference_t<decltype(panel[0])>;
        std::fill(panel, panel + int64_t(wide) * rows, T(0));
        int c = 0;
        for (int a = 0; a < q; ++a)
            for (int b = a; b < q; ++b, ++c) {
                softmax_weight(mu, a, b, rows, t);
                T* to = panel + int64_t(c / ROW<T>) * ROW<T> * rows + c % ROW<T>;
                for (int k = 0; k < rows; ++k) to[int64_t(k) * ROW<T>] = T(t.weight[k]);
            }
        gram_of_weights<R, T>(columns, panel, wide, products, out);
    };
    const size_t room = size_t(wide + 2 * W) * rows;
    if (arithmetic == SINGLE) run(F{}, to_float(s, x), s.panelf.at_least(room), s.productsf.at_least(TALL * rows));
    else run(V{}, x, s.panel.at_least(room), s.products.at_least(TALL * rows));
}

void load_extra(const Problem& problem, int64_t first, int count, int rows, RowBlock& t) {
    gather_column(problem.extra[0], first, count, t.y);
    gather_column(problem.extra[1], first, count, t.w);
    gather_column(problem.extra[2], first, count, t.eta);
    t.weighted = problem.extra[1].type != ONE || count < rows;
    for (int k = count; k < rows; ++k) { t.y[k] = t.y[count - 1]; t.w[k] = 0; t.eta[k] = t.eta[count - 1]; }
}

// rows whose weight is not zero, and the sum of the weights
void count_rows(const double* w, int rows, double& n, double& weights) {
    V used{}, total{};
    for (int k = 0; k < rows; k += L) { V v = load(w + k); total += v; used += v != 0.0 ? all(1) : V{}; }
    n += sum(used);
    weights += sum(total);
}

void add_totals(double n, double weights, const Totals& totals, double* scalars) {
    scalars[0] += n;
    scalars[1] += weights;
    scalars[2] += sum(totals.deviance);
    scalars[3] += sum(totals.pearson);
}

// A pass over cells and few columns, which stay columns
void pass_of_few(const Problem& problem, const Task& task, const Result& result) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    const Layout layout = layout_of(problem);
    const size_t groups = problem.groups.size();
    const double* beta = task.beta + layout.constant;
    const int most = padded(int(task.block));
    double *x = s.x.at_least(size_t(layout.columns) * most), *weighted = s.panel.at_least(size_t(layout.columns) * most);
    double* sums = s.sums.at_least(Few::size(layout.columns));
    std::fill(sums, sums + Few::size(layout.columns), 0.0);
    const Few few(layout.columns, sums);
    if (s.cells.size() < groups) s.cells.resize(groups);
    Totals totals;
    double n = 0, weights = 0;
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        s.ahead.aim(problem, first + task.step, task.block, 1);
        load_extra(problem, first, count, rows, t);
        if (layout.constant) for (int k = 0; k < rows; k += L) store(t.eta + k, load(t.eta + k) + task.beta[0]);
        for (int j = 0; j < layout.columns; ++j) {
            double* column = x + int64_t(j) * rows;
            gather_column(problem.columns[size_t(layout.constant + j)], first, count, column);
            std::fill(column + count, column + rows, 0.0);
            for (int k = 0; k < rows; k += L) store(t.eta + k, load(t.eta + k) + load(column + k) * beta[j]);
        }
        for (size_t i = 0; i < groups; ++i) read_cells(problem.groups[i], first, count, rows, s.cells[i]);
        s.ahead.step(2);
        add_cells(s.cells, groups, task.cells, rows, t.eta);
        if (t.weighted) count_rows(t.w, rows, n, weights);
        else n += count, weights += count;
        row_terms(problem, t, rows, task.information, totals, s.ahead);
        if (task.order > 0) few.add_score(x, t.score, rows);
        if (task.order == 1) scatter_all(s.cells, problem, t.score, rows, result.cells);
        if (task.order < 2) return;
        few.add_information(x, t.weight, rows, weighted);
        add_lines(s.cells, problem, t.weight, weighted, t.score, layout.columns, rows, result.tables);
        tabulate_all(s.cells, problem, t.weight, rows, result.tables);
    });
    if (task.order > 0) few.score(layout.constant, result.score);
    if (task.order > 1) {
        few.information(layout.constant, width(int(problem.columns.size())), result.information);
        take_scores(problem, layout.columns, result);
    }
    add_totals(n, weights, totals, result.scalars);
}

bool is_of_few(const Problem& problem) {
    if (problem.groups.empty() || problem.sparse.columns || problem.family == MULTINOMIAL || layout_of(problem).columns > Few::MOST) return false;
    for (size_t j = 0; j < problem.columns.size(); ++j) if (run_length(problem.columns, j) > 1) return false;
    return true;
}

void pass(const Problem& problem, const Task& task, const Result& result) {
    if (is_of_few(problem)) return pass_of_few(problem, task, result);
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    const Layout layout = layout_of(problem);
    const int columns = int(problem.columns.size()), q = problem.equations;
    const int64_t wide = width(columns), length = layout.columns + W;
    const double* beta = spread(s, layout, task.beta, q, length);
    Block block(problem, task, s, q == 1 ? beta : nullptr, q > 1 || task.order > 0);
    Information information(block, task, result, wide);
    Totals totals;
    double n = 0, weights = 0;
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        s.ahead.aim(problem, first + task.step, task.block, task.order > 1 ? 2 : 1);
        load_extra(problem, first, count, rows, t);
        double* eta = problem.family == MULTINOMIAL ? s.equations.at_least(size_t(2 * q) * rows) : t.eta;
        if (eta != t.eta) for (int a = 0; a < q; ++a) std::copy(t.eta, t.eta + rows, eta + a * rows);
        if (layout.constant) for (int k = 0; k < rows; k += L) store(eta + k, load(eta + k) + task.beta[0]);
        block.read(first, count, eta, [&](int k) {
            s.ahead.step(2 * s.ahead.halves * rows / (2 * L));
            if (q > 1) add_predictors(block.x, beta, length, q, k, eta);
        });
        if (t.weighted) count_rows(t.w, rows, n, weights);
        else n += count, weights += count;
        if (problem.family == MULTINOMIAL) {
            softmax_terms(eta, q, problem.reference, rows, t, totals);
            if (task.order > 0)
                add_scores(block.x, softmax_residuals(eta, q, problem.reference, rows, t), q, result.score, columns, s.ahead);
            if (task.order > 1) softmax_information(block, eta, task.arithmetic, q, result.information);
        } else {
            block.add_cells_to(task.cells, t.eta);
            row_terms(problem, t, rows, task.information, totals, s.ahead);
            if (task.order > 0) add_score_rows(block, t.score, result, task.order == 1);
            if (task.order > 1) information.add(block, t.weight, t.score);
        }
    });
    information.complete(block);
    add_totals(n, weights, totals, result.scalars);
}

void predictor(const Problem& problem, const Task& task, double* eta) {
    Scratch& s = scratch();
    const Layout layout = layout_of(problem);
    const int q = problem.equations;
    const int64_t length = layout.columns + W;
    const double* beta = spread(s, layout, task.beta, q, length);
    Block block(problem, task, s, q == 1 ? beta : nullptr, q > 1);
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        load_extra(problem, first, count, rows, s.rows);
        double* e = s.equations.at_least(size_t(q) * rows);
        for (int a = 0; a < q; ++a)
            for (int k = 0; k < rows; ++k) e[a * rows + k] = s.rows.eta[k] + (layout.constant ? task.beta[0] : 0.0);
        block.read(first, count, e, [&](int k) {
            if (q > 1) add_predictors(block.x, beta, length, q, k, e);
        });
        if (q == 1) block.add_cells_to(task.cells, e);
        for (int a = 0; a < q; ++a)
            for (int k = 0; k < count; ++k) eta[(first - task.start + k) * q + a] = e[a * rows + k];
    });
}

// The score factor and the information weight of each row.
void terms(const Problem& problem, const Task& task, double* score, double* weight) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    const Layout layout = layout_of(problem);
    const double* beta = spread(s, layout, task.beta, 1, layout.columns + W);
    Block block(problem, task, s, beta);
    Totals totals;
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        load_extra(problem, first, count, rows, t);
        if (layout.constant) for (int k = 0; k < rows; k += L) store(t.eta + k, load(t.eta + k) + task.beta[0]);
        block.read(first, count, t.eta, [](int) {});
        block.add_cells_to(task.cells, t.eta);
        row_terms(problem, t, rows, task.information, totals, s.ahead);
        std::copy(t.score, t.score + count, score + first - task.start);
        std::copy(t.weight, t.weight + count, weight + first - task.start);
    });
}

// The same with deviance and pearson, of rows whose predictors are given.
void rows_at(const Problem& problem, const double* eta, int64_t start, int64_t stop, int information, double* score, double* weight, double* sums) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    Totals totals;
    for (int64_t first = start; first < stop; first += 256) {
        const int count = int(std::min<int64_t>(256, stop - first)), rows = padded(count);
        load_extra(problem, first, count, rows, t);
        for (int k = 0; k < rows; ++k) t.eta[k] += eta[first + std::min(k, count - 1)];
        row_terms(problem, t, rows, information, totals, s.ahead);
        std::copy(t.score, t.score + count, score + first);
        std::copy(t.weight, t.weight + count, weight + first);
    }
    sums[0] = sum(totals.deviance);
    sums[1] = sum(totals.pearson);
}

// Sum over q of (x' m_q)^2 for each row x; task.beta holds the m_q side by side, (columns, q), task.cells those of the cells, (q, cells).
void forms(const Problem& problem, const Task& task, int q, int64_t cells, double* out) {
    Scratch& s = scratch();
    const Layout layout = layout_of(problem);
    const int64_t length = layout.columns + W;
    const double* beta = spread(s, layout, task.beta, q, length);
    Block block(problem, task, s, nullptr);
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        double* z = s.equations.at_least(size_t(q) * rows);
        for (int a = 0; a < q; ++a) std::fill(z + a * int64_t(rows), z + (a + 1) * int64_t(rows), layout.constant ? task.beta[a] : 0.0);
        block.read(first, count, s.rows.eta, [&](int k) { add_predictors(block.x, beta, length, q, k, z); });
        V sums[MAX_BLOCK / L] = {};
        for (int a = 0; a < q; ++a) {
            double* own = z + a * int64_t(rows);
            block.add_cells_to(task.cells + a * cells, own);
            for (int k = 0; k < rows; k += L) { V v = load(own + k); sums[k / L] += v * v; }
        }
        for (int k = 0; k < count; ++k) out[first - task.start + k] = sums[k / L][k % L];
    });
}

// Score and information of rows whose terms were computed elsewhere (a user's family, a start from y).
void accumulate(const Problem& problem, const Task& task, const double* row_score, const double* row_weight, const Result& result) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    Block block(problem, task, s, nullptr);
    Information information(block, task, result, width(int(problem.columns.size())));
    each_block(task, [&](int64_t first, int count) {
        block.read(first, count, t.eta, [](int) {});
        const int rows = block.x.rows;
        std::fill(t.score, t.score + rows, 0.0);
        std::fill(t.weight, t.weight + rows, 0.0);
        std::copy(row_score + first - task.start, row_score + first - task.start + count, t.score);
        add_score_rows(block, t.score, result, task.order == 1);
        if (task.order > 1) {
            std::copy(row_weight + first - task.start, row_weight + first - task.start + count, t.weight);
            information.add(block, t.weight, t.score);
        }
    });
    information.complete(block);
}

// Mean and 1 / standard deviation of each column in up to `most` rows, in short runs spread evenly over the whole; without
// centring 1 / root mean square; 0 and 1 where a column does not vary.  Says whether all are finite.
bool place(const Column* columns, size_t width, int64_t rows, int64_t most, bool centred, double* center, double* scale) {
    constexpr int64_t RUN = 16;  // neighbouring rows share cache lines
    const int64_t runs = rows <= most ? 1 : most / RUN, run = rows <= most ? rows : RUN;
    const int64_t count = runs * run, whole = count - count % L;
    std::vector<double> x(size_t(count), 0.0);
    bool finite = true;
    for (size_t j = 0; j < width; ++j) {
        center[j] = 0, scale[j] = 1;
        if (columns[j].type == ONE) continue;
        for (int64_t k = 0; k < runs; ++k)
            gather_column(columns[j], runs == 1 ? 0 : (rows - run) * k / (runs - 1), int(run), x.data() + k * run);
        auto average = [&](double about, auto term) {
            V sums[2] = {};
            for (int64_t k = 0; k < whole; k += L) sums[k / L % 2] += term(load(x.data() + k) - about);
            double s = sum(sums[0] + sums[1]);
            for (int64_t k = whole; k < count; ++k) s += term(all(x[k] - about))[0];
            return s / double(count);
        };
        const double mean = centred ? average(0, [](V v) { return v; }) : 0;
        const double spread = std::sqrt(average(mean, [](V v) { return v * v; }));
        if (!std::isfinite(spread)) { finite = false; continue; }
        center[j] = mean;
        if (spread > 1e-12 * std::abs(mean)) scale[j] = 1 / spread;
    }
    return finite;
}

// Smallest, largest and sum of some numbers; a nan among them shows in the sum
void range(const double* x, int64_t n, double* out) {
    V low[4], high[4], total[4] = {};
    for (int u = 0; u < 4; ++u) low[u] = all(INF), high[u] = all(-INF);
    int64_t k = 0;
    for (; k + 4 * L <= n; k += 4 * L)
        for (int u = 0; u < 4; ++u) {
            V v = load(x + k + u * L);
            low[u] = min(v, low[u]);
            high[u] = max(v, high[u]);
            total[u] += v;
        }
    V l = min(min(low[0], low[1]), min(low[2], low[3])), h = max(max(high[0], high[1]), max(high[2], high[3]));
    out[0] = INF, out[1] = -INF, out[2] = sum((total[0] + total[1]) + (total[2] + total[3]));
    for (int s = 0; s < L; ++s) out[0] = std::min(out[0], l[s]), out[1] = std::max(out[1], h[s]);
    for (; k < n; ++k) out[0] = std::min(out[0], x[k]), out[1] = std::max(out[1], x[k]), out[2] += x[k];
}

// x := scale R^-1 R^-T scale x / weight
void solve(const double* triangle, const double* scale, int p, double weight, double* x) {
    for (int j = 0; j < p; ++j) x[j] *= scale[j];
    solve_transposed(triangle, p, x);
    solve_upper(triangle, p, x);
    for (int j = 0; j < p; ++j) x[j] *= scale[j] / weight;
}

// |R^-T scale x|^2 = x' H^-1 x, and x is used up
double quadratic(const double* triangle, const double* scale, int p, double* x) {
    for (int j = 0; j < p; ++j) x[j] *= scale[j];
    solve_transposed(triangle, p, x);
    double total = 0;
    for (int j = 0; j < p; ++j) total += x[j] * x[j];
    return total;
}

void function(int which, const double* x, double* out, int64_t n) {
    auto each = [&](auto f) {
        int64_t i = 0;
        for (; i + L <= n; i += L) store(out + i, f(load(x + i)));
        if (i == n) return;
        double rest[L] = {};
        std::copy(x + i, x + n, rest);
        store(rest, f(load(rest)));
        std::copy(rest, rest + (n - i), out + i);
    };
    switch (which) {
        case 0: return each([](V v) { return exp(v); });
        case 1: return each([](V v) { return log(v); });
        case 2: return each([](V v) { return log1p(v); });
        default: return each([](V v) { return expm1(v); });
    }
}

// Multiply-adds on registers alone: what the machine could do at best (benchmarks only).
void peak(int arithmetic, int64_t loops, double* out) {
    auto run = [&](auto zero) {
        decltype(zero) acc[12];
        for (auto& a : acc) a = zero + 1;
        auto m = zero + 1.0000001f, c = zero + 1e-9f;
        for (int64_t i = 0; i < loops; ++i)
            for (auto& a : acc) a = a * m + c;
        double total = 0;
        for (auto& a : acc) total += a[0];
        *out = total;
    };
    if (arithmetic == SINGLE) run(F{}); else run(V{});
}

}  // namespace

namespace etamu {
const Kernels& ETAMU_KERNELS() {
    static const Kernels table{ETAMU_NAME, L, width, weights_width, pass, predictor, terms, forms, accumulate, place, range, factor, solve, quadratic, inverse, rows_at, descend, gather_column, quantise, scan, dot, send, add_products<double>, add_products<float>, gram_columns<float, float>, gram_columns<double, double>, gram_columns<float, double>, add_columns<double>, add_columns<float>, predict, function, peak};
    return table;
}
}  // namespace etamu
