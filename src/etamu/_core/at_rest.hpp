// Newton's step over the support where the inverse is that of this very matrix: one product with it leads to the minimum, and from there
// on coordinates that come or go say themselves by how much the others move, so that it is not read again.
#pragma once
#include "descent.hpp"

namespace {
using namespace etamu;

constexpr int LOOKED_AT = 4;   // coordinates of the inverse whose slope is looked at after a step

// Whether the inverse is that of this matrix
template <class T> bool Descent<T>::current() const {
    if (kept.close || f.made < 0 || kept.made != f.made) return false;
    return std::all_of(kept.members.begin(), kept.members.end(), [&](int j) { return kept.ridge[size_t(j)] == f.l2[j]; });
}

// Whether no coordinate has moved since the inverse's were at rest but those that come now
template <class T> bool Descent<T>::only_missing_moved() const {
    int others = 0;
    for (int j = 0; j < m; ++j) others += b[j] != b_at_rest[size_t(j)];
    for (int j : missing) others -= b[j] != b_at_rest[size_t(j)];
    return others == 0;
}

// To the minimum over the support; what would change its sign on the way ends at 0.  Whether it was reached.
template <class T> bool Descent<T>::newton_at_once() {
    if (!gone.empty()) inverse.erase(gone.data(), int(gone.size())), resting = false;
    move.assign(size_t(m), 0.0);
    image.assign(size_t(m), 0.0);
    if (!(resting && missing.size() <= size_t(BATCH) && only_missing_moved() && let_in())) {
        inverse.insert(missing.data(), int(missing.size()));
        slopes();
        precondition();
        for (size_t i = 0; i < found.size(); ++i) move[size_t(kept.members[i])] = found[i];
    }
    resting = false;
    if (too_close() || kept.made != f.made) return compare(), newton_by_turns();
    std::vector<double> first;
    for (int turn = 0;; ++turn) {
        std::vector<int> stops;
        double at = 0;
        for (int j : kept.members) if (stopped(j, &at)) stops.push_back(j);
        if (stops.empty()) break;
        if (turn == 0) first = move;
        if (turn == TURNS || !let_go(stops)) return cut_short(first);
    }
    find_image();
    if (!holds()) {
        kept.made = -1;  // no digits are left
        ends.clear();
        return compare(), newton_by_turns();
    }
    if (!first.empty() && !descends()) return cut_short(first);
    go();
    resting = true;
    b_at_rest.assign(b, b + m);
    return true;
}

// Takes the missing coordinates in, while the others are at rest but for what these have moved; whether that was possible
template <class T> bool Descent<T>::let_in() {
    const int count = int(missing.size());
    if (!count) return false;
    inverse.come(missing.data(), count, batch);
    if (batch.count < count) return compare(), false;
    std::vector<double> others(size_t(batch.others), 0.0), by;
    const auto add = [&](int t, double times) {
        const double* u = batch.u.data() + t * batch.at;
        for (int k = 0; k < batch.others; ++k) others[size_t(k)] += times * u[k];
    };
    for (int t = 0; t < count; ++t) by.push_back(b[missing[size_t(t)]] - b_at_rest[size_t(missing[size_t(t)])]), add(t, by.back());
    std::vector<double> left(size_t(count), 0.0);  // of their slopes, once the others have answered to what they have moved
    for (int t = 0; t < count; ++t) left[size_t(t)] = steep(missing[size_t(t)]) - dot(batch.g.data() + t * batch.at, others.data(), batch.others);
    for (int t = 0; t < count; ++t) {
        double x = 0;
        for (int r = 0; r < count; ++r) x -= batch.m[t * BATCH + r] * left[size_t(r)];
        move[size_t(missing[size_t(t)])] = x;
        add(t, x);
    }
    for (int k = 0; k < batch.others; ++k) move[size_t(kept.members[size_t(k)])] = -others[size_t(k)];
    return true;
}

// Lets coordinates go that stop on the way, where they stop; the others answer.  Whether that was possible
template <class T> bool Descent<T>::let_go(const std::vector<int>& stops) {
    for (size_t first = 0; first < stops.size(); first += BATCH) {
        const int count = int(std::min<size_t>(BATCH, stops.size() - first));
        inverse.go(stops.data() + first, count, batch);
        if (batch.count < count) return false;
        double back[BATCH];
        for (int t = 0; t < count; ++t) {
            const int j = batch.who[t];
            double at = b[j] + move[size_t(j)];
            stopped(j, &at);
            back[t] = at - (b[j] + move[size_t(j)]);
            ends.emplace_back(j, at);
        }
        for (int t = 0; t < count; ++t) {
            double y = 0;
            for (int r = 0; r < count; ++r) y += batch.m[t * BATCH + r] * back[r];
            const double* u = batch.u.data() + t * batch.at;
            for (int k = 0; k < batch.others; ++k) move[size_t(kept.members[size_t(k)])] += y * u[k];
            move[size_t(batch.who[t])] += back[t];
        }
    }
    return true;
}

// H times the step: of the inverse's coordinates it is known, since they come to rest
template <class T> void Descent<T>::find_image() {
    std::vector<int> others;
    for (int j = 0; j < m; ++j) {
        if (kept.place[size_t(j)] < 0) others.push_back(j);
        else image[size_t(j)] = -steep(j);
    }
    f.crew(int64_t(others.size()), 16, double(others.size()) * m > WORTH, [&](int64_t low, int64_t high) {
        for (int64_t i = low; i < high; ++i) image[size_t(others[size_t(i)])] = dot(h + int64_t(others[size_t(i)]) * f.ld, move.data(), m);
    });
}

// Whether a few of the inverse's coordinates are where it says
template <class T> bool Descent<T>::holds() const {
    const int n = int(kept.members.size());
    for (int i = 0; i < std::min(LOOKED_AT, n); ++i) {
        const int j = kept.members[size_t((kept.steps * 31 + int64_t(i) * n / LOOKED_AT) % n)];
        const double off = dot(h + int64_t(j) * f.ld, move.data(), m) - image[size_t(j)];
        if (!(std::abs(off) <= f.tolerance * std::sqrt(inverse.entry(j, j)))) return false;
    }
    return true;
}

template <class T> bool Descent<T>::cut_short(const std::vector<double>& by) {
    image.assign(size_t(m), 0.0);
    std::vector<double> far;
    for (int j : support) far.push_back(by[size_t(j)]);
    add_image(support.data(), far.data(), int(support.size()), image.data());
    return cut_short(by, image);
}

}  // namespace
