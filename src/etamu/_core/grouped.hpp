// Groups of coordinates that are zero together.
#pragma once
#include "descent.hpp"

namespace {
using namespace etamu;

// Bounds on the largest eigenvalues of their blocks
template <class T> void Descent<T>::bound_groups() {
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

// a group to where a quadratic that bounds the objective is least, several times over
template <class T> double Descent<T>::along_group(int g) {
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

template <class T> bool Descent<T>::idle(int g) const {
    for (int i = f.start[g]; i < f.start[g + 1]; ++i) if (b[f.member[i]] != 0) return false;
    return true;
}

template <class T> double Descent<T>::length_of(int g, const double* x) const {
    double s = 0;
    for (int i = f.start[g]; i < f.start[g + 1]; ++i) s += x[f.member[i]] * x[f.member[i]];
    return std::sqrt(s);
}

template <class T> void Descent<T>::add_groups(std::vector<double>& own, int s) {
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
template <class T> bool Descent<T>::newton_grouped() {
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
template <class T> double Descent<T>::reaches() const {
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
template <class T> bool Descent<T>::grouped_descends(double t) const {
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

}  // namespace
