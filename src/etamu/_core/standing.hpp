// How a point stands under a penalty of each coordinate: see solvers/standing.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace etamu {

struct Standing {
    double penalty = 0;  // of the point, but for the share that no coefficient can avoid
    double away = 0;     // the largest distance of minus the gradient from the penalty's subdifferential
    double square = 0;   // of the slopes along the coordinates that are used
    bool idle = true;    // whether no other one would move
};

// The gradient of the smooth part is `share` times the score; `least` is what each |b| has to be at least
inline Standing standing(const double* b, const double* score, double share, const double* l1, const double* l2, const double* least, const double* low, const double* high, int64_t count) {
    Standing s;
    for (int64_t j = 0; j < count; ++j) {
        const double slope = share * score[j] + l2[j] * b[j];
        s.penalty += l1[j] * (std::abs(b[j]) - least[j]) + 0.5 * l2[j] * b[j] * b[j];
        const bool used = b[j] != 0 || l1[j] == 0;
        const double right = b[j] < 0 ? slope - l1[j] : slope + l1[j], left = b[j] > 0 ? slope + l1[j] : slope - l1[j];  // of the objective, to either side
        if (used) s.square += right * right;
        else s.idle = s.idle && left <= 0 && right >= 0;
        const double rise = b[j] < high[j] ? std::max(-right, 0.0) : 0.0, fall = b[j] > low[j] ? std::max(left, 0.0) : 0.0;
        s.away = std::max(s.away, std::max(rise, fall));
        if (!(slope == slope)) s.away = slope;
    }
    return s;
}

}  // namespace etamu
