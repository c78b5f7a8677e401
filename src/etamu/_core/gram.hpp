// X' diag(w) X of a packed block.
//
// A block lies in panels: W neighbouring columns, row by row, so that a register holds neighbouring columns of one row.
// The weighted rows of one panel meet broadcast elements of another (outer products): W columns by TALL of them stay in
// registers for the whole block and leave them without a horizontal sum.
#pragma once
#include <algorithm>
#include <type_traits>
#include <utility>
#include "vec.hpp"

namespace {

constexpr int PANEL = 3;  // registers of a panel's row, at most
constexpr int W = PANEL * L;
#if ETAMU_BYTES == 64
constexpr int TALL = 8;   // 24 accumulators of 32 registers
#else
constexpr int TALL = 4;   // 12 of 16
#endif
inline int padded_columns(int columns) { constexpr int w = 2 * W; return (columns + w - 1) / w * w; }

template <class T> constexpr int LANES = ETAMU_BYTES / int(sizeof(T));
template <class T> constexpr int ROW = PANEL * LANES<T>;  // elements from one row of a panel to the next

// Columns of a block: panel g holds columns start(g) .. start(g) + used(g), element (k, c) at panel(g)[k * ROW + c].
// Registers are shared out evenly, since a panel of one would leave the multipliers waiting for loads.  Lanes of a
// panel's registers past its last column are zero.
template <class T> struct Panels {
    T* x = nullptr;
    int columns, rows;
    int panels, each, more;  // the first `more` panels have one register more than `each`

    Panels(int columns, int rows) : columns(columns), rows(rows) {
        panels = (all_registers() + PANEL - 1) / PANEL;
        each = panels ? all_registers() / panels : 0;
        more = panels ? all_registers() % panels : 0;
    }
    int all_registers() const { return (columns + LANES<T> - 1) / LANES<T>; }
    int count() const { return panels; }
    int start(int g) const { return (g * each + std::min(g, more)) * LANES<T>; }
    int registers(int g) const { return each + (g < more); }
    int used(int g) const { return std::min(registers(g) * LANES<T>, columns - start(g)); }
    int64_t stride() const { return int64_t(rows) * ROW<T> + 768 / int(sizeof(T)); }  // not a multiple of 4096 bytes: panels would evict each other
    T* panel(int g) const { return x + g * stride(); }
    // where column j lies in the first row
    T* column(int j) const {
        int g = 0;
        while (j >= start(g) + registers(g) * LANES<T>) ++g;
        return panel(g) + (j - start(g));
    }
    size_t size() const { return size_t(count() * stride()); }
};

#if defined(__clang__)
template <int D, int... k> ETAMU_INLINE void swap_with(V& a, V& b, std::integer_sequence<int, k...>) {
    V lo = __builtin_shufflevector(a, b, ((k & D) ? L + (k ^ D) : k)...);
    b = __builtin_shufflevector(a, b, ((k & D) ? L + k : (k ^ D))...);
    a = lo;
}
template <int D> ETAMU_INLINE void swap(V& a, V& b) { swap_with<D>(a, b, std::make_integer_sequence<int, L>()); }
#else
template <int D> ETAMU_INLINE void swap(V& a, V& b) {  // exchange the off-diagonal D-blocks of the pair
    I lo, hi;
    for (int k = 0; k < L; ++k) { lo[k] = (k & D) ? L + (k ^ D) : k; hi[k] = (k & D) ? L + k : (k ^ D); }
    V first = __builtin_shuffle(a, b, lo);
    b = __builtin_shuffle(a, b, hi);
    a = first;
}
#endif

// the exchanges of a transposition from distance D down to 1
template <int D> ETAMU_INLINE void transpose_within(V* v) {
    for (int i = 0; i < L; ++i) if (!(i & D)) swap<D>(v[i], v[i + D]);
    if constexpr (D > 1) transpose_within<D / 2>(v);
}
ETAMU_INLINE void transpose(V* v) { transpose_within<L / 2>(v); }

// lane i of the result is the sum of v[i]
ETAMU_INLINE V sum_each(V* v) {
    for (int i = 0; i < L; i += 2) { swap<1>(v[i], v[i + 1]); v[i] += v[i + 1]; }
    if constexpr (L >= 4) for (int i = 0; i < L; i += 4) { swap<2>(v[i], v[i + 2]); v[i] += v[i + 2]; }
    if constexpr (L >= 8) { swap<4>(v[0], v[4]); v[0] += v[4]; }
    return v[0];
}

ETAMU_INLINE void add_to(double* out, V v) { store(out, load(out) + v); }
ETAMU_INLINE void add_to(double* out, F f) {
    H half[2];
    std::memcpy(half, &f, sizeof f);
    add_to(out, wide(half[0]));
    add_to(out + L, wide(half[1]));
}

// out[j, i] += sum_k x[k, j] a[k, i] for N columns j and S registers of columns i; rows of `a` are ROW apart, rows of x
// `STEP`.  WEIGHED: of w[k] a[k, i]; else w is not read.  Few accumulators are doubled, so that
// a sum does not wait for the one before it.
template <class R, class T, int S, int N, int STEP, bool WEIGHED>
__attribute__((noinline)) void tile(const T* a, const T* x, const double* w, int rows, double* out, int64_t ld) {
    constexpr int lanes = LANES<T>, U = N * S >= 8 ? 1 : N * S >= 4 ? 2 : 4;
    R acc[U * N * S];
#pragma GCC unroll 32
    for (int i = 0; i < U * N * S; ++i) acc[i] = R{};
    int k = 0;
    do {
#pragma GCC unroll 4
        for (int u = 0; u < U; ++u, a += ROW<T>, x += STEP) {
            R left[S];
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) left[s] = load(a + s * lanes);
            if constexpr (WEIGHED) {
                const T weight = T(w[k + u]);
#pragma GCC unroll 4
                for (int s = 0; s < S; ++s) left[s] *= weight;
            }
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j) {
                T right = x[j];
#pragma GCC unroll 4
                for (int s = 0; s < S; ++s) acc[(u * N + j) * S + s] += left[s] * right;
            }
        }
        k += U;
    } while (k < rows);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j)
#pragma GCC unroll 4
        for (int s = 0; s < S; ++s) {
            R total = acc[j * S + s];
#pragma GCC unroll 4
            for (int u = 1; u < U; ++u) total += acc[(u * N + j) * S + s];
            add_to(out + j * ld + s * lanes, total);
        }
}

template <class R, class T, int S, int STEP, bool WEIGHED>
inline void tile_column(int n, const T* a, const T* x, const double* w, int rows, double* out, int64_t ld) {
    switch (n) {
#if ETAMU_BYTES == 64
        case 8: return tile<R, T, S, 8, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 7: return tile<R, T, S, 7, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 6: return tile<R, T, S, 6, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 5: return tile<R, T, S, 5, STEP, WEIGHED>(a, x, w, rows, out, ld);
#endif
        case 4: return tile<R, T, S, 4, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 3: return tile<R, T, S, 3, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 2: return tile<R, T, S, 2, STEP, WEIGHED>(a, x, w, rows, out, ld);
        case 1: return tile<R, T, S, 1, STEP, WEIGHED>(a, x, w, rows, out, ld);
    }
}

template <class R, class T, int STEP, bool WEIGHED = false>
inline void tile_of(int registers, int n, const T* a, const T* x, const double* w, int rows, double* out, int64_t ld) {
    switch (registers) {
        case 3: return tile_column<R, T, 3, STEP, WEIGHED>(n, a, x, w, rows, out, ld);
        case 2: return tile_column<R, T, 2, STEP, WEIGHED>(n, a, x, w, rows, out, ld);
        case 1: return tile_column<R, T, 1, STEP, WEIGHED>(n, a, x, w, rows, out, ld);
    }
}

// a[k] = w[k] x[k] for a panel; their sums over the rows, the information of the constant, are added to `sums`
template <class R, class T, int S> inline void weigh(const T* x, const double* w, int rows, T* a, double* sums) {
    R total[2 * S] = {};
    for (int k = 0; k < rows; k += 2)
        for (int u = 0; u < 2; ++u) {
            R weight = T(w[k + u]) - R{};
            for (int s = 0; s < S; ++s) {
                R v = load(x + int64_t(k + u) * ROW<T> + s * LANES<T>) * weight;
                std::memcpy(a + int64_t(k + u) * ROW<T> + s * LANES<T>, &v, sizeof v);
                total[u * S + s] += v;
            }
        }
    for (int s = 0; s < S; ++s) add_to(sums + s * LANES<T>, total[s] + total[S + s]);
}

template <class R, class T> inline void weigh(int registers, const T* x, const double* w, int rows, T* a, double* sums) {
    switch (registers) {
        case 3: return weigh<R, T, 3>(x, w, rows, a, sums);
        case 2: return weigh<R, T, 2>(x, w, rows, a, sums);
        case 1: return weigh<R, T, 1>(x, w, rows, a, sums);
    }
}

// The same columns as floats, whose panels are twice as wide
inline void narrowed(const Panels<double>& from, const Panels<float>& to) {
    for (int g = 0; g < from.count(); ++g)
        for (int s = 0; s < from.registers(g); ++s) {
            const double* in = from.panel(g) + s * L;
            float* out = to.column(from.start(g) + s * L);
            for (int k = 0; k < from.rows; ++k, in += ROW<double>, out += ROW<float>) store(out, __builtin_convertvector(load(in), H));
        }
    if (from.all_registers() % 2) {  // the last register is half full
        float* out = to.column((from.all_registers() - 1) * L) + L;
        for (int k = 0; k < from.rows; ++k, out += ROW<float>) store(out, H{});
    }
}

// ---- what the columns of one panel share with each other ----------------------------------------------------------

// Lanes of v, `D` further on in a circle
#if defined(__clang__)
template <int D, class R, int... k> ETAMU_INLINE R turned_with(R v, std::integer_sequence<int, k...>) {
    return __builtin_shufflevector(v, v, ((k + D) % int(sizeof...(k)))...);
}
template <int D> ETAMU_INLINE V turned(V v) { return turned_with<D>(v, std::make_integer_sequence<int, L>()); }
template <int D> ETAMU_INLINE F turned(F v) { return turned_with<D>(v, std::make_integer_sequence<int, 2 * L>()); }
#else
template <int D> ETAMU_INLINE V turned(V v) {
    I lane;
    for (int k = 0; k < L; ++k) lane[k] = (k + D) % L;
    return __builtin_shuffle(v, lane);
}
template <int D> ETAMU_INLINE F turned(F v) {
    typedef int32_t J __attribute__((vector_size(ETAMU_BYTES)));
    J lane;
    for (int k = 0; k < 2 * L; ++k) lane[k] = (k + D) % (2 * L);
    return __builtin_shuffle(v, lane);
}
#endif

// A register times itself turned by 0 .. CIRCLE - 1 lanes holds every pair of its columns, in little more than half the products
// that broadcasting each of its columns would take.  Of four lanes it would be three quarters, which the turns cost again.
template <class T> constexpr int CIRCLE = LANES<T> / 2 + 1;
template <class T> constexpr bool TURNING = LANES<T> >= 8;

// Pairs of columns within one panel, where they are added up until `unfold` puts them in their places
struct Folded {
    double* turns;   // of each register CIRCLE rows of LANES
    double* across;  // (LANES, ROW): the columns of a last register that is not full by the registers before it in its panel
    template <class T> static size_t size(int columns) { return size_t(columns + 2 * LANES<T>) * CIRCLE<T> + size_t(LANES<T>) * ROW<T>; }
    template <class T> static Folded in(double* memory) { return {memory + size_t(LANES<T>) * ROW<T>, memory}; }
};

template <class R, int D, int N> ETAMU_INLINE void add_turns(R a, R x, R* acc) {
    acc[D] += a * turned<D>(x);
    if constexpr (D + 1 < N) add_turns<R, D + 1, N>(a, x, acc);
}

// out[d, i] += sum_k a[k, i] x[k, i + d] for S registers, whose `out` follow each other.  WEIGHED: of w[k] a[k, i], whose sums over
// the rows are added to `sums`.
template <class R, class T, int S, bool WEIGHED>
__attribute__((noinline)) void tile_turned(const T* a, const T* x, const double* w, int rows, double* out, double* sums) {
    constexpr int N = CIRCLE<T>;
    R acc[S * N], total[S];
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) total[s] = R{};
#pragma GCC unroll 32
    for (int i = 0; i < S * N; ++i) acc[i] = R{};
    for (int k = 0; k < rows; ++k, a += ROW<T>, x += ROW<T>) {
#pragma GCC unroll 4
        for (int s = 0; s < S; ++s) {
            R left = load(a + s * LANES<T>);
            if constexpr (WEIGHED) {
                left *= T(w[k]);
                total[s] += left;
            }
            add_turns<R, 0, N>(left, load(x + s * LANES<T>), acc + s * N);
        }
    }
    if constexpr (WEIGHED)
        for (int s = 0; s < S; ++s) add_to(sums + s * LANES<T>, total[s]);
#pragma GCC unroll 32
    for (int i = 0; i < S * N; ++i) add_to(out + i * LANES<T>, acc[i]);
}

// The pairs within panel g, whose weighted rows are `a`; or its rows themselves, if they are still to be WEIGHED
template <class R, class T, bool WEIGHED, class Tick>
inline void gram_within(const Panels<T>& x, int g, const T* a, const double* w, double* out, int64_t ld, const Folded& folded, double* sums, Tick tick) {
    constexpr int lanes = LANES<T>;
    const T* own = x.panel(g);
    const int from = x.start(g), registers = x.registers(g), last = registers - 1;
    const int partly = x.used(g) - last * lanes, whole = partly < lanes ? last : registers;
    const auto multiply = [&](int left, int count, int first, int end, double* to, int64_t to_ld) {  // registers from `left` by columns [first, end)
        for (int j = first; j < end; j += TALL, to += TALL * to_ld) {
            tick();
            tile_of<R, T, ROW<T>, WEIGHED>(count, std::min(TALL, end - j), a + left * lanes, own + j, w, x.rows, to, to_ld);
        }
    };
    const auto turn = [&](auto count, int s) {
        tick();
        double* to = folded.turns + size_t(from + s * lanes) * CIRCLE<T>;
        tile_turned<R, T, decltype(count)::value, WEIGHED>(a + s * lanes, own + s * lanes, w, x.rows, to, sums + from + s * lanes);
    };
    constexpr bool together = CIRCLE<T> <= TALL;  // whether the sums of a whole panel stay in registers
    if (together && registers == PANEL) turn(std::integral_constant<int, PANEL>(), 0);
    else for (int s = 0; s < registers; ++s) turn(std::integral_constant<int, 1>(), s);
    for (int s = 0; s + 1 < whole; ++s)
        multiply(s + 1, whole - s - 1, s * lanes, (s + 1) * lanes, out + (from + s * lanes) * ld + from + (s + 1) * lanes, ld);
    if (last && whole == last) multiply(0, last, last * lanes, x.used(g), folded.across, ROW<T>);
}

// Everything that `gram` has folded, added to the upper triangle of `out`
template <class T> inline void unfold(const Panels<T>& x, const Folded& folded, double* out, int64_t ld) {
    if (!TURNING<T>) return;
    const double* from = folded.turns;
    for (int c = 0; c < x.columns; c += LANES<T>)
        for (int d = 0; d < CIRCLE<T>; ++d, from += LANES<T>)
            for (int i = 0; i < LANES<T> / (2 * d == LANES<T> ? 2 : 1); ++i) {
                const int one = c + i, other = c + (i + d) % LANES<T>;
                if (std::max(one, other) < x.columns) out[std::min(one, other) * ld + std::max(one, other)] += from[i];
            }
    const int g = x.count() - 1, last = g < 0 ? 0 : x.registers(g) - 1, partly = g < 0 ? 0 : x.used(g) - last * LANES<T>;
    if (partly == LANES<T>) return;
    for (int j = 0; j < partly; ++j)
        for (int i = 0; i < last * LANES<T>; ++i) out[(x.start(g) + i) * ld + x.start(g) + last * LANES<T> + j] += folded.across[j * ROW<T> + i];
}

// The upper triangle of out[j, i] += sum_k w[k] x_j[k] x_i[k], to be completed by `unfold`.  Entries under the diagonal and in
// columns past the last are scribbled on.  panel: room for one panel.  sums[i] += sum_k w[k] x_i[k].  `weighted(registers,
// first column, panel)` sees each weighted panel if it `looks`; else a design of one panel may be weighed on the way.
template <class R, class T, class Tick, class Weighted>
inline void gram(const Panels<T>& x, const double* w, T* panel, double* out, int64_t ld, const Folded& folded, double* sums, Tick tick, bool looks, Weighted weighted) {
    if (TURNING<T> && x.count() == 1 && !looks) return gram_within<R, T, TURNING<T>>(x, 0, x.panel(0), w, out, ld, folded, sums, tick);
    for (int g = 0; g < x.count(); ++g) {
        const int from = x.start(g), registers = x.registers(g);
        weigh<R, T>(registers, x.panel(g), w, x.rows, panel, sums + from);
        if (looks) weighted(registers, from, panel);
        for (int h = 0; h <= g - TURNING<T>; ++h)
            for (int j = 0; j < x.used(h); j += TALL) {
                tick();
                const int skip = h == g ? j / LANES<T> : 0;  // registers wholly under the diagonal
                tile_of<R, T, ROW<T>>(registers - skip, std::min(TALL, x.used(h) - j), panel + skip * LANES<T>, x.panel(h) + j, w, x.rows,
                                      out + (x.start(h) + j) * ld + from + skip * LANES<T>, ld);
            }
        if constexpr (TURNING<T>) gram_within<R, T, false>(x, g, panel, w, out, ld, folded, sums, tick);
    }
}

// ---- many weights at once ----------------------------------------------------------------------------------------

// out[pair(i, j), c] += sum_k x_i[k] x_j[k] weights[k, c] for i <= j: the products of two columns against every weight is
// one matrix product, dense however narrow the design.  weights: panels of PANEL registers, `wide` columns in whole registers.
template <class R, class T>
inline void gram_of_weights(const Panels<T>& x, const T* weights, int wide, T* products, double* out) {
    typedef T Few __attribute__((vector_size(TALL * sizeof(T))));
    const int rows = x.rows;
    for (int gi = 0; gi < x.count(); ++gi)
        for (int i = 0; i < x.used(gi); ++i)
            for (int gj = gi; gj < x.count(); ++gj)
                for (int j = gj == gi ? i : 0, n; j < x.used(gj); j += n, out += int64_t(n) * wide) {
                    n = std::min(TALL, x.used(gj) - j);
                    const T *a = x.panel(gi) + i, *b = x.panel(gj) + j;
                    for (int k = 0; k < rows; ++k) {
                        Few few;
                        std::memcpy(&few, b + int64_t(k) * ROW<T>, sizeof few);
                        few *= a[int64_t(k) * ROW<T>];
                        std::memcpy(products + int64_t(k) * TALL, &few, sizeof few);
                    }
                    for (int c = 0; c < wide; c += ROW<T>)
                        tile_of<R, T, TALL>(std::min((wide - c) / LANES<T>, PANEL), n, weights + int64_t(c) * rows, products, nullptr, rows, out + c, wide);
                }
}

}  // namespace
