// The inverse of a positive matrix over some of its coordinates, which come and go a few at a time: each batch costs a product and an
// update of low rank (the sweep operator by blocks: Goodnight 1979, Am. Stat. 33, doi:10.1080/00031305.1979.10482685).  Of its rows there is
// what lies before the diagonal: reading it is what all of this waits for.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

constexpr int BATCH = 24;        // coordinates that come or go at once
constexpr int FEW = 2;           // vectors for which a matrix is read once
constexpr int ROWS = Inverse::PANEL;  // that meet many vectors at once: a whole number of registers
constexpr int64_t SHARE = 64;    // rows, a whole number of fours, of one thread at a time
constexpr double WORTH = 1e5;    // multiplications from which threads are worth their waking
constexpr int PARTS = 8;         // of a matrix's rows, each with sums of its own
constexpr double OWN = 1e-10;    // share of a coordinate's own length that the others must leave it

// What four rows of a symmetric matrix, of which they are the part before the diagonal, add to its products with T vectors g: out[t][i] += a_i'g_t,
// and back[t] += sum_i a_i g_ti, g_ti being the entries of g_t that the rows belong to.  n is a whole number of registers
template <int T> ETAMU_INLINE void meet(const double* const a[4], const double* g, int64_t ldg, const double (*own)[4], int n, double (*out)[4], double* back, int64_t ldb) {
    V s[T][4] = {};
    for (int k = 0; k < n; k += L) {
        V x[4];
        for (int i = 0; i < 4; ++i) x[i] = load(a[i] + k);
        for (int t = 0; t < T; ++t) {
            const V u = load(g + t * ldg + k);
            V to = load(back + t * ldb + k);
            for (int i = 0; i < 4; ++i) s[t][i] += x[i] * u, to += x[i] * all(own[t][i]);
            store(back + t * ldb + k, to);
        }
    }
    for (int t = 0; t < T; ++t) add_sums(s[t][0], s[t][1], s[t][2], s[t][3], out[t]);
}

// What four rows have with T vectors g, added to out: their first n numbers in a, and ROWS more in own, which those of g after n meet; n is a whole
// number of registers
template <int T> ETAMU_INLINE void add_dots(const double* const a[4], const double* const own[4], const double* g, int64_t ldg, int n, double* const out[T]) {
    V s[T][4] = {};
    const auto meet = [&](const double* const x[4], const double* with, int count) {
        for (int k = 0; k < count; k += L) {
            V u[T];
            for (int t = 0; t < T; ++t) u[t] = load(with + t * ldg + k);
            for (int i = 0; i < 4; ++i) {
                const V y = load(x[i] + k);
                for (int t = 0; t < T; ++t) s[t][i] += y * u[t];
            }
        }
    };
    meet(a, g, n);
    meet(own, g + n, ROWS);
    for (int t = 0; t < T; ++t) add_sums(s[t][0], s[t][1], s[t][2], s[t][3], out[t]);
}

// four rows of p, from p on, += sums of the rows of u, row i of `count` times f[t][i]; n is a whole number of registers
ETAMU_INLINE void add_rows(double* p, int64_t ldp, const double* u, int64_t ldu, const double f[][4], int count, int n) {
    int k = 0;
    for (; k + 3 * L <= n; k += 3 * L) {
        V s[4][3];
        for (int i = 0; i < 4; ++i) for (int c = 0; c < 3; ++c) s[i][c] = load(p + i * ldp + k + c * L);
        for (int t = 0; t < count; ++t) {
            const double* row = u + t * ldu + k;
            const V x[3] = {load(row), load(row + L), load(row + 2 * L)};
            for (int i = 0; i < 4; ++i) {
                const V y = all(f[t][i]);
                for (int c = 0; c < 3; ++c) s[i][c] += y * x[c];
            }
        }
        for (int i = 0; i < 4; ++i) for (int c = 0; c < 3; ++c) store(p + i * ldp + k + c * L, s[i][c]);
    }
    for (; k < n; k += L) {
        V s[4];
        for (int i = 0; i < 4; ++i) s[i] = load(p + i * ldp + k);
        for (int t = 0; t < count; ++t) {
            const V x = load(u + t * ldu + k);
            for (int i = 0; i < 4; ++i) s[i] += all(f[t][i]) * x;
        }
        for (int i = 0; i < 4; ++i) store(p + i * ldp + k, s[i]);
    }
}

template <class T> struct Inverted {
    Inverse& v;
    const T* const h;
    const int64_t ld;
    const double* const l2;
    const int64_t made;
    const Crew crew;

    int size() const { return int(v.members.size()); }
    double* row(int i) const { return v.row(i); }
    double entry(int a, int b) const { return double(h[int64_t(a) * ld + b]) + (a == b ? l2[a] : 0.0); }

    void clear(int coordinates) {
        v.members.clear();
        v.place.assign(size_t(coordinates), -1);
        v.ridge.assign(size_t(coordinates), 0.0);
        v.made = made;
    }

    static int64_t whole(int n) { return (n + ROWS - 1) / ROWS * ROWS; }

    // u_t = P g_t for `count` vectors of n numbers, the rest up to a whole register being zeros, `at` from one to the next.  Of P only what is
    // before the diagonal is there; each part of the rows, which are as many whatever the threads, has sums of its own
    void times(const double* g, int count, int64_t at, double* u) const {
        const int n = size();
        const int parts = double(n) * n > WORTH ? PARTS : 1;
        const int64_t each = (count > FEW ? (count + 3) / 4 * 4 : count) * at;  // many vectors by fours
        const auto edge = [&](int64_t k) { return k == parts ? n : int(n * std::sqrt(double(k) / parts)) / ROWS * ROWS; };
        const auto used = [&](int64_t k) { return std::min<int64_t>(at, whole(edge(k + 1))); };  // of each vector's sums by a part
        v.sums.resize(size_t(parts * each));
        crew(parts, 1, double(n) * n * count > WORTH, [&](int64_t part, int64_t) {
            double* own = v.sums.data() + part * each;
            for (int64_t t = 0; t < each; t += at) std::fill(own + t, own + t + used(part), 0.0);
            for (int i = edge(part), end = edge(part + 1); i < end; i += ROWS) meet_block(i, std::min(ROWS, end - i), g, count, at, own);
        });
        for (int t = 0; t < count; ++t) {
            double* to = u + t * at;
            std::fill(to, to + at, 0.0);
            for (int part = 0; part < parts; ++part) {
                const double* from = v.sums.data() + part * each + t * at;
                for (int64_t k = 0, end = used(part); k < end; ++k) to[k] += from[k];
            }
        }
    }

    // What rows from the i-th on add to those products
    void meet_block(int i, int rows, const double* g, int count, int64_t at, double* to) const {
        if (count <= FEW) {
            for (int r = 0; r < rows; r += 4) meet_rows(i + r, std::min(4, rows - r), g, count, at, to);
            return;
        }
        alignas(64) double square[ROWS * ROWS] = {};  // on the diagonal, written out
        for (int r = 0; r < rows; ++r) for (int k = 0; k <= r; ++k) square[r * ROWS + k] = square[k * ROWS + r] = row(i + r)[i + k];
        for (int r = 0; r < rows; r += 4) {  // what is beyond the last row is room
            const double *a[4], *own[4];
            for (int k = 0; k < 4; ++k) a[k] = row(i + std::min(r + k, rows - 1)), own[k] = square + (r + k) * ROWS;
            for (int t = 0; t < count; t += 3) {
                double* out[3];
                for (int s = 0; s < 3; ++s) out[s] = to + (t + s) * at + i + r;
                const double* x = g + t * at;
                if (count - t >= 3) add_dots<3>(a, own, x, at, i, out);
                else if (count - t == 2) add_dots<2>(a, own, x, at, i, out);
                else add_dots<1>(a, own, x, at, i, out);
            }
        }
        double f[ROWS][4];
        for (int t = 0; t < count; t += 4) {
            for (int r = 0; r < rows; ++r) for (int s = 0; s < 4; ++s) f[r][s] = t + s < count ? g[(t + s) * at + i + r] : 0.0;
            add_rows(to + t * at, at, row(i), v.apart(i), f, rows, i);
        }
    }

    // The same of `rows` rows and few vectors, by one reading
    void meet_rows(int i, int rows, const double* g, int count, int64_t at, double* to) const {
        const double* a[4];
        for (int r = 0; r < 4; ++r) a[r] = row(i + std::min(r, rows - 1));
        const int before = i / L * L;
        for (int t = 0; t < count; t += 2) {
            const int many = std::min(2, count - t);
            double own[2][4] = {}, out[2][4] = {};
            for (int s = 0; s < many; ++s) for (int r = 0; r < rows; ++r) own[s][r] = g[(t + s) * at + i + r];
            const double* x = g + t * at;
            double* back = to + t * at;
            if (many == 2) meet<2>(a, x, at, own, before, out, back, at);
            else meet<1>(a, x, at, own, before, out, back, at);
            for (int s = 0; s < many; ++s)
                for (int r = 0; r < rows; ++r) {
                    for (int k = before; k < i + r; ++k) out[s][r] += a[r][k] * x[s * at + k], back[s * at + k] += a[r][k] * own[s][r];
                    back[s * at + i + r] += out[s][r] + a[r][i + r] * own[s][r];
                }
        }
    }

    // P += sign * U'(M U) for `count` rows of U, of `size()` numbers each, in steps of `at`
    void update(const double* u, const double* m, int count, int64_t at, double sign, std::vector<double>& mu) const {
        const int n = size();
        mu.assign(size_t(count) * size_t(at), 0.0);
        for (int t = 0; t < count; ++t)
            for (int r = 0; r < count; ++r) {
                const double f = m[t * BATCH + r];
                double* to = mu.data() + int64_t(t) * at;
                const double* from = u + int64_t(r) * at;
                for (int k = 0; k < n; ++k) to[k] += f * from[k];
            }
        crew(n, SHARE, double(n) * n * count > WORTH, [&](int64_t first, int64_t last) {
            double f[BATCH][4];
            for (int64_t i = first; i < last; i += 4) {  // rows beyond the last are room, as are their ends
                for (int t = 0; t < count; ++t) for (int r = 0; r < 4; ++r) f[t][r] = i + r < n ? sign * mu[size_t(t * at + i + r)] : 0.0;
                add_rows(row(int(i)), v.apart(int(i)), u, at, f, count, int(whole(int(std::min<int64_t>(i + 4, n)))));  // beyond the diagonal is room too
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

    // Coordinates on their way in or out: what the others are to them
    struct Batch {
        int who[BATCH], count = 0;  // those that came or went
        int others = 0;             // rows of the inverse that were there before, or are there after
        int64_t at = 0;             // from one row of g and u to the next
        std::vector<double> g, u, mu;  // of those who come, rows of h; and P g.  Of those who go, their rows of P
        double m[BATCH * BATCH];    // of those who come, their part of the inverse; of those who go, its inverse
    };

    // Takes coordinates in; those that are nearly combinations of others stay out.
    void insert(const int* wanted, int total) {
        Batch batch;
        for (int first = 0; first < total; first += BATCH) come(wanted + first, std::min(BATCH, total - first), batch);
    }

    // The same of no more than a batch of them
    void come(const int* in, int count, Batch& batch) {
        v.room(size() + count);
        const int n = size();
        const int64_t at = batch.at = whole(n);
        batch.others = n;
        std::vector<double>&g = batch.g, &u = batch.u;
        g.assign(size_t(count) * size_t(at), 0.0);
        u.resize(size_t(count) * size_t(at));
        for (int t = 0; t < count; ++t)
            for (int i = 0; i < n; ++i) g[size_t(t * at + i)] = double(h[int64_t(in[t]) * ld + v.members[size_t(i)]]);
        times(g.data(), count, at, u.data());
        double a[BATCH * BATCH], own[BATCH];
        int kept[BATCH];
        for (int t = 0; t < count; ++t) {
            own[t] = entry(in[t], in[t]);
            for (int r = 0; r <= t; ++r) a[t * BATCH + r] = a[r * BATCH + t] = entry(in[t], in[r]) - dot(g.data() + t * at, u.data() + r * at, n);
        }
        batch.count = small_inverse(a, count, own, kept, batch.m, &v.least);
        for (int t = 0; t < batch.count; ++t) {
            batch.who[t] = in[kept[t]];
            if (kept[t] != t) std::copy(u.data() + kept[t] * at, u.data() + kept[t] * at + n, u.data() + t * at);
        }
        if (!batch.count) return;
        update(u.data(), batch.m, batch.count, at, 1.0, batch.mu);
        for (int t = 0; t < batch.count; ++t) {
            double* p = row(n + t);
            for (int i = 0; i < n; ++i) p[i] = -batch.mu[size_t(t * at + i)];
            for (int r = 0; r <= t; ++r) p[n + r] = batch.m[t * BATCH + r];
        }
        for (int t = 0; t < batch.count; ++t) {
            const int j = batch.who[t];
            v.place[size_t(j)] = n + t, v.ridge[size_t(j)] = l2[j];
            v.members.push_back(j);
        }
    }

    void exchange(int i, int j) {
        if (i == j) return;
        if (i > j) std::swap(i, j);
        std::swap_ranges(row(i), row(i) + i, row(j));
        for (int k = i + 1; k < j; ++k) std::swap(row(k)[i], row(j)[k]);
        for (int k = j + 1; k < size(); ++k) std::swap(row(k)[i], row(k)[j]);
        std::swap(row(i)[i], row(j)[j]);
        std::swap(v.members[size_t(i)], v.members[size_t(j)]);
        std::swap(v.place[size_t(v.members[size_t(i)])], v.place[size_t(v.members[size_t(j)])]);
    }

    // Lets coordinates go
    void erase(const int* gone, int total) {
        Batch batch;
        for (int first = 0; first < total; first += BATCH) go(gone + first, std::min(BATCH, total - first), batch);
    }

    // The same of no more than a batch of them
    void go(const int* gone, int count, Batch& batch) {
        const int n = size() - count;
        for (int t = 0; t < count; ++t) exchange(v.place[size_t(gone[t])], size() - 1 - t);
        const int64_t at = batch.at = whole(n);
        batch.others = n;
        std::vector<double>& u = batch.u;
        u.assign(size_t(count) * size_t(at), 0.0);
        double a[BATCH * BATCH], own[BATCH];
        int kept[BATCH];
        for (int t = 0; t < count; ++t) {
            const double* p = row(n + t);
            std::copy(p, p + n, u.data() + t * at);
            for (int r = 0; r <= t; ++r) a[t * BATCH + r] = a[r * BATCH + t] = p[n + r];
            own[t] = 0;
        }
        batch.count = small_inverse(a, count, own, kept, batch.m);
        if (batch.count < count) v.made = -1;  // it has lost its digits
        for (int t = 0; t < batch.count; ++t) {
            batch.who[t] = v.members[size_t(n + kept[t])];
            if (kept[t] != t) std::copy(u.data() + kept[t] * at, u.data() + kept[t] * at + n, u.data() + t * at);
        }
        for (int t = 0; t < count; ++t) v.place[size_t(v.members[size_t(n + t)])] = -1;
        v.members.resize(size_t(n));
        update(u.data(), batch.m, batch.count, at, -1.0, batch.mu);
    }
};

}  // namespace
