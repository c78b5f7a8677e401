// X' diag(w) X of a packed block by outer products: a register holds neighbouring columns of one weighted row, which
// meets one broadcast element of another column; the tile of accumulators is written out once per block.
#pragma once
#include "vec.hpp"

namespace {

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

ETAMU_INLINE void transpose(V* v) {
    if constexpr (L >= 8) for (int i = 0; i < L; ++i) if (!(i & 4)) swap<4>(v[i], v[i + 4]);
    if constexpr (L >= 4) for (int i = 0; i < L; ++i) if (!(i & 2)) swap<2>(v[i], v[i + 2]);
    for (int i = 0; i < L; i += 2) swap<1>(v[i], v[i + 1]);
}

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
template <class T> inline void weigh(const double* x, const double* w, int columns, int rows, int width, T* panel) {
    for (int i = 0; i < width; i += L)
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
        weigh(x + i * int64_t(rows), w, last, rows, width, panel);
        int registers = (last + lanes - 1) / lanes;
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

}  // namespace
