// The inverse of a positive matrix over some of its coordinates, which come and go a few at a time: each batch costs a product and an
// update of low rank (the sweep operator by blocks: Goodnight 1979, Am. Stat. 33, doi:10.1080/00031305.1979.10482685).
#pragma once
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>
#include "core.hpp"
#include "gram.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

constexpr int BATCH = 24;        // coordinates that come or go at once
constexpr int64_t SHARE = 64;    // rows, a whole number of fours, of one thread at a time
constexpr double WORTH = 1e5;    // multiplications from which threads are worth their waking
constexpr double OWN = 1e-10;    // share of a coordinate's own length that the others must leave it

// out[i][t] = a_i'g_t for four rows a and three vectors g that end in zeros; n is a whole number of registers
template <class R, class T> ETAMU_INLINE void products(const T* a, int64_t lda, const T* g, int64_t ldg, int n, double out[4][3]) {
    R s[4][3] = {};
    for (int k = 0; k < n; k += LANES<T>) {
        const R u[3] = {load(g + k), load(g + ldg + k), load(g + 2 * ldg + k)};
        for (int i = 0; i < 4; ++i) {
            R x = load(a + i * lda + k);
            ETAMU_KEEP(x);
            for (int t = 0; t < 3; ++t) s[i][t] += x * u[t];
        }
    }
    for (int i = 0; i < 4; ++i) for (int t = 0; t < 3; ++t) out[i][t] = sum(s[i][t]);
}

// four rows of p, from p on, += sums of the rows of u, row i of `count` times f[t][i]; n is a whole number of registers
template <class R, class T> ETAMU_INLINE void add_rows(T* p, int64_t ldp, const T* u, int64_t ldu, const T f[][4], int count, int n) {
    constexpr int lanes = LANES<T>;
    int k = 0;
    for (; k + 3 * lanes <= n; k += 3 * lanes) {
        R s[4][3];
        for (int i = 0; i < 4; ++i) for (int c = 0; c < 3; ++c) s[i][c] = load(p + i * ldp + k + c * lanes);
        for (int t = 0; t < count; ++t) {
            const T* row = u + t * ldu + k;
            const R x[3] = {load(row), load(row + lanes), load(row + 2 * lanes)};
            for (int i = 0; i < 4; ++i)
                for (int c = 0; c < 3; ++c) s[i][c] += x[c] * f[t][i];
        }
        for (int i = 0; i < 4; ++i) for (int c = 0; c < 3; ++c) std::memcpy(p + i * ldp + k + c * lanes, &s[i][c], sizeof(R));
    }
    for (; k < n; k += lanes) {
        R s[4];
        for (int i = 0; i < 4; ++i) s[i] = load(p + i * ldp + k);
        for (int t = 0; t < count; ++t) {
            const R x = load(u + t * ldu + k);
            for (int i = 0; i < 4; ++i) s[i] += x * f[t][i];
        }
        for (int i = 0; i < 4; ++i) std::memcpy(p + i * ldp + k, &s[i], sizeof(R));
    }
}

// a'b, its sum in doubles
inline double dot(const float* a, const float* b, int64_t n) {
    V s{}, t{};
    int64_t k = 0;
    for (; k + 2 * L <= n; k += 2 * L) s += wide(a + k) * wide(b + k), t += wide(a + k + L) * wide(b + k + L);
    double total = sum(s + t);
    for (; k < n; ++k) total += double(a[k]) * b[k];
    return total;
}

// Of numbers as exact as the matrix's: those of floats serve conjugate gradients as well.
template <class T> struct Inverted {
    Inverse& v;
    const T* const h;
    const int64_t ld;
    const double* const l2;
    const Crew crew;

    using R = std::conditional_t<std::is_same_v<T, float>, F, V>;

    std::unique_ptr<T[]>& numbers() const {
        if constexpr (std::is_same_v<T, float>) return v.floats;
        else return v.doubles;
    }
    int size() const { return int(v.members.size()); }
    T* row(int i) const { return numbers().get() + int64_t(i) * v.ld; }
    double entry(int a, int b) const { return double(h[int64_t(a) * ld + b]) + (a == b ? l2[a] : 0.0); }

    void clear(int coordinates) {
        v.members.clear();
        v.place.assign(size_t(coordinates), -1);
    }

    static int64_t whole(int n) { return (n + LANES<T> - 1) / LANES<T> * LANES<T>; }

    // Memory for more coordinates; what is read beyond the last one is 0.
    void room(int more) {
        const int64_t wanted = whole(size() + more) + 8;
        if (wanted <= v.ld && numbers()) return;
        const int64_t larger = whole(int(2 * wanted));
        std::unique_ptr<T[]> p(new T[size_t(larger * larger)]);  // not set: fresh pages cost more than what is kept
        for (int i = 0; i < size(); ++i) std::copy(row(i), row(i) + whole(size()), p.get() + i * larger);
        numbers().swap(p);
        v.ld = larger;
    }

    // out = P x
    void times(const double* x, double* out) const {
        const int n = size();
        const std::vector<T> own(x, x + n);
        crew(n, SHARE, double(n) * n > WORTH, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) out[i] = dot(row(int(i)), own.data(), n);
        });
    }

    // P += sign * U'(M U) for `count` rows of U, of `size()` numbers each, in steps of `at`
    void update(const T* u, const double* m, int count, int64_t at, double sign, std::vector<T>& mu) const {
        const int n = size();
        mu.assign(size_t(count) * size_t(at), T(0));
        for (int t = 0; t < count; ++t)
            for (int r = 0; r < count; ++r) {
                const T f = T(m[t * BATCH + r]);
                T* to = mu.data() + int64_t(t) * at;
                const T* from = u + int64_t(r) * at;
                for (int k = 0; k < n; ++k) to[k] += f * from[k];
            }
        crew(n, SHARE, double(n) * n * count > WORTH, [&](int64_t first, int64_t last) {
            T f[BATCH][4];
            for (int64_t i = first; i < last; i += 4) {  // rows beyond the last are room, as are their ends
                for (int t = 0; t < count; ++t) for (int r = 0; r < 4; ++r) f[t][r] = i + r < n ? T(sign) * mu[size_t(t * at + i + r)] : T(0);
                add_rows<R, T>(row(int(i)), v.ld, u, at, f, count, int(at));
            }
        });
    }

    // The inverse of those rows of the small matrix a that are not nearly combinations of others, and which they are
    static int small_inverse(const double* a, int count, const double* own, int* kept, double* m, double* least = nullptr) {
        int n = 0;
        double u[BATCH];
        for (int c = 0; c < count; ++c) {
            double left = a[c * BATCH + c];
            for (int i = 0; i < n; ++i) {
                u[i] = 0;
                for (int k = 0; k < n; ++k) u[i] += m[i * BATCH + k] * a[kept[k] * BATCH + c];
            }
            for (int i = 0; i < n; ++i) left -= u[i] * a[kept[i] * BATCH + c];
            if (least && own[c] > 0) *least = std::min(*least, std::max(left, 0.0) / own[c]);
            if (!(left > OWN * own[c])) continue;
            for (int i = 0; i < n; ++i) for (int k = 0; k < n; ++k) m[i * BATCH + k] += u[i] * u[k] / left;
            for (int i = 0; i < n; ++i) m[i * BATCH + n] = m[n * BATCH + i] = -u[i] / left;
            m[n * BATCH + n] = 1 / left;
            kept[n++] = c;
        }
        return n;
    }

    // Takes coordinates in; those that are nearly combinations of others stay out.
    void insert(const int* wanted, int total) {
        room(total);
        std::vector<T> g, u, mu;
        for (int first = 0; first < total; first += BATCH) {
            const int count = std::min(BATCH, total - first), n = size(), filled = (count + 2) / 3 * 3;
            const int64_t at = whole(n);
            const int* in = wanted + first;
            g.assign(size_t(filled) * size_t(at), T(0));
            u.assign(size_t(filled) * size_t(at), T(0));
            for (int t = 0; t < count; ++t)
                for (int i = 0; i < n; ++i) g[size_t(t * at + i)] = h[int64_t(in[t]) * ld + v.members[size_t(i)]];
            crew(n, SHARE, double(n) * n * count > WORTH, [&](int64_t low, int64_t high) {
                for (int64_t i = low; i < high; i += 4)
                    for (int t = 0; t < filled; t += 3) {
                        double out[4][3];
                        products<R, T>(row(int(i)), v.ld, &g[size_t(t * at)], at, int(at), out);
                        for (int64_t r = 0; r < std::min<int64_t>(4, n - i); ++r) for (int s = 0; s < 3; ++s) u[size_t((t + s) * at + i + r)] = T(out[r][s]);
                    }
            });
            double a[BATCH * BATCH], m[BATCH * BATCH], own[BATCH];
            int kept[BATCH];
            for (int t = 0; t < count; ++t) {
                own[t] = entry(in[t], in[t]);
                for (int r = 0; r <= t; ++r) a[t * BATCH + r] = a[r * BATCH + t] = entry(in[t], in[r]) - dot(&g[size_t(t * at)], &u[size_t(r * at)], n);
            }
            const int stays = small_inverse(a, count, own, kept, m, &v.least);
            if (!stays) continue;
            for (int t = 0; t < stays; ++t)
                if (kept[t] != t) std::copy(&u[size_t(kept[t] * at)], &u[size_t(kept[t] * at)] + n, &u[size_t(t * at)]);
            update(u.data(), m, stays, at, 1.0, mu);
            const int64_t end = whole(n + stays);
            for (int i = 0; i < n; ++i) {
                T* p = row(i);
                for (int t = 0; t < stays; ++t) p[n + t] = -mu[size_t(t * at + i)];
                std::fill(p + n + stays, p + end, T(0));
            }
            for (int t = 0; t < stays; ++t) {
                T* p = row(n + t);
                for (int i = 0; i < n; ++i) p[i] = -mu[size_t(t * at + i)];
                for (int r = 0; r < stays; ++r) p[n + r] = T(m[t * BATCH + r]);
                std::fill(p + n + stays, p + end, T(0));
            }
            for (int t = 0; t < stays; ++t) {
                v.place[size_t(in[kept[t]])] = n + t;
                v.members.push_back(in[kept[t]]);
            }
        }
    }

    void exchange(int i, int j) {
        if (i == j) return;
        std::swap_ranges(row(i), row(i) + size(), row(j));
        for (int k = 0; k < size(); ++k) std::swap(row(k)[i], row(k)[j]);
        std::swap(v.members[size_t(i)], v.members[size_t(j)]);
        std::swap(v.place[size_t(v.members[size_t(i)])], v.place[size_t(v.members[size_t(j)])]);
    }

    // Lets coordinates go
    void erase(const int* gone, int total) {
        std::vector<T> u, mu;
        for (int first = 0; first < total; first += BATCH) {
            const int count = std::min(BATCH, total - first), n = size() - count;
            for (int t = 0; t < count; ++t) exchange(v.place[size_t(gone[first + t])], size() - 1 - t);
            const int64_t at = whole(n);
            u.assign(size_t(count) * size_t(at), T(0));
            double a[BATCH * BATCH], m[BATCH * BATCH], own[BATCH];
            int kept[BATCH];
            for (int t = 0; t < count; ++t) {
                const T* p = row(n + t);
                std::copy(p, p + n, &u[size_t(t * at)]);
                for (int r = 0; r < count; ++r) a[t * BATCH + r] = p[n + r];
                own[t] = 0;
                v.place[size_t(v.members[size_t(n + t)])] = -1;
            }
            v.members.resize(size_t(n));
            const int stays = small_inverse(a, count, own, kept, m);
            for (int t = 0; t < stays; ++t)
                if (kept[t] != t) std::copy(&u[size_t(kept[t] * at)], &u[size_t(kept[t] * at)] + n, &u[size_t(t * at)]);
            update(u.data(), m, stays, at, -1.0, mu);
        }
    }
};

}  // namespace
