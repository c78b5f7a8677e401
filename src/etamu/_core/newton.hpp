// Newton's step over the support, where the objective is smooth: it ends what sweeps alone would approach slowly.
#pragma once
#include "at_rest.hpp"
#include "descent.hpp"

namespace {
using namespace etamu;

constexpr double DEPENDENT = 1e-14; // share of a coordinate's own length below which no factor has any digits
constexpr int MOST_TURNS = 200;     // of conjugate gradients
constexpr int TURN = 32;            // coordinates of which a new inverse costs as much as one turn
constexpr double PATIENCE = 0.1;    // share of what new coordinates would cost the inverse that sweeps may cost which might send them back

template <class T> void Descent<T>::find_support() {
    support.clear();
    std::vector<char>& in = inside;
    in.assign(size_t(m), 0);
    for (int j = 0; j < m; ++j) in[size_t(j)] = alone[size_t(j)] && (b[j] != 0 || f.l1[j] == 0) && b[j] > f.low[j] && b[j] < f.high[j];
    for (int g = 0; g < f.groups; ++g)
        for (int i = f.start[g]; i < f.start[g + 1]; ++i) in[size_t(f.member[i])] = b[f.member[i]] != 0;
    for (int j = 0; j < m; ++j) if (in[size_t(j)]) support.push_back(j);
}

// The gradient of the objective over a coordinate that keeps its sign, b being changed by `move` and q by `image`
template <class T> double Descent<T>::steep(int j) const {
    return q[j] + image[size_t(j)] + f.l2[j] * (b[j] + move[size_t(j)]) + (b[j] > 0 ? f.l1[j] : b[j] < 0 ? -f.l1[j] : 0.0);
}

// to += H x for x over some coordinates: each part of them, which are as many whatever the threads, has sums of its own
template <class T> void Descent<T>::add_image(const int* at, const double* x, int count, double* to) {
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

template <class T> void Descent<T>::add_rows_of(const int* at, const double* x, int count, double* to) const {
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
template <class T> void Descent<T>::compare() {
    missing.clear();
    gone.clear();
    for (int j : support) if (kept.place[size_t(j)] < 0) missing.push_back(j);
    for (int j : kept.members) if (!inside[size_t(j)]) gone.push_back(j);
}

// Sweeps over the support before the next step of Newton's
template <class T> int Descent<T>::patience() {
    find_support();
    compare();
    return 1 + int(std::min(10.0, PATIENCE * 2 * double(missing.size()) * double(support.size()) / m));
}

// The inverse over the support as it is; where that has no digits left, a factor
template <class T> bool Descent<T>::prepared() {
    if (!kept.close) {
        inverse.erase(gone.data(), int(gone.size()));
        inverse.insert(missing.data(), int(missing.size()));
        kept.close = too_close();
    }
    return !kept.close || factored(support);
}

// Factors the second derivative over some coordinates, which are the inverse's from now on
template <class T> bool Descent<T>::factored(const std::vector<int>& over) {
    const std::vector<int> at = over;
    inverse.clear(m);
    for (size_t i = 0; i < at.size(); ++i) kept.members.push_back(at[i]), kept.place[size_t(at[i])] = int(i);
    return factor_of(at) > DEPENDENT;
}

// Lets coordinates go that stop on the way
template <class T> bool Descent<T>::without(const std::vector<int>& stops) {
    if (!kept.close) {
        inverse.erase(stops.data(), int(stops.size()));
        return true;
    }
    std::vector<int> rest;
    for (int j : kept.members) if (std::find(stops.begin(), stops.end(), j) == stops.end()) rest.push_back(j);
    return factored(rest);
}

template <class T> void Descent<T>::precondition() {
    found.resize(step.size());  // one vector, which needs no zeros beyond its end
    if (!kept.close) return inverse.times(step.data(), 1, int64_t(step.size()), found.data());
    const int s = int(step.size());
    for (int i = 0; i < s; ++i) found[size_t(i)] = step[size_t(i)] * scale[size_t(i)];
    solve_transposed(triangle.data(), s, found.data());
    solve_upper(triangle.data(), s, found.data());
    for (int i = 0; i < s; ++i) found[size_t(i)] *= scale[size_t(i)];
}

// The smallest pivot of the factor of the second derivative over some coordinates, of unit length each
template <class T> double Descent<T>::factor_of(const std::vector<int>& at) {
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
template <class T> double Descent<T>::slopes() {
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
template <class T> bool Descent<T>::solve() {
    const int bearable = 4 + int(kept.members.size()) / TURN;
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
        ++kept.debt;
        far = slopes();
    }
    return true;
}

// The inverse of the matrix as it is now
template <class T> void Descent<T>::renew() {
    const std::vector<int> all = kept.members;
    inverse.clear(m);
    inverse.insert(all.data(), int(all.size()));
    kept.debt = 0;
}

// Where a coordinate of the step must stop: at 0 where it would change its sign, or at its bounds
template <class T> bool Descent<T>::stopped(int j, double* at) const {
    const double x = b[j] + move[size_t(j)];
    if (f.l1[j] > 0 && (b[j] > 0) != (x > 0)) *at = 0;
    else if (x > f.high[j]) *at = f.high[j];
    else if (x < f.low[j]) *at = f.low[j];
    else return false;
    return true;
}

// To the minimum over the support; what would change its sign on the way ends at 0.  Whether it was reached.
template <class T> bool Descent<T>::newton() {
    find_support();
    compare();
    ends.clear();
    ++kept.steps;
    return current() ? newton_at_once() : newton_by_turns();
}

// The same by conjugate gradients
template <class T> bool Descent<T>::newton_by_turns() {
    if (!prepared()) return false;
    move.assign(size_t(m), 0.0);
    image.assign(size_t(m), 0.0);
    std::vector<double> first, first_image;
    for (int turn = 0;; ++turn) {
        if (!solve()) return false;
        std::vector<int> stops;
        std::vector<double> back;
        double at = 0;
        for (int j : kept.members) if (stopped(j, &at)) stops.push_back(j), back.push_back(at - (b[j] + move[size_t(j)])), ends.emplace_back(j, at);
        if (stops.empty()) break;
        if (turn == 0) first = move, first_image = image;
        if (turn == TURNS) return cut_short(first, first_image);
        for (size_t i = 0; i < stops.size(); ++i) move[size_t(stops[i])] += back[i];
        add_image(stops.data(), back.data(), int(stops.size()), image.data());
        if (!without(stops)) return cut_short(first, first_image);
    }
    if (!first.empty() && !descends()) return cut_short(first, first_image);
    go();
    return true;
}

// Make the step
template <class T> void Descent<T>::go() {
    for (int j : support) b[j] += move[size_t(j)];
    for (const auto& [j, at] : ends) b[j] = at;
    for (int k = 0; k < m; ++k) q[k] += image[size_t(k)];
}

template <class T> bool Descent<T>::descends() const {
    double change = 0;
    for (int j : support) {
        const double by = move[size_t(j)];
        change += by * (q[j] + 0.5 * image[size_t(j)]) + 0.5 * f.l2[j] * by * (2 * b[j] + by) + f.l1[j] * (std::abs(b[j] + by) - std::abs(b[j]));
    }
    return change <= 0;
}

// As far along a step as no coordinate changes its sign
template <class T> bool Descent<T>::cut_short(const std::vector<double>& by, const std::vector<double>& image_of) {
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

}  // namespace
