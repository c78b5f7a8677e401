// X' diag(w) X of a packed block, in two shapes.
//
// Narrow designs: lanes run along the rows, so nothing is rearranged, and the partial sums in each register meet once per
// (long) block.  Wide designs: a register holds neighbouring columns of one weighted row and meets one broadcast element of
// another column; turning the panel costs O(p) a row, and the tile leaves the registers without a horizontal sum.
#pragma once
#include "vec.hpp"

namespace {

constexpr int NARROW = 96;  // columns up to which the first shape is the faster
constexpr int PANEL = 3;  // registers of a tile's row
#if ETAMU_BYTES == 64
constexpr int TALL = 8;   // 24 accumulators of 32 registers
#else
constexpr int TALL = 4;   // 12 of 16
#endif
inline int padded_columns(int columns) { constexpr int w = PANEL * 2 * L; return (columns + w - 1) / w * w; }

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

// ---- narrow: lanes along the rows --------------------------------------------------------------------------------

// lane i of the result is the sum of v[i]
ETAMU_INLINE V sum_each(V* v) {
    for (int i = 0; i < L; i += 2) { swap<1>(v[i], v[i + 1]); v[i] += v[i + 1]; }
    if constexpr (L >= 4) for (int i = 0; i < L; i += 4) { swap<2>(v[i], v[i + 2]); v[i] += v[i + 2]; }
    if constexpr (L >= 8) { swap<4>(v[0], v[4]); v[0] += v[4]; }
    return v[0];
}

// Four weighted columns `a` against N columns `b`; the first `below + i` columns of row i lie under the diagonal.
template <int N> __attribute__((noinline)) void lane_tile(const double* a, const double* b, int rows, int m, int below, double* out, int64_t ld) {
    V acc[4][N] = {};
    for (int k = 0; k < rows; k += L) {
        V left[4];
        for (int i = 0; i < 4; ++i) left[i] = load(a + i * rows + k);
        for (int j = 0; j < N; ++j) {
            V right = load(b + j * int64_t(rows) + k);
            for (int i = 0; i < 4; ++i) acc[i][j] += left[i] * right;
        }
    }
    constexpr int all_sums = 4 * N, whole = (all_sums + L - 1) / L * L;
    double flat[whole];
    for (int g = 0; g < whole; g += L) {
        V v[L];
        for (int s = 0; s < L; ++s) v[s] = g + s < all_sums ? acc[(g + s) / N][(g + s) % N] : V{};
        store(flat + g, sum_each(v));
    }
    for (int i = 0; i < m; ++i)
        for (int j = below + i > 0 ? below + i : 0; j < N; ++j) out[i * ld + j] += flat[i * N + j];
}

template <class Tick>
inline void narrow_gram(const double* x, const double* w, int columns, int rows, double* panel, double* out, int64_t ld, Tick tick) {
    constexpr int most = L == 8 ? 6 : 3;
    for (int i = 0; i < columns; i += 4) {
        int m = columns - i < 4 ? columns - i : 4;
        for (int s = 0; s < 4; ++s)
            for (int k = 0; k < rows; k += L)
                store(panel + s * rows + k, s < m ? load(w + k) * load(x + (i + s) * int64_t(rows) + k) : V{});
        for (int j = i; j < columns; j += most) {
            tick();
            const double* b = x + j * int64_t(rows);
            double* corner = out + i * ld + j;
            switch (columns - j < most ? columns - j : most) {
                case 1: lane_tile<1>(panel, b, rows, m, i - j, corner, ld); break;
                case 2: lane_tile<2>(panel, b, rows, m, i - j, corner, ld); break;
                case 3: lane_tile<3>(panel, b, rows, m, i - j, corner, ld); break;
                case 4: lane_tile<(most < 4 ? 3 : 4)>(panel, b, rows, m, i - j, corner, ld); break;
                case 5: lane_tile<(most < 5 ? 3 : 5)>(panel, b, rows, m, i - j, corner, ld); break;
                default: lane_tile<most>(panel, b, rows, m, i - j, corner, ld);
            }
        }
    }
}

// ---- wide: outer products ----------------------------------------------------------------------------------------

ETAMU_INLINE void add_to(double* out, V v) { store(out, load(out) + v); }
ETAMU_INLINE void add_to(double* out, F f) {
    H half[2];
    std::memcpy(half, &f, sizeof f);
    add_to(out, __builtin_convertvector(half[0], V));
    add_to(out + L, __builtin_convertvector(half[1], V));
}

// out[j, i] += sum_k x_j[k] a[k, i] for N columns j and the S registers of i that start at `a`
template <class R, class T, int S, int N>
__attribute__((noinline)) void tile(const T* a, const T* x, int rows, double* out, int64_t ld) {
    constexpr int lanes = sizeof(R) / sizeof(T);
    R acc[N][S] = {};
    for (int k = 0; k < rows; ++k) {
        R left[S];
        for (int s = 0; s < S; ++s) left[s] = load(a + int64_t(k) * PANEL * lanes + s * lanes);
        for (int j = 0; j < N; ++j) {
            T right = x[j * int64_t(rows) + k];
            for (int s = 0; s < S; ++s) acc[j][s] += left[s] * right;
        }
    }
    for (int j = 0; j < N; ++j)
        for (int s = 0; s < S; ++s) add_to(out + j * ld + s * lanes, acc[j][s]);
}

template <class R, class T, int S>
inline void tile_column(int n, const T* a, const T* x, int rows, double* out, int64_t ld) {
    switch (n) {
#if ETAMU_BYTES == 64
        case 8: return tile<R, T, S, 8>(a, x, rows, out, ld);
        case 7: return tile<R, T, S, 7>(a, x, rows, out, ld);
        case 6: return tile<R, T, S, 6>(a, x, rows, out, ld);
        case 5: return tile<R, T, S, 5>(a, x, rows, out, ld);
#endif
        case 4: return tile<R, T, S, 4>(a, x, rows, out, ld);
        case 3: return tile<R, T, S, 3>(a, x, rows, out, ld);
        case 2: return tile<R, T, S, 2>(a, x, rows, out, ld);
        case 1: return tile<R, T, S, 1>(a, x, rows, out, ld);
    }
}

ETAMU_INLINE void narrow_store(double* p, V v) { store(p, v); }
ETAMU_INLINE void narrow_store(float* p, V v) { store(p, __builtin_convertvector(v, H)); }

// panel[k, i] = w[k] x_i[k]: the weighted columns of one panel, turned so that a row of them is contiguous
template <class T> inline void weigh(const double* x, const double* w, int columns, int rows, int used, int width, T* panel) {
    for (int i = 0; i < used; i += L)
        for (int k = 0; k < rows; k += L) {
            V v[L], weight = load(w + k);
            for (int s = 0; s < L; ++s) v[s] = i + s < columns ? load(x + (i + s) * int64_t(rows) + k) * weight : V{};
            transpose(v);
            for (int s = 0; s < L; ++s) narrow_store(panel + int64_t(k + s) * width + i, v[s]);
        }
}

// out[j, i] += sum_k w[k] x_j[k] x_i[k] for i >= j.  Entries under the diagonal and in columns past `columns` are
// scribbled on within the register that holds the diagonal: `ld` is `columns` rounded up to whole panels.
// x: the block in doubles; b: the same block in T.
template <class R, class T>
inline void gram(const double* x, const T* b, const double* w, int columns, int rows, T* panel, double* out, int64_t ld) {
    constexpr int lanes = sizeof(R) / sizeof(T), width = PANEL * lanes;
    for (int i = 0; i < columns; i += width) {
        int last = columns - i < width ? columns - i : width;
        int registers = (last + lanes - 1) / lanes;
        weigh(x + i * int64_t(rows), w, last, rows, registers * lanes, width, panel);
        for (int j = 0; j < i + last; j += TALL) {
            int n = i + last - j < TALL ? i + last - j : TALL;
            int skip = j > i ? (j - i) / lanes : 0;  // registers wholly under the diagonal
            const T* a = panel + skip * lanes;
            double* corner = out + j * ld + i + skip * lanes;
            switch (registers - skip) {
                case 3: tile_column<R, T, 3>(n, a, b + j * int64_t(rows), rows, corner, ld); break;
                case 2: tile_column<R, T, 2>(n, a, b + j * int64_t(rows), rows, corner, ld); break;
                case 1: tile_column<R, T, 1>(n, a, b + j * int64_t(rows), rows, corner, ld); break;
            }
        }
    }
}

// ---- many weights at once ----------------------------------------------------------------------------------------

// out[pair(i, j), c] += sum_k x_i[k] x_j[k] weights[k, c] for i <= j: the products of two columns against every weight is
// one matrix product, dense however narrow the design.  weights: [k][wide], a whole number of registers.
template <class R, class T>
inline void gram_of_weights(const T* x, const T* weights, int columns, int rows, int wide, T* products, double* out) {
    constexpr int lanes = sizeof(R) / sizeof(T);
    int filled = 0;
    double* corner = out;
    auto flush = [&] {
        for (int c = 0; c < wide; c += PANEL * lanes) {
            const T* a = weights + c * int64_t(rows);  // panels of PANEL registers lie one after another
            int registers = (wide - c) / lanes < PANEL ? (wide - c) / lanes : PANEL;
            switch (registers) {
                case 3: tile_column<R, T, 3>(filled, a, products, rows, corner + c, wide); break;
                case 2: tile_column<R, T, 2>(filled, a, products, rows, corner + c, wide); break;
                case 1: tile_column<R, T, 1>(filled, a, products, rows, corner + c, wide); break;
            }
        }
        corner += int64_t(filled) * wide;
        filled = 0;
    };
    for (int i = 0; i < columns; ++i)
        for (int j = i; j < columns; ++j) {
            const T *a = x + i * int64_t(rows), *b = x + j * int64_t(rows);
            T* to = products + filled * int64_t(rows);
            for (int k = 0; k < rows; ++k) to[k] = a[k] * b[k];
            if (++filled == TALL) flush();
        }
    if (filled) flush();
}

}  // namespace
