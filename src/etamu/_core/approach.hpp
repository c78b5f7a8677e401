// Newton steps on few rows without leaving the core: where a small fit is too quick for a turn through Python at every step.
// Only the way towards a solution that is well within reach; whoever asked judges, and measures at the end of it.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>
#include "core.hpp"

namespace etamu {

// From `beta` (in, out) at most `most` steps, each in `trace` as (deviance, decrement).  Returns how many were made, the last
// shorter than `enough` standard errors and far shorter than the one before; 0 when a pass gave no such step, or when some
// column has lost its information on the way, as one without a finite estimate does.  The sums at the end of the way, with the
// information of kind `there`, are added to `end`.
inline int approach(const Kernels& kernels, const Problem& problem, Task task, double* beta, double singular, double enough, int most, double* trace,
                    int there, const Result& end) {
    const int p = int(problem.columns.size());
    const int64_t ld = kernels.width(p);
    std::vector<double> information(size_t(ld) * p), score(p), scale(p), triangle(size_t(p) * p);
    std::vector<double> work(size_t(p) * p), inverse(size_t(p) * p), first(score.size());
    constexpr double LOST = 1e-3;  // of a column's information given the others, relative to what the others kept
    auto kept_all = [&] {
        kernels.inverse(triangle.data(), scale.data(), p, work.data(), inverse.data());
        double least = std::numeric_limits<double>::infinity(), most_kept = 0;
        for (int j = 0; j < p; ++j) {
            const double share = first[size_t(j)] / inverse[size_t(j) * (p + 1)];
            least = std::min(least, share);
            most_kept = std::max(most_kept, share);
        }
        return least >= LOST * most_kept;
    };
    double scalars[4], lowest = std::numeric_limits<double>::infinity(), previous = lowest;
    task.beta = beta;
    for (int k = 0; k < most; ++k) {
        std::fill(information.begin(), information.end(), 0.0);
        std::fill(score.begin(), score.end(), 0.0);
        std::fill(scalars, scalars + 4, 0.0);
        kernels.pass(problem, task, Result{scalars, score.data(), nullptr, nullptr, information.data()});
        const double deviance = scalars[2], spread = std::sqrt(deviance / scalars[0]);
        if (!(deviance <= lowest * (1 + 1e-9)) || !std::isfinite(deviance)) return 0;
        lowest = deviance;
        if (!(kernels.factor(information.data(), ld, p, scale.data(), triangle.data()) > singular)) return 0;
        if (k == 0) {
            kernels.inverse(triangle.data(), scale.data(), p, work.data(), inverse.data());
            for (int j = 0; j < p; ++j) first[size_t(j)] = inverse[size_t(j) * (p + 1)];
        }
        std::vector<double> step = score;
        kernels.solve(triangle.data(), scale.data(), p, 1.0, step.data());
        double squared = 0;
        for (int j = 0; j < p; ++j) squared += step[j] * score[j];
        const double decrement = std::sqrt(std::max(squared, 0.0));
        if (!std::isfinite(decrement)) return 0;
        for (int j = 0; j < p; ++j) beta[j] += step[j];
        trace[2 * k] = deviance;
        trace[2 * k + 1] = decrement;
        if (decrement <= enough * std::min(1.0, spread)) {
            if (!(decrement <= 0.2 * previous && kept_all())) return 0;
            task.information = there;
            kernels.pass(problem, task, end);
            return k + 1;
        }
        previous = decrement;
    }
    return 0;
}

}  // namespace etamu
