// The fused pass: pack a block, form eta, run the row terms, add score and information.
// This file is compiled once per instruction set; ETAMU_KERNELS names the table it exports.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>
#include "linalg.hpp"
#include "pack.hpp"
#include "rows.hpp"
#include "softmax.hpp"

namespace {
using namespace etamu;

// weights of all pairs of q equations, in whole registers of either kind
int weights_width(int q) { int pairs = q * (q + 1) / 2; return (pairs + 2 * L - 1) / (2 * L) * (2 * L); }

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
struct Scratch { Ahead ahead; Buffer<double> x, panel, equations, products; Buffer<float> xf, panelf, productsf; RowBlock rows; };
Scratch& scratch() {
    static thread_local std::unique_ptr<Scratch> s;
    if (!s) s.reset(new Scratch);
    return *s;
}

template <class Body> void each_block(const Task& task, Body body) {
    for (int64_t first = task.start; first < task.stop; first += task.step)
        body(first, int(std::min(task.block, task.stop - first)));
}

// eta += X beta for one equation; beta is strided
void add_predictor(const double* x, int columns, int rows, const double* beta, int stride, double* eta, Ahead& ahead) {
    for (int k = 0; k < rows; k += 2 * L) {
        ahead.step(rows / 4);
        V e0 = load(eta + k), e1 = load(eta + k + L);
        for (int j = 0; j < columns; ++j) {
            double b = beta[j * stride];
            e0 += load(x + j * int64_t(rows) + k) * b;
            e1 += load(x + j * int64_t(rows) + k + L) * b;
        }
        store(eta + k, e0);
        store(eta + k + L, e1);
    }
}

void add_score(const double* x, int columns, int rows, const double* r, double* score, Ahead& ahead) {
    int j = 0;
    for (; j + 4 <= columns; j += 4) {
        ahead.step(columns);
        V s[4] = {};
        const double* c = x + j * int64_t(rows);
        for (int k = 0; k < rows; k += L) {
            V v = load(r + k);
            for (int i = 0; i < 4; ++i) s[i] += load(c + i * int64_t(rows) + k) * v;
        }
        for (int i = 0; i < 4; ++i) score[j + i] += sum(s[i]);
    }
    for (; j < columns; ++j) {
        V s{};
        for (int k = 0; k < rows; k += L) s += load(x + j * int64_t(rows) + k) * load(r + k);
        score[j] += sum(s);
    }
}

const float* to_float(Scratch& s, const double* x, int64_t n) {
    float* f = s.xf.at_least(n);
    for (int64_t i = 0; i < n; ++i) f[i] = float(x[i]);
    return f;
}

void add_information(Scratch& s, const double* x, const float* xf, const double* w, int columns, int rows, double* out, int64_t ld) {
    if (xf) gram<F, float>(x, xf, w, columns, rows, s.panelf.at_least(PANEL * 2 * L * rows), out, ld);
    else if (columns <= NARROW) narrow_gram(x, w, columns, rows, s.panel.at_least(4 * rows), out, ld, [&] { s.ahead.step(64); });
    else gram<V, double>(x, x, w, columns, rows, s.panel.at_least(PANEL * L * rows), out, ld);
}

// Information of all pairs of equations: out[column pair][equation pair], rows of `weights_width(q)`.
void softmax_information(Scratch& s, const double* mu, const double* x, const float* xf, int columns, int q, int rows, double* out) {
    const int wide = weights_width(q);
    RowBlock& t = s.rows;
    auto run = [&](auto zero, auto* panel, const auto* block, auto* products) {
        using R = decltype(zero);
        using T = std::remove_reference_t<decltype(panel[0])>;
        constexpr int width = PANEL * int(sizeof(R) / sizeof(T));
        std::fill(panel, panel + int64_t(wide) * rows, T(0));
        int c = 0;
        for (int a = 0; a < q; ++a)
            for (int b = a; b < q; ++b, ++c) {
                softmax_weight(mu, a, b, rows, t);
                T* to = panel + int64_t(c / width) * width * rows + c % width;
                for (int k = 0; k < rows; ++k) to[int64_t(k) * width] = T(t.weight[k]);
            }
        gram_of_weights<R, T>(block, panel, columns, rows, wide, products, out);
    };
    if (xf) run(F{}, s.panelf.at_least(size_t(wide + 2 * PANEL * L) * rows), xf, s.productsf.at_least(TALL * rows));
    else run(V{}, s.panel.at_least(size_t(wide + PANEL * L) * rows), x, s.products.at_least(TALL * rows));
}

void load_extra(const Problem& problem, int64_t first, int count, int rows, RowBlock& t) {
    gather_column(problem.extra[0], first, count, t.y);
    gather_column(problem.extra[1], first, count, t.w);
    gather_column(problem.extra[2], first, count, t.eta);
    for (int k = count; k < rows; ++k) { t.y[k] = t.y[count - 1]; t.w[k] = 0; t.eta[k] = t.eta[count - 1]; }
}

void pass(const Problem& problem, const Task& task, const Result& result) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    const int columns = int(problem.columns.size());
    const int64_t wide = padded_columns(columns);
    Totals totals;
    V n{}, weights{};
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        double* x = s.x.at_least(size_t(columns) * rows + 2 * L);
        pack(problem, first, count, rows, x);
        s.ahead.aim(problem, first + task.step, task.block);
        load_extra(problem, first, count, rows, t);
        const float* xf = task.order > 1 && task.arithmetic == SINGLE ? to_float(s, x, columns * int64_t(rows)) : nullptr;
        auto add = [&](const double* w, double* out, int64_t ld) { add_information(s, x, xf, w, columns, rows, out, ld); };
        for (int k = 0; k < rows; k += L) { V w = load(t.w + k); weights += w; n += w != 0.0 ? all(1) : V{}; }
        if (problem.family == MULTINOMIAL) {
            const int q = problem.equations;
            double* eta = s.equations.at_least(size_t(2 * q) * rows);
            for (int a = 0; a < q; ++a) {
                std::copy(t.eta, t.eta + rows, eta + a * rows);
                add_predictor(x, columns, rows, task.beta + a, q, eta + a * rows, s.ahead);
            }
            softmax_terms(eta, q, problem.reference, rows, t, totals);
            if (task.order > 0)
                for (int a = 0; a < q; ++a) {
                    softmax_score(eta, a, problem.reference, rows, t);
                    add_score(x, columns, rows, t.score, result.score + a * columns, s.ahead);
                }
            if (task.order > 1) softmax_information(s, eta, x, xf, columns, q, rows, result.information);
        } else {
            add_predictor(x, columns, rows, task.beta, 1, t.eta, s.ahead);
            row_terms(problem, t, rows, task.information, totals, s.ahead);
            if (task.order > 0) add_score(x, columns, rows, t.score, result.score, s.ahead);
            if (task.order > 1) add(t.weight, result.information, wide);
        }
    });
    result.scalars[0] += sum(n);
    result.scalars[1] += sum(weights);
    result.scalars[2] += sum(totals.deviance);
    result.scalars[3] += sum(totals.pearson);
}

void predictor(const Problem& problem, const Task& task, double* eta) {
    Scratch& s = scratch();
    const int columns = int(problem.columns.size()), q = problem.equations;
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        double* x = s.x.at_least(size_t(columns) * rows + 2 * L);
        pack(problem, first, count, rows, x);
        load_extra(problem, first, count, rows, s.rows);
        for (int a = 0; a < q; ++a) {
            double* e = s.rows.score;
            std::copy(s.rows.eta, s.rows.eta + rows, e);
            add_predictor(x, columns, rows, task.beta + a, q, e, s.ahead);
            for (int k = 0; k < count; ++k) eta[(first - task.start + k) * q + a] = e[k];
        }
    });
}

// Score and information of rows whose terms were computed elsewhere (a user's family, a start from y).
void accumulate(const Problem& problem, const Task& task, const double* row_score, const double* row_weight, const Result& result) {
    Scratch& s = scratch();
    RowBlock& t = s.rows;
    const int columns = int(problem.columns.size());
    each_block(task, [&](int64_t first, int count) {
        const int rows = padded(count);
        double* x = s.x.at_least(size_t(columns) * rows + 2 * L);
        pack(problem, first, count, rows, x);
        std::fill(t.score, t.score + rows, 0.0);
        std::fill(t.weight, t.weight + rows, 0.0);
        std::copy(row_score + first - task.start, row_score + first - task.start + count, t.score);
        add_score(x, columns, rows, t.score, result.score, s.ahead);
        if (task.order > 1) {
            std::copy(row_weight + first - task.start, row_weight + first - task.start + count, t.weight);
            const float* xf = task.arithmetic == SINGLE ? to_float(s, x, columns * int64_t(rows)) : nullptr;
            add_information(s, x, xf, t.weight, columns, rows, result.information, padded_columns(columns));
        }
    });
}

// x := scale R^-1 R^-T scale x / weight
void solve(const double* triangle, const double* scale, int p, double weight, double* x) {
    for (int j = 0; j < p; ++j) x[j] *= scale[j];
    solve_transposed(triangle, p, x);
    solve_upper(triangle, p, x);
    for (int j = 0; j < p; ++j) x[j] *= scale[j] / weight;
}

void function(int which, const double* x, double* out, int64_t n) {
    for (int64_t i = 0; i < n; i += L) {
        double in[L] = {};
        std::copy(x + i, x + std::min(n, i + L), in);
        V v = load(in);
        V y = which == 0 ? exp(v) : which == 1 ? log(v) : which == 2 ? log1p(v) : expm1(v);
        double back[L];
        store(back, y);
        std::copy(back, back + std::min<int64_t>(L, n - i), out + i);
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
    static const Kernels table{ETAMU_NAME, L, padded_columns, weights_width, pass, predictor, accumulate, factor, solve, inverse, function, peak};
    return table;
}
}  // namespace etamu
