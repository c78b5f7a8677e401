// Coordinate descent on a quadratic model with a penalty: 1/2 (x - b)'H(x - b) + q'(x - b) + sum_j l1 |x_j| + l2/2 x_j^2
// + sum_g w_g |x_g|, within bounds.  Sweeps find which coordinates are not zero; Newton's step on those, where the objective is
// smooth, ends what sweeps alone would approach slowly.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"
#include "linalg.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

template <class T> struct Descent {  // over a matrix of T: half the size is read in half the time
    const Quadratic& f;
    const T* const h;
    const int m;
    double *b, *q;
    std::vector<char> alone;       // coordinates outside groups
    std::vector<double> curvature;  // of each group: a bound on the largest eigenvalue of its block
    std::vector<int> support;
    std::vector<double> step, move;
    Factored& kept;
    int waiting = 0;
    const T* rows[4] = {};
    double moves[4] = {};

    Descent(const Quadratic& f, Factored& kept) : f(f), h(static_cast<const T*>(f.h)), m(f.size), b(f.b), q(f.q), alone(size_t(f.size), 1), kept(kept) {
        for (int g = 0; g < f.groups; ++g) {
            double largest = 0;
            for (int i = f.start[g]; i < f.start[g + 1]; ++i) {
                double row = 0;
                for (int k = f.start[g]; k < f.start[g + 1]; ++k) row += std::abs(h[int64_t(f.member[i]) * f.ld + f.member[k]]);
                largest = std::max(largest, row + f.l2[f.member[i]]);
                alone[size_t(f.member[i])] = 0;
            }
            curvature.push_back(largest);
        }
    }

    // The gradient after b_j has moved: four moves are waited for, so that q is read and written once for all of them
    void moved(int j, double by) {
        rows[waiting] = h + int64_t(j) * f.ld;
        moves[waiting++] = by;
        if (waiting == 4) settle();
    }

    void settle() {
        const T *a = rows[0], *b4 = rows[1], *c = rows[2], *d = rows[3];
        if (waiting == 4)
            for (int k = 0; k < m; ++k) q[k] += (moves[0] * a[k] + moves[1] * b4[k]) + (moves[2] * c[k] + moves[3] * d[k]);
        else
            for (int i = 0; i < waiting; ++i) for (int k = 0; k < m; ++k) q[k] += moves[i] * rows[i][k];
        waiting = 0;
    }

    double slope(int j) const {  // q_j with the moves that wait
        double v = q[j];
        for (int i = 0; i < waiting; ++i) v += moves[i] * rows[i][j];
        return v;
    }

    // b_j to where the objective is least along it; how far that was, in units of the model's own length
    double along(int j) {
        const double own = h[int64_t(j) * f.ld + j], total = own + f.l2[j];
        if (!(total > 0)) return 0;
        const double z = own * b[j] - slope(j), l1 = f.l1[j];
        double x = z > l1 ? (z - l1) / total : z < -l1 ? (z + l1) / total : 0.0;
        x = std::min(std::max(x, f.low[j]), f.high[j]);
        const double by = x - b[j];
        if (by == 0) return 0;
        b[j] = x;
        moved(j, by);
        return std::abs(by) * std::sqrt(total);
    }

    // a group to where a quadratic that bounds the objective is least, several times over
    double along_group(int g) {
        const int from = f.start[g], count = f.start[g + 1] - from;
        const int* at = f.member + from;
        const double c = curvature[size_t(g)];
        if (!(c > 0)) return 0;
        double own[64], first[64];
        std::vector<double> many;
        double *z = own, *before = first;
        if (count > 64) { many.resize(size_t(2 * count)); z = many.data(); before = z + count; }
        for (int i = 0; i < count; ++i) before[i] = b[at[i]];
        double largest = 0;
        for (int turn = 0; turn < 20; ++turn) {
            double length = 0;
            for (int i = 0; i < count; ++i) {
                const int j = at[i];
                double steep = q[j] + f.l2[j] * b[j];
                for (int k = 0; k < count; ++k) steep += h[int64_t(j) * f.ld + at[k]] * (b[at[k]] - before[k]);  // q is of `before`
                const double u = b[j] - steep / c, t = f.l1[j] / c;
                z[i] = u > t ? u - t : u < -t ? u + t : 0.0;
                length += z[i] * z[i];
            }
            length = std::sqrt(length);
            const double keep = length > f.weight[g] / c ? 1 - f.weight[g] / (c * length) : 0.0;
            double change = 0;
            for (int i = 0; i < count; ++i) {
                const double x = keep * z[i];
                change = std::max(change, std::abs(x - b[at[i]]));
                z[i] = x;
            }
            for (int i = 0; i < count; ++i) b[at[i]] = z[i];
            largest = std::max(largest, change * std::sqrt(c));
            if (change * std::sqrt(c) <= 0.1 * f.tolerance || keep == 0) break;
        }
        for (int i = 0; i < count; ++i)
            if (b[at[i]] != before[i]) moved(at[i], b[at[i]] - before[i]);
        return largest;
    }

    bool idle(int g) const {
        for (int i = f.start[g]; i < f.start[g + 1]; ++i) if (b[f.member[i]] != 0) return false;
        return true;
    }

    double sweep(bool all) {
        ++kept.sweeps;
        double largest = 0;
        for (int j = 0; j < m; ++j)
            if (alone[size_t(j)] && (all || b[j] != 0 || f.l1[j] == 0)) largest = std::max(largest, along(j));
        for (int g = 0; g < f.groups; ++g)
            if (all || !idle(g)) { settle(); largest = std::max(largest, along_group(g)); }
        settle();
        return largest;
    }

    void find_support() {
        support.clear();
        std::vector<char> in(size_t(m), 0);
        for (int j = 0; j < m; ++j) in[size_t(j)] = alone[size_t(j)] && (b[j] != 0 || f.l1[j] == 0) && b[j] > f.low[j] && b[j] < f.high[j];
        for (int g = 0; g < f.groups; ++g)
            for (int i = f.start[g]; i < f.start[g + 1]; ++i) in[size_t(f.member[i])] = b[f.member[i]] != 0;
        for (int j = 0; j < m; ++j) if (in[size_t(j)]) support.push_back(j);
    }

    double length_of(int g, const double* x) const {
        double s = 0;
        for (int i = f.start[g]; i < f.start[g + 1]; ++i) s += x[f.member[i]] * x[f.member[i]];
        return std::sqrt(s);
    }

    // Whether the factor kept is that of this support
    bool known() const {
        if (f.groups || kept.version != f.version || kept.support != support) return false;
        for (size_t i = 0; i < support.size(); ++i) if (kept.l2[i] != f.l2[support[i]]) return false;
        return true;
    }

    // Factors the second derivative over the support, and adds the groups' slopes to `step`; whether it is positive
    bool factored() {
        const int s = int(support.size());
        std::vector<double>& own = kept.matrix;
        own.resize(size_t(s) * s);
        kept.triangle.resize(size_t(s) * s);
        kept.scale.resize(size_t(s));
        kept.l2.resize(size_t(s));
        for (int i = 0; i < s; ++i) {
            const int j = support[size_t(i)];
            const T* row = h + int64_t(j) * f.ld;
            for (int k = i; k < s; ++k) own[size_t(i) * s + k] = row[support[size_t(k)]];
            own[size_t(i) * s + i] += f.l2[j];
            kept.l2[size_t(i)] = f.l2[j];
        }
        if (f.groups) add_groups(own, s);
        kept.support = support;
        kept.version = factor(own.data(), s, s, kept.scale.data(), kept.triangle.data()) < 1e-10 ? -1 : f.version;
        return kept.version >= 0;
    }

    void add_groups(std::vector<double>& own, int s) {
        std::vector<int> place(size_t(m), -1);
        for (int i = 0; i < s; ++i) place[size_t(support[size_t(i)])] = i;
        for (int g = 0; g < f.groups; ++g) {
            if (idle(g) || f.weight[g] == 0) continue;
            const double length = length_of(g, b), w = f.weight[g] / length;
            for (int i = f.start[g]; i < f.start[g + 1]; ++i) {
                const int a = place[size_t(f.member[i])];
                if (a < 0) continue;
                step[size_t(a)] -= w * b[f.member[i]];
                own[size_t(a) * s + a] += w;
                for (int k = f.start[g]; k < f.start[g + 1]; ++k) {
                    const int c = place[size_t(f.member[k])];
                    if (c >= a) own[size_t(a) * s + c] -= w * b[f.member[i]] * b[f.member[k]] / (length * length);
                }
            }
        }
    }

    // Newton's step over the support, cut short where a coordinate would change sign or leave its bounds.  Whether it was made whole.
    bool newton() {
        find_support();
        const int s = int(support.size());
        if (!s) return false;
        step.resize(size_t(s));
        for (int i = 0; i < s; ++i) {
            const int j = support[size_t(i)];
            step[size_t(i)] = -(q[j] + f.l2[j] * b[j] + (b[j] > 0 ? f.l1[j] : b[j] < 0 ? -f.l1[j] : 0.0));
        }
        if (!known() && !factored()) return false;
        const std::vector<double>&scale = kept.scale, &triangle = kept.triangle;
        for (int i = 0; i < s; ++i) step[size_t(i)] *= scale[size_t(i)];
        solve_transposed(triangle.data(), s, step.data());
        solve_upper(triangle.data(), s, step.data());
        double t = 1;
        int blocking = -1;
        double stop = 0;
        for (int i = 0; i < s; ++i) {
            const int j = support[size_t(i)];
            step[size_t(i)] *= scale[size_t(i)];
            const double d = step[size_t(i)];
            if (!std::isfinite(d)) return false;
            auto limit = [&](double to) {
                const double reach = (to - b[j]) / d;
                if (reach < t) t = std::max(reach, 0.0), blocking = j, stop = to;
            };
            if (f.l1[j] > 0 && d != 0 && (b[j] > 0) != (b[j] + d > 0)) limit(0.0);
            if (b[j] + d > f.high[j]) limit(f.high[j]);
            if (b[j] + d < f.low[j]) limit(f.low[j]);
        }
        move.assign(size_t(m), 0.0);
        for (int i = 0; i < s; ++i) {
            const T* row = h + int64_t(support[size_t(i)]) * f.ld;
            const double by = step[size_t(i)];
            for (int k = 0; k < m; ++k) move[size_t(k)] += by * row[k];
        }
        if (f.groups && !descends(t)) return false;
        for (int i = 0; i < s; ++i) b[support[size_t(i)]] += t * step[size_t(i)];
        for (int k = 0; k < m; ++k) q[k] += t * move[size_t(k)];
        if (blocking >= 0) {
            const double by = stop - b[blocking];
            b[blocking] = stop;
            if (by != 0) moved(blocking, by);
            settle();
        }
        return t == 1;
    }

    // whether t times the step lowers the objective (without groups it always does)
    bool descends(double t) const {
        double change = 0;
        std::vector<double> x(b, b + m);
        for (size_t i = 0; i < support.size(); ++i) {
            const int j = support[i];
            const double by = t * step[i];
            x[size_t(j)] += by;
            change += by * (q[j] + 0.5 * t * move[size_t(j)]) + 0.5 * f.l2[j] * by * (2 * b[j] + by) + f.l1[j] * (std::abs(b[j] + by) - std::abs(b[j]));
        }
        for (int g = 0; g < f.groups; ++g) if (!idle(g)) change += f.weight[g] * (length_of(g, x.data()) - length_of(g, b));
        return change <= 0;
    }
};

// Moves b, and q with it; the sweeps made, less than 0 where they did not suffice
template <class T> int descended(const Quadratic& f, Factored& kept) {
    Descent<T> d(f, kept);
    int sweeps = 0;
    bool whole = false;  // whether the last step of Newton's was made whole
    while (sweeps < f.most) {
        ++sweeps;
        if (d.sweep(true) <= f.tolerance) return sweeps;
        double last = 0;
        for (int k = 0; k < (whole ? 2 : f.patience) && sweeps < f.most; ++k, ++sweeps)
            if ((last = d.sweep(false)) <= 0.5 * f.tolerance) break;
        if (last > 0.5 * f.tolerance) {
            for (int k = 0; k < 4; ++k) {
                ++kept.steps;
                if ((whole = d.newton())) break;
            }
        }
    }
    return -sweeps;
}

int descend(const Quadratic& f, Factored& kept) { return f.single ? descended<float>(f, kept) : descended<double>(f, kept); }

}  // namespace
