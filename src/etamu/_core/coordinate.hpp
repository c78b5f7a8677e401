// Coordinate descent on a quadratic model with a penalty: 1/2 (x - b)'H(x - b) + q'(x - b) + sum_j l1 |x_j| + l2/2 x_j^2
// + sum_g w_g |x_g|, within bounds.  Sweeps find which coordinates are not zero; Newton's step on those, where the objective is
// smooth, ends what sweeps alone would approach slowly.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>
#include "core.hpp"
#include "inverse.hpp"
#include "linalg.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

constexpr double NOTHING = 3e-2;  // share of the tolerance below which a move or a slope is none
constexpr double CLOSE = 1e-5;      // share of a coordinate's own length below which the inverse loses too many digits
constexpr double DEPENDENT = 1e-14; // the same below which no factor has any
constexpr int TURNS = 8;          // times that coordinates are sent back to 0
constexpr int MOST_TURNS = 200;   // of conjugate gradients
constexpr double PATIENCE = 0.1;  // share of what new coordinates would cost the inverse that sweeps may cost which might send them back
constexpr int AGAIN = 10;         // times that coordinates which a last sweep lets in are followed
constexpr int GROUPED = 20;       // the same with groups, whose step is dear

template <class T> struct Descent {  // over a matrix of T: half the size is read in half the time
    const Quadratic& f;
    const T* const h;
    const int m;
    double *b, *q;
    std::vector<char> alone;       // coordinates outside groups
    std::vector<double> curvature;  // of each group: a bound on the largest eigenvalue of its block
    std::vector<int> support;
    std::vector<char> inside;
    std::vector<int> missing, gone;
    std::vector<double> step, found, move, image, sums;
    std::vector<double> matrix, triangle, scale;  // of groups
    bool entered = false;  // whether a sweep has moved a coordinate away from 0
    Inverse& kept;
    Inverted<T> inverse;
    int waiting = 0;
    const T* rows[4] = {};
    double moves[4] = {};

    Descent(const Quadratic& f, Inverse& kept)
        : f(f), h(static_cast<const T*>(f.h)), m(f.size), b(f.b), q(f.q), alone(size_t(f.size), 1), kept(kept), inverse{kept, h, f.ld, f.l2, f.crew} {
        const bool fewer = kept.place.size() > size_t(m);  // others than those it knows, whatever they call themselves
        if (kept.version != f.version || fewer) inverse.clear(m), kept.version = f.version;
        kept.place.resize(size_t(m), -1);
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
        if (!(total > 0)) return flat(j);
        const double z = own * b[j] - slope(j), l1 = f.l1[j];
        double x = z > l1 ? (z - l1) / total : z < -l1 ? (z + l1) / total : 0.0;
        x = std::min(std::max(x, f.low[j]), f.high[j]);
        const double by = x - b[j], far = std::abs(by) * std::sqrt(total);
        if (far <= (x == 0 ? 0 : NOTHING * f.tolerance)) return far;
        entered = entered || b[j] == 0;
        b[j] = x;
        moved(j, by);
        return far;
    }

    // The same along a column of zeros, of which the objective has the penalty alone
    double flat(int j) {
        if (b[j] != 0 && f.l1[j] > 0 && std::abs(slope(j)) <= f.l1[j]) {
            const double by = std::min(std::max(0.0, f.low[j]), f.high[j]) - b[j];
            b[j] += by;
            if (by != 0) moved(j, by);
        }
        return 0;
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

    double sweep_missing() {
        ++kept.sweeps;
        double largest = 0;
        for (int j : missing) largest = std::max(largest, along(j));
        settle();
        return largest;
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
        std::vector<char>& in = inside;
        in.assign(size_t(m), 0);
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

    // ---- Newton's step over the support --------------------------------------------------------------------------------

    // The gradient of the objective over a coordinate that keeps its sign, b being changed by `move` and q by `image`
    double steep(int j) const {
        return q[j] + image[size_t(j)] + f.l2[j] * (b[j] + move[size_t(j)]) + (b[j] > 0 ? f.l1[j] : b[j] < 0 ? -f.l1[j] : 0.0);
    }

    // to += H x for x over some coordinates: each part of them, which are as many whatever the threads, has sums of its own
    void add_image(const int* at, const double* x, int count, double* to) {
        const int parts = double(count) * m > WORTH ? PARTS : 1;
        if (parts == 1) return add_rows_of(at, x, count, to);
        sums.assign(size_t(parts) * size_t(m), 0.0);
        const int each = (count + parts * 4 - 1) / (parts * 4) * 4;
        f.crew(parts, 1, true, [&](int64_t part, int64_t) {
            const int first = std::min(count, int(part) * each);
            add_rows_of(at + first, x + first, std::min(each, count - first), sums.data() + part * m);
        });
        for (int part = 0; part < parts; ++part) for (int k = 0; k < m; ++k) to[k] += sums[size_t(part) * size_t(m) + size_t(k)];
    }

    void add_rows_of(const int* at, const double* x, int count, double* to) const {
        int i = 0;
        for (; i + 4 <= count; i += 4) {
            const T *a = h + int64_t(at[i]) * f.ld, *b4 = h + int64_t(at[i + 1]) * f.ld, *c = h + int64_t(at[i + 2]) * f.ld, *d = h + int64_t(at[i + 3]) * f.ld;
            const double xa = x[i], xb = x[i + 1], xc = x[i + 2], xd = x[i + 3];
            for (int k = 0; k < m; ++k) to[k] += (xa * a[k] + xb * b4[k]) + (xc * c[k] + xd * d[k]);
        }
        for (; i < count; ++i) {
            const T* a = h + int64_t(at[i]) * f.ld;
            for (int k = 0; k < m; ++k) to[k] += x[i] * a[k];
        }
    }

    // What the inverse lacks of the support, and has beyond it
    void compare() {
        missing.clear();
        gone.clear();
        for (int j : support) if (kept.place[size_t(j)] < 0) missing.push_back(j);
        for (int j : kept.members) if (!inside[size_t(j)]) gone.push_back(j);
    }

    // Sweeps over the support before the next step of Newton's
    int patience() {
        find_support();
        compare();
        return 1 + int(std::min(10.0, PATIENCE * 2 * double(missing.size()) * double(support.size()) / m));
    }

    // The inverse over the support as it is; where that has no digits left, a factor
    bool prepared() {
        if (!kept.close) {
            inverse.erase(gone.data(), int(gone.size()));
            inverse.insert(missing.data(), int(missing.size()));
            kept.close = !f.single && kept.least < CLOSE;
        }
        return !kept.close || factored(support);
    }

    // Factors the second derivative over some coordinates, which are the inverse's from now on
    bool factored(const std::vector<int>& over) {
        const std::vector<int> at = over;
        inverse.clear(m);
        for (size_t i = 0; i < at.size(); ++i) kept.members.push_back(at[i]), kept.place[size_t(at[i])] = int(i);
        return factor_of(at) > DEPENDENT;
    }

    // Lets coordinates go that stop on the way
    bool without(const std::vector<int>& stops) {
        if (!kept.close) {
            inverse.erase(stops.data(), int(stops.size()));
            return true;
        }
        std::vector<int> rest;
        for (int j : kept.members) if (std::find(stops.begin(), stops.end(), j) == stops.end()) rest.push_back(j);
        return factored(rest);
    }

    void precondition() {
        found.resize(step.size());
        if (!kept.close) return inverse.times(step.data(), 1, int64_t(step.size()), found.data());
        const int s = int(step.size());
        for (int i = 0; i < s; ++i) found[size_t(i)] = step[size_t(i)] * scale[size_t(i)];
        solve_transposed(triangle.data(), s, found.data());
        solve_upper(triangle.data(), s, found.data());
        for (int i = 0; i < s; ++i) found[size_t(i)] *= scale[size_t(i)];
    }

    // The smallest pivot of the factor of the second derivative over some coordinates, of unit length each
    double factor_of(const std::vector<int>& at) {
        const int s = int(at.size());
        matrix.resize(size_t(s) * s);
        triangle.resize(size_t(s) * s);
        scale.resize(size_t(s));
        for (int i = 0; i < s; ++i) {
            const T* row = h + int64_t(at[size_t(i)]) * f.ld;
            for (int k = i; k < s; ++k) matrix[size_t(i) * s + k] = row[at[size_t(k)]];
            matrix[size_t(i) * s + i] += f.l2[at[size_t(i)]];
        }
        if (f.groups) add_groups(matrix, s);
        return factor(matrix.data(), s, s, scale.data(), triangle.data());
    }

    // Minus the slopes over the inverse's coordinates; the largest of them, in units of the model's own length
    double slopes() {
        double largest = 0;
        step.resize(kept.members.size());
        for (size_t i = 0; i < step.size(); ++i) {
            const int j = kept.members[i];
            step[i] = -steep(j);
            largest = std::max(largest, std::abs(step[i]) / std::sqrt(inverse.entry(j, j)));
        }
        return largest;
    }

    // Moves the inverse's coordinates to where the model is least, by conjugate gradients: the inverse may be that of an older matrix, and one step suffices
    // where it is not.  Whether that was reached.
    bool solve() {
        const int bearable = 4 + int(kept.members.size()) / 8;
        if (kept.debt > bearable && !kept.close) renew();
        size_t s = kept.members.size();
        double far = slopes(), before = 0;
        std::vector<double> along(s), by(size_t(m), 0.0);
        for (int turn = 0; far > NOTHING * f.tolerance; ++turn) {
            if (turn == MOST_TURNS) return far <= f.tolerance;
            if (turn == 2 * bearable + 20 && !kept.close) {
                renew();
                s = kept.members.size();
                far = slopes(), before = 0;
            }
            precondition();
            double now = 0, bend = 0;
            for (size_t i = 0; i < s; ++i) now += step[i] * found[i];
            if (!(now > 0) || !std::isfinite(now)) return far <= f.tolerance;
            const double keep = before > 0 ? now / before : 0.0;
            for (size_t i = 0; i < s; ++i) along[i] = found[i] + keep * along[i];
            std::fill(by.begin(), by.end(), 0.0);
            add_image(kept.members.data(), along.data(), int(s), by.data());
            for (size_t i = 0; i < s; ++i) bend += along[i] * (by[size_t(kept.members[i])] + f.l2[kept.members[i]] * along[i]);
            if (!(bend > 0)) return far <= f.tolerance;
            const double t = now / bend;
            for (size_t i = 0; i < s; ++i) move[size_t(kept.members[i])] += t * along[i];
            for (int k = 0; k < m; ++k) image[size_t(k)] += t * by[size_t(k)];
            before = now;
            kept.debt += turn > 1;
            far = slopes();
        }
        return true;
    }

    // The inverse of the matrix as it is now
    void renew() {
        const std::vector<int> all = kept.members;
        inverse.clear(m);
        inverse.insert(all.data(), int(all.size()));
        kept.debt = 0;
    }

    // Where a coordinate of the step must stop: at 0 where it would change its sign, or at its bounds
    bool stopped(int j, double* at) const {
        const double x = b[j] + move[size_t(j)];
        if (f.l1[j] > 0 && (b[j] > 0) != (x > 0)) *at = 0;
        else if (x > f.high[j]) *at = f.high[j];
        else if (x < f.low[j]) *at = f.low[j];
        else return false;
        return true;
    }

    // To the minimum over the support; what would change its sign on the way ends at 0.  Whether it was reached.
    bool newton() {
        find_support();
        compare();
        ++kept.steps;
        if (!prepared()) return false;
        move.assign(size_t(m), 0.0);
        image.assign(size_t(m), 0.0);
        std::vector<double> first, first_image;
        for (int turn = 0;; ++turn) {
            if (!solve()) return false;
            std::vector<int> stops;
            std::vector<double> back;
            double at = 0;
            for (int j : kept.members) if (stopped(j, &at)) stops.push_back(j), back.push_back(at - (b[j] + move[size_t(j)]));
            if (stops.empty()) break;
            if (turn == 0) first = move, first_image = image;
            if (turn == TURNS) return cut_short(first, first_image);
            for (size_t i = 0; i < stops.size(); ++i) move[size_t(stops[i])] += back[i];
            add_image(stops.data(), back.data(), int(stops.size()), image.data());
            if (!without(stops)) return cut_short(first, first_image);
        }
        if (!first.empty() && !descends()) return cut_short(first, first_image);
        for (int j : support) b[j] = std::abs(b[j] + move[size_t(j)]) <= 1e-15 * std::abs(b[j]) ? 0.0 : b[j] + move[size_t(j)];
        for (int k = 0; k < m; ++k) q[k] += image[size_t(k)];
        return true;
    }

    bool descends() const {
        double change = 0;
        for (int j : support) {
            const double by = move[size_t(j)];
            change += by * (q[j] + 0.5 * image[size_t(j)]) + 0.5 * f.l2[j] * by * (2 * b[j] + by) + f.l1[j] * (std::abs(b[j] + by) - std::abs(b[j]));
        }
        return change <= 0;
    }

    // As far along a step as no coordinate changes its sign
    bool cut_short(const std::vector<double>& by, const std::vector<double>& image_of) {
        double t = 1, stop = 0;
        int blocking = -1;
        for (int j : support) {
            const double d = by[size_t(j)];
            auto limit = [&](double to) {
                const double reach = (to - b[j]) / d;
                if (reach < t) t = std::max(reach, 0.0), blocking = j, stop = to;
            };
            if (f.l1[j] > 0 && d != 0 && (b[j] > 0) != (b[j] + d > 0)) limit(0.0);
            if (b[j] + d > f.high[j]) limit(f.high[j]);
            if (b[j] + d < f.low[j]) limit(f.low[j]);
        }
        for (int j : support) b[j] += t * by[size_t(j)];
        for (int k = 0; k < m; ++k) q[k] += t * image_of[size_t(k)];
        if (blocking >= 0) {
            const double last = stop - b[blocking];
            b[blocking] = stop;
            if (last != 0) moved(blocking, last);
            settle();
        }
        return false;
    }

    // ---- groups --------------------------------------------------------------------------------------------------------

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

    // The same with groups, whose second derivative is another one after every step: it is factored each time
    bool newton_grouped() {
        find_support();
        const int s = int(support.size());
        if (!s) return false;
        ++kept.steps;
        step.resize(size_t(s));
        for (int i = 0; i < s; ++i) {
            const int j = support[size_t(i)];
            step[size_t(i)] = -(q[j] + f.l2[j] * b[j] + (b[j] > 0 ? f.l1[j] : b[j] < 0 ? -f.l1[j] : 0.0));
        }
        if (factor_of(support) < 1e-10) return false;
        for (int i = 0; i < s; ++i) step[size_t(i)] *= scale[size_t(i)];
        solve_transposed(triangle.data(), s, step.data());
        solve_upper(triangle.data(), s, step.data());
        move.assign(size_t(m), 0.0);
        image.assign(size_t(m), 0.0);
        for (int i = 0; i < s; ++i) {
            step[size_t(i)] *= scale[size_t(i)];
            if (!std::isfinite(step[size_t(i)])) return false;
            move[size_t(support[size_t(i)])] = step[size_t(i)];
        }
        add_image(support.data(), step.data(), s, image.data());
        const double reach = reaches();
        if (!grouped_descends(reach)) return false;
        cut_short(move, image);
        return reach == 1;
    }

    // How far along the step no coordinate changes its sign
    double reaches() const {
        double t = 1;
        for (int j : support) {
            const double d = move[size_t(j)];
            if (f.l1[j] > 0 && d != 0 && (b[j] > 0) != (b[j] + d > 0)) t = std::min(t, std::max(-b[j] / d, 0.0));
            if (b[j] + d > f.high[j]) t = std::min(t, std::max((f.high[j] - b[j]) / d, 0.0));
            if (b[j] + d < f.low[j]) t = std::min(t, std::max((f.low[j] - b[j]) / d, 0.0));
        }
        return t;
    }

    // Whether t times the step lowers the objective
    bool grouped_descends(double t) const {
        double change = 0;
        std::vector<double> x(b, b + m);
        for (int j : support) {
            const double by = t * move[size_t(j)];
            x[size_t(j)] += by;
            change += by * (q[j] + 0.5 * t * image[size_t(j)]) + 0.5 * f.l2[j] * by * (2 * b[j] + by) + f.l1[j] * (std::abs(b[j] + by) - std::abs(b[j]));
        }
        for (int g = 0; g < f.groups; ++g) if (!idle(g)) change += f.weight[g] * (length_of(g, x.data()) - length_of(g, b));
        return change <= 0;
    }
};

// Moves b, and q with it; the sweeps made, less than 0 where they did not suffice
template <class T> int descended(const Quadratic& f, Inverse& kept) {
    Descent<T> d(f, kept);
    int sweeps = 0, again = 0;
    bool solved = !f.groups && !kept.members.empty() && d.newton();  // whether the last step of Newton's reached the minimum over its support
    while (sweeps < f.most) {
        ++sweeps;
        d.entered = false;
        double last = d.sweep(true);
        // what has just come in may want to go far where another one, much like it, is there already
        if (last <= f.tolerance && (f.groups || (solved && (!d.entered || ++again > AGAIN)))) return sweeps;
        if (f.groups) {
            for (int k = 0; k < GROUPED && sweeps < f.most; ++k, ++sweeps)
                if ((last = d.sweep(false)) <= 0.5 * f.tolerance) break;
            for (int k = 0; k < 4 && last > 0.5 * f.tolerance; ++k)
                if (d.newton_grouped()) break;
            continue;
        }
        for (int k = 0; k < d.patience() && sweeps < f.most && last > 0.5 * f.tolerance; ++k, ++sweeps) last = d.sweep_missing();
        solved = d.newton();
    }
    return -sweeps;
}

int descend(const Quadratic& f, Inverse& kept) { return f.single ? descended<float>(f, kept) : descended<double>(f, kept); }

}  // namespace
