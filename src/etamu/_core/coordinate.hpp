// Coordinate descent on a quadratic model with a penalty.  Sweeps find which coordinates are not zero; Newton's step on those, where
// the objective is smooth, ends what sweeps alone would approach slowly.
#pragma once
#include "grouped.hpp"
#include "newton.hpp"
#include "sweeps.hpp"

namespace {
using namespace etamu;

constexpr int AGAIN = 10;    // times that coordinates which a last sweep lets in are followed
constexpr int FAILURES = 10; // of Newton's step in a row, after which a sweep that moves nothing has the last word: some are all but combinations of others
constexpr int STUCK = 50;    // the same, after which it is tried after every ALONE sweeps: it may undo what they do
constexpr int ALONE = 20;
constexpr int GIVEN_UP = 250;  // the same, after which what is left is a drift along what no digits tell apart
constexpr int GROUPED = 20;  // sweeps over groups before their step, which is dear

// Moves b, and q with it; the sweeps made, less than 0 where they did not suffice
template <class T> int descended(const Quadratic& f, Inverse& kept) {
    Descent<T> d(f, kept);
    int sweeps = 0, again = 0, failed = 0;
    bool solved = !f.groups && !kept.members.empty() && d.newton();  // whether the last step of Newton's reached the minimum over its support
    while (sweeps < f.most) {
        ++sweeps;
        d.entered = false;
        double last = d.sweep(true);
        // what has just come in may want to go far where another one, much like it, is there already
        if (last <= f.tolerance && (f.groups || (solved ? !d.entered || ++again > AGAIN : failed > FAILURES))) return sweeps;
        if (f.groups) {
            for (int k = 0; k < GROUPED && sweeps < f.most; ++k, ++sweeps)
                if ((last = d.sweep(false)) <= 0.5 * f.tolerance) break;
            for (int k = 0; k < 4 && last > 0.5 * f.tolerance; ++k)
                if (d.newton_grouped()) break;
            continue;
        }
        if (failed > STUCK && sweeps % ALONE) continue;
        for (int k = 0; k < d.patience() && sweeps < f.most && last > 0.5 * f.tolerance; ++k, ++sweeps) last = d.sweep_missing();
        solved = d.newton();
        failed = solved ? 0 : failed + 1;
        if (failed > GIVEN_UP) break;
    }
    return -sweeps;
}

int descend(const Quadratic& f, Inverse& kept) { return f.single ? descended<float>(f, kept) : descended<double>(f, kept); }

}  // namespace
