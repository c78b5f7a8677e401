// Functions kept as polynomials on panels (derivation/panels.py): evaluated, and their double integrals between two points.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace etamu {

constexpr int PANEL_POINTS = 16;
constexpr double PANEL_REACH = 1.1;  // how far beyond a panel its polynomial may be used

struct TwiceIntegrated {
    double of[PANEL_POINTS];
    constexpr TwiceIntegrated() : of{} {
        for (int j = 0; j < PANEL_POINTS; ++j) of[j] = 1.0 / ((j + 1) * (j + 2));
    }
};
constexpr TwiceIntegrated TWICE_INTEGRATED;

struct PanelTable {
    const double* edges = nullptr;  // panels + 1, rising
    const double* rows = nullptr;   // (panels, PANEL_POINTS), lowest power first; NaN first where the panel has not been made
    int64_t panels = 0;

    int64_t place(double x) const {  // the last edge that is not above x; no branch that a processor could guess wrong
        int64_t i = 0;
        for (int64_t n = panels; n > 1;) {
            const int64_t half = n / 2;
            i += int64_t(edges[i + half] <= x) * half;
            n -= half;
        }
        return i;
    }
    double at(int64_t i, double x) const {  // where in the panel, from -1 to 1
        const double left = edges[i], right = edges[i + 1];
        return ((x - left) - (right - x)) / (right - left);
    }
    // f(x); `whole` turns false where the panel is not there
    double value(double x, bool& whole) const {
        const int64_t i = place(x);
        const double* a = rows + i * PANEL_POINTS;
        const double t = at(i, x);
        double out = a[PANEL_POINTS - 1];
        for (int j = PANEL_POINTS - 2; j >= 0; --j) out = out * t + a[j];
        whole &= !std::isnan(a[0]);
        return out;
    }
    // The integral of f(z) (x - z) dz from s to x into `out`, where both lie in or next to the panel of x, by dividing the double
    // antiderivative twice by (z - s), which cancels nothing; elsewhere `out` stays as it is.
    void area(double x, double s, double& out, bool& whole) const {
        if (!(x > edges[0] && x < edges[panels] && std::isfinite(s))) return;
        const int64_t i = place(x);
        const double t = at(i, x), u = at(i, s);
        if (!(std::abs(t) <= PANEL_REACH && std::abs(u) <= PANEL_REACH)) return;
        const double* a = rows + i * PANEL_POINTS;
        if (std::isnan(a[0])) {
            whole = false;
            return;
        }
        double first = 0, second = 0, sum = 0;
        for (int j = PANEL_POINTS - 1; j >= 0; --j) {
            first = first * u + a[j] * TWICE_INTEGRATED.of[j];
            second = second * u + first;
            sum = sum * t + second;
        }
        out = (x - s) * (x - s) * sum;
    }
};

// out = f(x), NaN outside of (low, high); says whether every panel was there.
inline bool panel_values(const PanelTable& table, double low, double high, const double* x, double* out, int64_t n) {
    bool whole = true;
    for (int64_t k = 0; k < n; ++k)
        out[k] = x[k] > low && x[k] < high ? table.value(x[k], whole) : std::numeric_limits<double>::quiet_NaN();
    return whole;
}

inline bool panel_areas(const PanelTable& table, const double* x, const double* s, double* out, int64_t n) {
    bool whole = true;
    for (int64_t k = 0; k < n; ++k) table.area(x[k], s[k], out[k], whole);
    return whole;
}

// The tables of a family derived from its log-partition (derivation/family.py), whose predictor is theta.
struct DerivedFamily {
    PanelTable a, mean, variance, theta, conjugate;  // the last two in the mean
    PanelTable low_gap, high_gap, low_loss, high_loss;  // no panels: not there
    double low, high;            // theta
    double mean_low, mean_high;  // means, and y
};

// Deviance, Pearson's term, score and information weight of each row; rows.py, row_terms without weights.
inline bool derived_rows(const DerivedFamily& f, const double* y, const double* eta, double* deviance, double* pearson, double* score,
                         double* weight, int64_t n) {
    constexpr double INFINITE = std::numeric_limits<double>::infinity();
    bool whole = true;
    for (int64_t k = 0; k < n; ++k) {
        const double theta = eta[k];
        if (!(theta > f.low && theta < f.high)) {
            deviance[k] = std::isnan(theta) ? theta : INFINITE;
            pearson[k] = score[k] = weight[k] = std::isnan(theta) ? theta : 0.0;
            continue;
        }
        const bool at_low = y[k] == f.mean_low, at_high = y[k] == f.mean_high;
        const double mu = std::clamp(f.mean.value(theta, whole), f.mean_low, f.mean_high);
        const double variance = std::max(f.variance.value(theta, whole), 0.0);
        const double residual = at_low ? -(f.low_gap.panels ? f.low_gap : f.mean).value(theta, whole)
                              : at_high && f.high_gap.panels ? f.high_gap.value(theta, whole) : y[k] - mu;
        double loss = INFINITE;
        if (at_low) {
            if (f.low_loss.panels) loss = f.low_loss.value(theta, whole);
        } else if (at_high) {
            if (f.high_loss.panels) loss = f.high_loss.value(theta, whole);
        } else {
            loss = f.a.value(theta, whole) - y[k] * theta + f.conjugate.value(y[k], whole);
            f.variance.area(theta, f.theta.value(y[k], whole), loss, whole);
        }
        const bool lost = !std::isfinite(loss);
        const double part = residual * (residual / variance);
        deviance[k] = lost ? INFINITE : 2.0 * loss;
        pearson[k] = lost || std::isnan(part) ? 0.0 : part;
        score[k] = lost || std::isnan(residual) ? 0.0 : residual;
        weight[k] = lost || std::isnan(variance) ? 0.0 : variance;
    }
    return whole;
}

}  // namespace etamu
