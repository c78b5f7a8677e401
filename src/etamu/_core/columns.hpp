// Columns one by one, for designs with more of them than rows: a scan in 16 bits that says which columns matter, and exact
// products of the few that do.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"
#include "pack.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

// A column in 16 bits: x ~ unit * out.  Returns unit; `squares` is the sum of x^2.
double quantise(const Column& column, int64_t rows, int16_t* out, double* squares) {
    alignas(64) double x[CHUNK];
    double largest = 0, total = 0;
    for (int pass = 0; pass < 2; ++pass) {
        const double per = largest > 0 ? 32767 / largest : 0;
        for (int64_t first = 0; first < rows; first += CHUNK) {
            const int count = int(std::min(CHUNK, rows - first));
            gather_column(column, first, count, x);
            if (pass == 0) {
                V top{}, sum_v{};
                std::fill(x + count, x + (count + L - 1) / L * L, 0.0);
                for (int k = 0; k < count; k += L) { V v = load(x + k); top = max(abs(v), top); sum_v += v * v; }
                for (int s = 0; s < L; ++s) largest = std::max(largest, top[s]);
                total += sum(sum_v);
            } else {
                for (int k = 0; k < count; ++k) {
                    const double whole = x[k] * per + MAGIC;
                    int64_t bits;
                    std::memcpy(&bits, &whole, sizeof bits);
                    out[first + k] = int16_t(bits);
                }
            }
        }
    }
    *squares = total;
    return largest / 32767;
}

// x as floats, past the caches: they are read again when others have filled these.  Whole registers; both aligned to them.  Whether all are finite.
bool send(const double* x, int64_t n, float* out) {
    constexpr double LARGEST = 3.4028234663852886e38;
    V largest{}, strange{};
    for (int64_t k = 0; k < n; k += 2 * L) {
        const V low = load(x + k), high = load(x + k + L);
        largest = max(max(abs(low), abs(high)), largest);
        strange += 0.0 * low + 0.0 * high;
#if defined(__AVX512F__)
        _mm512_stream_ps(out + k, _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(_mm512_load_pd(x + k))), _mm512_cvtpd_ps(_mm512_load_pd(x + k + L)), 1));
#elif defined(__AVX2__)
        _mm256_stream_ps(out + k, _mm256_set_m128(_mm256_cvtpd_ps(_mm256_load_pd(x + k + L)), _mm256_cvtpd_ps(_mm256_load_pd(x + k))));
#else
        for (int64_t i = k; i < k + 2 * L; ++i) out[i] = float(x[i]);
#endif
    }
#if defined(__AVX2__)
    _mm_sfence();
#endif
    for (int i = 0; i < L; ++i) if (!(largest[i] <= LARGEST)) return false;
    return sum(strange) == 0;
}

// out[i] = sum_k x_ik v_k for four columns in 16 bits; all are padded with zeros to whole cache lines.  Those that
// come `next` are asked for
void scan(const int16_t* const x[4], const int16_t* const next[4], const float* v, int64_t rows, double out[4]) {
    constexpr int N = ETAMU_BYTES / 4, LINE = 32;
    for (int i = 0; i < 4; ++i) out[i] = 0;
    for (int64_t first = 0; first < rows; first += CHUNK) {
        const int64_t stop = std::min(first + CHUNK, rows);
        F s[4][2] = {};
        for (int64_t k = first; k < stop; k += LINE) {
            for (int i = 0; i < 4; ++i) __builtin_prefetch(next[i] + k, 0, 3);
            for (int64_t at = k; at < k + LINE; at += 2 * N) {
                const F low = load(v + at), high = load(v + at + N);
                for (int i = 0; i < 4; ++i) s[i][0] += floats(x[i] + at) * low, s[i][1] += floats(x[i] + at + N) * high;
            }
        }
        add_sums(s[0][0] + s[0][1], s[1][0] + s[1][1], s[2][0] + s[2][1], s[3][0] + s[3][1], out);
    }
}

// out[i][t] = sum_k x_ik u_tk over n rows, for C columns and N vectors of the columns' type; the columns that come next are asked for
template <class T, int N, int C> ETAMU_INLINE void products_of(const T* const* c, const T* const* next, const T* const* u, int64_t n, double (*out)[4]) {
    using R = std::conditional_t<std::is_same_v<T, float>, F, V>;
    constexpr int WIDE = ETAMU_BYTES / int(sizeof(T)), TWICE = N == 1 ? 2 : 1;  // registers of sums enough to hide each other's delay
    R s[TWICE][N][C] = {};
    int64_t k = 0;
    for (; k + TWICE * WIDE <= n; k += TWICE * WIDE) {
        for (int h = 0; h < TWICE; ++h) {
            const int64_t at = k + h * WIDE;
            R w[C];
            for (int r = 0; r < C; ++r) w[r] = load(c[r] + at);
            for (int t = 0; t < N; ++t) {
                R v = load(u[t] + at);
                if (N > 1) ETAMU_KEEP(v);
                for (int r = 0; r < C; ++r) s[h][t][r] += w[r] * v;
            }
        }
        for (int h = 0; h < TWICE; ++h) for (int r = 0; r < C; ++r) __builtin_prefetch(next[r] + k + h * WIDE, 0, 3);
    }
    if (TWICE == 2) for (int t = 0; t < N; ++t) for (int r = 0; r < C; ++r) s[0][t][r] += s[TWICE - 1][t][r];
    for (int r = 0; r < 4; ++r) for (int t = 0; t < 4; ++t) out[r][t] = 0;
    for (int r = 0; r < C; ++r) add_sums(s[0][0][r], s[0][N > 1 ? 1 : 0][r], s[0][N > 2 ? 2 : 0][r], s[0][N > 3 ? 3 : 0][r], out[r]);
    for (; k < n; ++k) for (int t = 0; t < N; ++t) for (int r = 0; r < C; ++r) out[r][t] += double(c[r][k]) * double(u[t][k]);
}

// What `many` vectors, as four at a time, meet in the columns c, of which `count` are to be added to `out` from the i-th on
template <class T, int C>
void products_with(const T* const* c, const T* const* next, int count, const T* const* u, int many, int64_t n, double* const* out, int i) {
    for (int t = 0; t < many; t += 4) {
        const int few = std::min(4, many - t);
        const T* const* then = t + 4 < many ? c : next;  // asked for once
        double found[4][4];
        if (few == 4) products_of<T, 4, 3>(c, then, u + t, n, found);
        else if (few == 3) products_of<T, 3, C>(c, then, u + t, n, found);
        else if (few == 2) products_of<T, 2, C>(c, then, u + t, n, found);
        else products_of<T, 1, C>(c, then, u + t, n, found);
        for (int s = 0; s < few; ++s) for (int r = 0; r < count; ++r) out[t + s][i + r] += found[r][s];
    }
}

// out[t][i] += sum_k x_ik v_tk over n rows from `first` on, at most CHUNK, which begin `at` entries into the columns: products of the
// columns' type, each column read once for as many v as stay in the cache
template <class T>
void add_products(const T* const* x, int64_t at, int count, const double* const* v, int vectors, int64_t first, int64_t n, double* const* out) {
    constexpr int MOST = 12;
    alignas(64) T u[MOST][CHUNK];
    const T* w[MOST];
    for (int t = 0; t < MOST; ++t) w[t] = u[t];
    for (int begin = 0; begin < vectors; begin += MOST) {
        const int many = std::min(MOST, vectors - begin), C = many < 4 ? 4 : 3;  // columns at once, so that the sums fit 16 registers
        bool none = true;
        for (int t = 0; t < many; ++t) {
            none = none && nothing(v[begin + t] + first, n);
            for (int64_t k = 0; k < n; ++k) u[t][k] = T(v[begin + t][first + k]);
        }
        if (none) continue;
        for (int i = 0; i < count; i += C) {
            const T *c[4], *next[4];
            for (int r = 0; r < C; ++r) c[r] = x[std::min(i + r, count - 1)] + at, next[r] = x[std::min(i + C + r, count - 1)] + at;
            (C == 4 ? products_with<T, 4> : products_with<T, 3>)(c, next, std::min(C, count - i), w, many, n, out + begin, i);
        }
    }
}

// A register of weights of type W and one of the column entries that meet it
template <class W> struct Lane { using Register = F; ETAMU_INLINE F of(const float* x) { return load(x); } };
template <> struct Lane<double> { using Register = V; template <class C> ETAMU_INLINE V of(const C* x) { return wide(x); } };

// out[j][i] += sum_k a_ik x_jk for four rows of weighted columns and three columns
template <class C, class W> ETAMU_INLINE void tile(const W* const a[4], const C* const x[3], int64_t n, double out[3][4]) {
    using R = typename Lane<W>::Register;
    constexpr int N = ETAMU_BYTES / int(sizeof(W));
    R acc[4][3] = {};
    for (int64_t k = 0; k < n; k += N) {
        R u[3] = {Lane<W>::of(x[0] + k), Lane<W>::of(x[1] + k), Lane<W>::of(x[2] + k)};
        for (int i = 0; i < 4; ++i) {
            R v = load(a[i] + k);
            ETAMU_KEEP(v);
            for (int j = 0; j < 3; ++j) acc[i][j] += v * u[j];
        }
    }
    for (int j = 0; j < 3; ++j) add_sums(acc[0][j], acc[1][j], acc[2][j], acc[3][j], out[j]);
}

// g[i][j] = sum_k w_k x_ik x_jk for i in [first, last), j in [low, high), j <= i: products of the weights' type, their sums over a run of
// rows in doubles; columns are padded with zeros to whole registers, and lie in pieces `stride` apart, of whole runs unless there is but one
template <class C, class W> void gram_columns(const C* const* x, int64_t piece, int64_t stride, const W* w, int64_t rows, int first, int last, int low, int high, double* g, int64_t ld) {
    constexpr int64_t RUN = 512, N = ETAMU_BYTES / 4;
    constexpr int GROUP = sizeof(W) == 4 ? 8 : 4;   // rows that stay in the first-level cache beside three columns
    constexpr int BLOCK = sizeof(C) == 4 ? 96 : 48;  // columns that stay in the second while group after group meets them
    alignas(64) W weighted[GROUP][RUN];
    for (int i = std::max(first, low); i < last; ++i) std::fill(g + i * ld + low, g + i * ld + std::min(high, i + 1), 0.0);
    for (int64_t start = 0; start < rows; start += RUN) {
        const int64_t n = std::min(RUN, (rows - start + N - 1) / N * N), at = start / piece * stride + start % piece;
        if (nothing(w + start, n)) continue;
        for (int block = low; block < high; block += BLOCK)
            for (int i = first + std::max(0, (block - first) / GROUP * GROUP); i < last; i += GROUP) {
                const int group = std::min(GROUP, last - i), end = std::min({block + BLOCK, high, i + group});
                const W* a[GROUP];
                for (int r = 0; r < GROUP; ++r) {
                    a[r] = weighted[std::min(r, group - 1)];
                    const C* from = x[i + std::min(r, group - 1)] + at;
                    if (r < group) for (int64_t k = 0; k < n; ++k) weighted[r][k] = W(from[k]) * w[start + k];
                }
                for (int j = block; j < end; j += 3) {
                    const int wide = std::min(3, end - j);
                    const C* c[3];
                    for (int r = 0; r < 3; ++r) c[r] = x[j + std::min(r, wide - 1)] + at;
                    for (int h = 0; h < group; h += 4) {
                        if (j > i + h + 3) continue;  // above the diagonal
                        double out[3][4] = {};
                        tile(a + h, c, n, out);
                        for (int r = h; r < std::min(h + 4, group); ++r)
                            for (int t = 0; t < wide; ++t) if (j + t <= i + r) g[(i + r) * ld + j + t] += out[t][r - h];
                    }
                }
            }
    }
}

// Four rows, whose entries of one column lie together, times S registers of coefficients
template <int S> ETAMU_INLINE void predict_four(const double* four, const double* beta, int p, int64_t wide, double* const* out) {
    V sums[4][S] = {};
    for (int j = 0; j < p; ++j) {
        V b[S];
        for (int s = 0; s < S; ++s) b[s] = load(beta + j * wide + s * L);
        for (int r = 0; r < 4; ++r) {
            const V x = all(four[4 * j + r]);
            for (int s = 0; s < S; ++s) sums[r][s] += x * b[s];
        }
    }
    for (int r = 0; r < 4; ++r) for (int s = 0; s < S; ++s) store(out[r] + s * L, sums[r][s]);
}

// out[k, :] = sum_j x_jk beta[f_k, j, :] for `count` rows from `first` on, f_k being the fold of the k-th of them; rows of none, whose f is
// negative, are left alone.  beta: (folds, p, wide), wide a whole number of registers; out: (count, wide).  x: room for (p, count), four: for (p, 4)
void predict(const Column* columns, int p, int64_t first, int count, const int32_t* fold, int folds, const double* beta, int64_t wide, double* x, double* four, double* out) {
    for (int j = 0; j < p; ++j) gather_column(columns[j], first, count, x + int64_t(j) * count);
    std::vector<int> rows;
    for (int f = 0; f < folds; ++f) {
        rows.clear();
        for (int k = 0; k < count; ++k) if (fold[k] == f) rows.push_back(k);
        for (size_t i = 0; i < rows.size(); i += 4) {
            double* to[4];
            for (int r = 0; r < 4; ++r) {  // the last row again where there are fewer
                const int k = rows[std::min(i + size_t(r), rows.size() - 1)];
                to[r] = out + k * wide;
                for (int j = 0; j < p; ++j) four[4 * j + r] = x[int64_t(j) * count + k];
            }
            const double* own = beta + int64_t(f) * p * wide;
            for (int64_t a = 0; a < wide; a += 3 * L) {
                double* at[4] = {to[0] + a, to[1] + a, to[2] + a, to[3] + a};
                if (wide - a >= 3 * L) predict_four<3>(four, own + a, p, wide, at);
                else if (wide - a == 2 * L) predict_four<2>(four, own + a, p, wide, at);
                else predict_four<1>(four, own + a, p, wide, at);
            }
        }
    }
}

constexpr int TOGETHER = 8;  // columns added while a row's sums are in registers

// out[t][k] = base[t][k] + sum_j b_tj x_jk over n rows for N moves of so many columns, each read once
template <class T, int N>
ETAMU_INLINE void add_some(const T* const* c, const T* const* next, const double (*b)[TOGETHER], int64_t n, const double* const* base, double* const* out) {
    V f[N][TOGETHER];
    for (int t = 0; t < N; ++t) for (int r = 0; r < TOGETHER; ++r) f[t][r] = V{} + b[t][r];
    int64_t k = 0;
    for (; k + L <= n; k += L) {
        V x[TOGETHER];
        for (int r = 0; r < TOGETHER; ++r) x[r] = wide(c[r] + k);
        if (k % (64 / int(sizeof(T))) == 0) for (int r = 0; r < TOGETHER; ++r) __builtin_prefetch(next[r] + k, 0, 3);
        for (int t = 0; t < N; ++t) {
            V sums = load(base[t] + k);
            for (int r = 0; r < TOGETHER; ++r) sums += f[t][r] * x[r];
            std::memcpy(out[t] + k, &sums, sizeof sums);
        }
    }
    for (; k < n; ++k)
        for (int t = 0; t < N; ++t) {
            double sum = base[t][k];
            for (int r = 0; r < TOGETHER; ++r) sum += b[t][r] * double(c[r][k]);
            out[t][k] = sum;
        }
}

template <class T, int N>
void add_with(const T* const* x, int64_t at, const double* const* b, int count, int64_t n, const double* const* base, double* const* out) {
    for (int j = 0; j < count; j += TOGETHER) {
        const T *c[TOGETHER], *next[TOGETHER];
        double f[N][TOGETHER];
        for (int r = 0; r < TOGETHER; ++r) {
            c[r] = x[std::min(j + r, count - 1)] + at, next[r] = x[std::min(j + TOGETHER + r, count - 1)] + at;
            for (int t = 0; t < N; ++t) f[t][r] = j + r < count ? b[t][j + r] : 0.0;
        }
        add_some<T, N>(c, next, f, n, j ? out : base, out);
    }
}

// out[t][k] = base[t][k] + sum_j b_tj x_jk for n rows that begin `at` entries into the columns, in doubles: what is added up move by move
// must stay that of the coefficients.  A base may be its own sum
template <class T>
void add_columns(const T* const* x, int64_t at, const double* const* b, int moves, int count, int64_t n, const double* const* base, double* const* out) {
    constexpr int MOST = 4;
    for (int begin = 0; begin < moves; begin += MOST) {
        const int many = std::min(MOST, moves - begin);
        const auto with = many == 1 ? add_with<T, 1> : many == 2 ? add_with<T, 2> : many == 3 ? add_with<T, 3> : add_with<T, 4>;
        with(x, at, b + begin, count, n, base + begin, out + begin);
        for (int t = begin; !count && t < begin + many; ++t) if (out[t] != base[t]) std::copy(base[t], base[t] + n, out[t]);
    }
}

}  // namespace
