// Sweeps along one coordinate after another: they find which are not zero.
#pragma once
#include "descent.hpp"

namespace {
using namespace etamu;

// The gradient after b_j has moved: four moves are waited for, so that q is read and written once for all of them
template <class T> void Descent<T>::moved(int j, double by) {
    rows[waiting] = h + int64_t(j) * f.ld;
    moves[waiting++] = by;
    if (waiting == 4) settle();
}

template <class T> void Descent<T>::settle() {
    const T *a = rows[0], *b4 = rows[1], *c = rows[2], *d = rows[3];
    if (waiting == 4)
        for (int k = 0; k < m; ++k) q[k] += (moves[0] * a[k] + moves[1] * b4[k]) + (moves[2] * c[k] + moves[3] * d[k]);
    else
        for (int i = 0; i < waiting; ++i) for (int k = 0; k < m; ++k) q[k] += moves[i] * rows[i][k];
    waiting = 0;
}

template <class T> double Descent<T>::slope(int j) const {  // q_j with the moves that wait
    double v = q[j];
    for (int i = 0; i < waiting; ++i) v += moves[i] * rows[i][j];
    return v;
}

// b_j to where the objective is least along it; how far that was, in units of the model's own length
template <class T> double Descent<T>::along(int j) {
    if (b[j] == 0 && std::abs(slope(j)) <= f.l1[j] && f.low[j] <= 0 && 0 <= f.high[j]) return 0;  // its own length need not be read
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
template <class T> double Descent<T>::flat(int j) {
    if (b[j] != 0 && f.l1[j] > 0 && std::abs(slope(j)) <= f.l1[j]) {
        const double by = std::min(std::max(0.0, f.low[j]), f.high[j]) - b[j];
        b[j] += by;
        if (by != 0) moved(j, by);
    }
    return 0;
}

template <class T> double Descent<T>::sweep_missing() {
    ++kept.sweeps;
    double largest = 0;
    for (int j : missing) largest = std::max(largest, along(j));
    settle();
    return largest;
}

template <class T> double Descent<T>::sweep(bool all) {
    ++kept.sweeps;
    double largest = 0;
    for (int j = 0; j < m; ++j)
        if (alone[size_t(j)] && (all || b[j] != 0 || f.l1[j] == 0) && !(resting && kept.place[size_t(j)] >= 0)) largest = std::max(largest, along(j));
    for (int g = 0; g < f.groups; ++g)
        if (all || !idle(g)) { settle(); largest = std::max(largest, along_group(g)); }
    settle();
    return largest;
}

}  // namespace
