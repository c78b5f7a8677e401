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

typedef int16_t S16 __attribute__((vector_size(ETAMU_BYTES / 2)));  // as many as F has floats
typedef int32_t S32 __attribute__((vector_size(ETAMU_BYTES)));

constexpr int64_t CHUNK = 1024;  // rows whose products are summed in floats

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
                for (int k = 0; k < count; ++k) out[first + k] = int16_t(std::lrint(x[k] * per));
            }
        }
    }
    *squares = total;
    return largest / 32767;
}

// sum_k x_k v_k for a column in 16 bits; both are padded with zeros to whole registers
double scan(const int16_t* x, const float* v, int64_t rows) {
    constexpr int N = ETAMU_BYTES / 4;
    double total = 0;
    for (int64_t first = 0; first < rows; first += CHUNK) {
        const int64_t stop = std::min(first + CHUNK, rows);
        F a{}, b{}, c{}, d{};
        int64_t k = first;
        auto part = [&](int64_t at) {
            S16 s;
            std::memcpy(&s, x + at, sizeof s);
            return __builtin_convertvector(__builtin_convertvector(s, S32), F) * load(v + at);
        };
        for (; k + 4 * N <= stop; k += 4 * N) { a += part(k); b += part(k + N); c += part(k + 2 * N); d += part(k + 3 * N); }
        for (; k < stop; k += N) a += part(k);
        F s = (a + b) + (c + d);
        for (int i = 0; i < N; ++i) total += s[i];
    }
    return total;
}

// out[i] += sum_k x_ik v_k over n rows from `first` on; four columns share each reading of v
void add_products(const double* const* x, const double* v, int count, int64_t first, int64_t n, double* out) {
    const double* u = v + first;
    for (int i = 0; i < count; i += 4) {
        const int many = std::min(4, count - i);
        const double* c[4];
        for (int r = 0; r < 4; ++r) c[r] = x[i + std::min(r, many - 1)] + first;
        V s[4][2] = {};
        int64_t k = 0;
        for (; k + 2 * L <= n; k += 2 * L)
            for (int h = 0; h < 2; ++h) {
                const V w = load(u + k + h * L);
                for (int r = 0; r < 4; ++r) s[r][h] += load(c[r] + k + h * L) * w;
                for (int r = 0; r < 4; ++r) __builtin_prefetch(c[r] + k + h * L + n, 0, 2);
            }
        double total[4];
        for (int r = 0; r < 4; ++r) total[r] = sum(s[r][0] + s[r][1]);
        for (; k < n; ++k) for (int r = 0; r < 4; ++r) total[r] += c[r][k] * u[k];
        for (int r = 0; r < many; ++r) out[i + r] += total[r];
    }
}

// The same of floats, multiplied as such: n is at most CHUNK
void add_products_of_floats(const float* const* x, const double* v, int count, int64_t first, int64_t n, double* out) {
    constexpr int N = ETAMU_BYTES / 4;
    alignas(64) float u[CHUNK];
    for (int64_t k = 0; k < n; ++k) u[k] = float(v[first + k]);
    for (int i = 0; i < count; i += 4) {
        const int many = std::min(4, count - i);
        const float* c[4];
        for (int r = 0; r < 4; ++r) c[r] = x[i + std::min(r, many - 1)] + first;
        F s[4][2] = {};
        int64_t k = 0;
        for (; k + 2 * N <= n; k += 2 * N)
            for (int h = 0; h < 2; ++h) {
                const F w = load(u + k + h * N);
                for (int r = 0; r < 4; ++r) s[r][h] += load(c[r] + k + h * N) * w;
                for (int r = 0; r < 4; ++r) __builtin_prefetch(c[r] + k + h * N + n, 0, 2);
            }
        for (int r = 0; r < many; ++r) {
            double total = sum(s[r][0] + s[r][1]);
            for (int64_t e = k; e < n; ++e) total += double(c[r][e]) * u[e];
            out[i + r] += total;
        }
    }
}

// A register of weights of type W and one of the column entries that meet it
template <class W> struct Lane { using Register = F; ETAMU_INLINE F of(const float* x) { return load(x); } };
template <> struct Lane<double> { using Register = V; template <class C> ETAMU_INLINE V of(const C* x) { return wide(x); } };

// out[i][j] += sum_k a_ik x_jk for four rows of weighted columns and three columns
template <class C, class W> ETAMU_INLINE void tile(const W* const a[4], const C* const x[3], int64_t n, double out[4][3]) {
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
    for (int i = 0; i < 4; ++i) for (int j = 0; j < 3; ++j) out[i][j] += sum(acc[i][j]);
}

// g[i][j] = sum_k w_k x_ik x_jk for i in [first, last), j <= i: products of the weights' type, their sums over a run of rows in doubles;
// columns are padded with zeros to whole registers
template <class C, class W> void gram_columns(const C* const* x, const W* w, int64_t rows, int first, int last, double* g, int64_t ld) {
    constexpr int64_t MOST = 1024, N = ETAMU_BYTES / 4;
    const int64_t RUN = last > 256 ? MOST / 2 : MOST;  // so that all columns of a run stay in the second-level cache
    alignas(64) W weighted[4][MOST];
    for (int i = first; i < last; ++i) std::fill(g + i * ld, g + i * ld + i + 1, 0.0);
    for (int64_t start = 0; start < rows; start += RUN) {
        const int64_t n = std::min(RUN, (rows - start + N - 1) / N * N);
        for (int i = first; i < last; i += 4) {
            const int high = std::min(4, last - i);
            const W* a[4];
            for (int r = 0; r < 4; ++r) {
                a[r] = weighted[r];
                const C* from = x[i + std::min(r, high - 1)] + start;
                for (int64_t k = 0; k < n; ++k) weighted[r][k] = W(from[k]) * w[start + k];
            }
            for (int j = 0; j < i + high; j += 3) {
                const int wide = std::min(3, i + high - j);
                const C* c[3];
                for (int r = 0; r < 3; ++r) c[r] = x[j + std::min(r, wide - 1)] + start;
                double out[4][3] = {};
                tile(a, c, n, out);
                for (int r = 0; r < high; ++r)
                    for (int t = 0; t < wide; ++t) if (j + t <= i + r) g[(i + r) * ld + j + t] += out[r][t];
            }
        }
    }
}

// out[k] += sum_j b_j x_jk over rows [first, last), in doubles: what is added up move by move must stay that of the coefficients
template <class T> void add_columns(const T* const* x, const double* b, int count, int64_t first, int64_t last, double* out) {
    constexpr int64_t RUN = 1024;
    for (int64_t start = first; start < last; start += RUN) {
        const int64_t stop = std::min(start + RUN, last);
        int j = 0;
        for (; j + 4 <= count; j += 4) {
            const T *p = x[j], *q = x[j + 1], *r = x[j + 2], *s = x[j + 3];
            for (int64_t k = start; k < stop; ++k) out[k] += (b[j] * p[k] + b[j + 1] * q[k]) + (b[j + 2] * r[k] + b[j + 3] * s[k]);
        }
        for (; j < count; ++j) for (int64_t k = start; k < stop; ++k) out[k] += b[j] * x[j][k];
    }
}

}  // namespace
