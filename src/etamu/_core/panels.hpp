// Functions kept as polynomials on panels (derivation/panels.py): evaluated, and their double integrals between two points.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace etamu {

constexpr int PANEL_POINTS = 16;
constexpr double PANEL_REACH = 1.1;  // how far beyond a panel its polynomial may be used

struct PanelTable {
    const double* edges;  // panels + 1, rising
    const double* rows;   // (panels, PANEL_POINTS), lowest power first; NaN first where the panel has not been made
    int64_t panels;

    int64_t place(double x) const {
        const double* end = edges + panels + 1;
        return std::clamp<int64_t>(std::upper_bound(edges, end, x) - edges - 1, 0, panels - 1);
    }
    double at(int64_t i, double x) const {  // where in the panel, from -1 to 1
        const double left = edges[i], right = edges[i + 1];
        return ((x - left) - (right - x)) / (right - left);
    }
};

// out = f(x), NaN outside of (low, high); says whether every panel was there.
inline bool panel_values(const PanelTable& table, double low, double high, const double* x, double* out, int64_t n) {
    bool whole = true;
    for (int64_t k = 0; k < n; ++k) {
        if (!(x[k] > low && x[k] < high)) {
            out[k] = std::numeric_limits<double>::quiet_NaN();
            continue;
        }
        const int64_t i = table.place(x[k]);
        const double* a = table.rows + i * PANEL_POINTS;
        const double t = table.at(i, x[k]);
        double value = a[PANEL_POINTS - 1];
        for (int j = PANEL_POINTS - 2; j >= 0; --j) value = value * t + a[j];
        out[k] = value;
        whole &= !std::isnan(a[0]);
    }
    return whole;
}

// out = the integral of f(z) (x - z) dz from s to x, where both lie in or next to the panel of x, by dividing the double
// antiderivative twice by (z - s), which cancels nothing; elsewhere out stays as it is.
inline bool panel_areas(const PanelTable& table, const double* x, const double* s, double* out, int64_t n) {
    bool whole = true;
    for (int64_t k = 0; k < n; ++k) {
        if (!(std::isfinite(x[k]) && std::isfinite(s[k]))) continue;
        const int64_t i = table.place(x[k]);
        const double t = table.at(i, x[k]), u = table.at(i, s[k]);
        if (!(std::abs(t) <= PANEL_REACH && std::abs(u) <= PANEL_REACH)) continue;
        const double* a = table.rows + i * PANEL_POINTS;
        if (std::isnan(a[0])) {
            whole = false;
            continue;
        }
        double first = 0, second = 0, value = 0;
        for (int j = PANEL_POINTS - 1; j >= 0; --j) {
            first = first * u + a[j] / double((j + 1) * (j + 2));
            second = second * u + first;
            value = value * t + second;
        }
        out[k] = (x[k] - s[k]) * (x[k] - s[k]) * value;
    }
    return whole;
}

}  // namespace etamu
