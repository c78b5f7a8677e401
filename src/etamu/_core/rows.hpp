// The row terms of rows.py for a block of rows: (y, eta, w) -> deviance, pearson, score row r, information row W.
//
// Every link fills the same few arrays and every family reads them, so there are (links + families) kernels and not
// links x families; the log link alone has its own form of each family, because mu^(1-p) must not be formed as
// mu * mu^-p when mu under- or overflows.
#pragma once
#include <cmath>
#include "core.hpp"
#include "pack.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

struct RowBlock {
    bool weighted;  // some weight is not 1
    alignas(64) double y[MAX_BLOCK], w[MAX_BLOCK], eta[MAX_BLOCK];
    alignas(64) double score[MAX_BLOCK], weight[MAX_BLOCK];
    // what a link says of eta; `comp` = 1 - mu, `a` = mu'/mu, `b` = mu'/(1-mu), `curve` = mu''/mu'
    alignas(64) double mu[MAX_BLOCK], dmu[MAX_BLOCK], curve[MAX_BLOCK];
    alignas(64) double log_mu[MAX_BLOCK], log_comp[MAX_BLOCK], a[MAX_BLOCK], b[MAX_BLOCK];
    alignas(64) double bend[MAX_BLOCK], bend_comp[MAX_BLOCK];  // a - curve and b + curve
    alignas(64) double log_y[MAX_BLOCK];
};

struct Totals { V deviance{}, pearson{}; };

// ---- stable pieces -------------------------------------------------------------------------------------------

// (atanh(v) - v) / v^3 for |v| < 0.1, z = v^2
ETAMU_INLINE V atanh_tail(V z) {
    V u = z * z;
    V odd = u * (u * (1.0 / 13) + 1.0 / 9) + 1.0 / 5, even = u * (u * (u * (1.0 / 15) + 1.0 / 11) + 1.0 / 7) + 1.0 / 3;
    return odd * z + even;
}

// y log(y/mu) - (y - mu) without cancellation near y = mu (Loader's bd0); log_mu is given because mu may underflow.
ETAMU_INLINE V poisson_half_deviance(V y, V mu, V log_y, V log_mu) {
    V v = (y - mu) / (y + mu);
    V z = v * v, s = atanh_tail(z);
    V near = (y - mu) * v + 2.0 * y * v * z * s;
    V far = y * (log_y - log_mu) - (y - mu);
    V d = abs(v) < 0.1 ? near : far;
    return y == 0.0 ? mu : d;
}
ETAMU_INLINE V poisson_half_deviance(V y, V mu, V log_mu) { return poisson_half_deviance(y, mu, log(y), log_mu); }

// (y - mu)/mu - log(y/mu); ratio = y/mu
ETAMU_INLINE V gamma_half_deviance(V ratio, V log_y, V log_mu) {
    V v = (ratio - 1.0) / (ratio + 1.0);
    V z = v * v, s = atanh_tail(z);
    V near = z * (ratio + 1.0) - 2.0 * v * z * s;  // 2 / (1 - v) = ratio + 1
    V far = (ratio - 1.0) - (log_y - log_mu);
    return abs(v) < 0.1 ? near : far;
}

// mu^(2-p) * (expm1(a u) - a expm1(u)) / ((1-p) a), a = 2-p, u = log(y/mu); the series is its limit for small u
ETAMU_INLINE V tweedie_half_deviance(V y, V mu, V log_mu, double p) {
    double a = 2.0 - p, q = 1.0 - p;
    V far_u = log(y) - log_mu;
    V u = abs(far_u) < 0.5 ? log1p((y - mu) / mu) : far_u;
    V series{};
    double power = 1, partial = 1, factor = 0.5;  // sum_k u^k (1 + a + ... + a^(k-2)) / k!
    double c[12];
    for (int k = 0; k < 12; ++k) { c[k] = partial * factor; power *= a; partial += power; factor /= k + 3; }
    for (int k = 11; k >= 0; --k) series = series * u + c[k];
    series = series * u * u;
    V scale = exp(a * log_mu);
    V near = scale * series;
    V direct = exp(a * log(y)) / (q * a) - y * exp(q * log_mu) / q + scale / a;
    V d = abs(u) < 0.3 ? near : direct;
    return y == 0.0 ? scale / a : d;
}

// y log(y/mu) - (y + k) log((y + k)/(mu + k)); log(1 + mu/k) from log mu, as mu may overflow
ETAMU_INLINE V negative_binomial_half_deviance(V y, V mu, V log_y, V log_mu, double k) {
    V u = log_mu - std::log(k), grown = u > 30.0 ? u : log1p(mu / k);
    V far = y * (log_y - log_mu) - (y + k) * (log1p(y / k) - grown);
    V v = (y - mu) / (y + mu + 2.0 * k);
    V near = poisson_half_deviance(y, mu, log_y, log_mu) - ((y - mu) * v + 2.0 * (y + k) * v * v * v * atanh_tail(v * v));
    V d = abs(y - mu) < 0.1 * (y + mu) ? near : far;
    return y == 0.0 ? k * grown : d;
}

// erfc(x) exp(x^2) for x >= 0
inline double erfcx(double x) {
    if (x > 12) {
        double z = 1 / (x * x), s = 1;
        for (int k = 12; k >= 1; --k) s = 1 - s * (2 * k - 1) * 0.5 * z;
        return s / (x * 1.7724538509055160273);
    }
    double hi = x * x, lo = std::fma(x, x, -hi);
    return std::erfc(x) * std::exp(hi) * (1 + lo);
}

// ---- links ---------------------------------------------------------------------------------------------------

// log(1 - exp(-t)), t > 0
ETAMU_INLINE V log1mexp(V t) { return t < 0.6931471805599453 ? log(-expm1(-t)) : log1p(-exp(-t)); }

ETAMU_INLINE void complementary_log(V t, V& log_p, V& log_q, V& p, V& q, V& a) {  // p = 1 - exp(-t), a = t/expm1(t)
    log_q = -t;
    p = -expm1(-t);
    q = exp(-t);
    log_p = t < 1e-300 ? log(t) : log1mexp(t);
    V ratio = t / expm1(t);
    a = t > 745.0 ? V{} : (t < 1e-300 ? all(1.0) : ratio);
}

// t/expm1(t) - 1 + t with a = t/expm1(t)
ETAMU_INLINE V cloglog_bend(V t, V a) { return t < 0.01 ? t * (0.5 + t * (1.0 / 12.0 - t * t / 720.0)) : a - 1.0 + t; }

inline void probit_row(double eta, double& mu, double& q, double& lp, double& lq, double& dmu, double& a, double& b) {
    double z = std::fabs(eta), e = erfcx(z * 0.70710678118654752440);
    double tail = 0.5 * std::erfc(z * 0.70710678118654752440), hazard = 0.79788456080286535588 / e;
    double log_tail = std::log(0.5 * e) - 0.5 * z * z, log_body = std::log1p(-tail);
    dmu = std::exp(-0.5 * z * z) * 0.39894228040143267794;
    double other = dmu / (1 - tail);
    bool lower = eta < 0;
    mu = lower ? tail : 1 - tail; q = lower ? 1 - tail : tail;
    lp = lower ? log_tail : log_body; lq = lower ? log_body : log_tail;
    a = lower ? hazard : other; b = lower ? other : hazard;
}

inline void cauchit_row(double eta, double& mu, double& q, double& lp, double& lq, double& dmu, double& a, double& b) {
    constexpr double PI = 3.14159265358979323846;
    double z = std::fabs(eta), tail = std::atan2(1.0, z) / PI, body = 1 - tail;
    dmu = 1 / (PI * (1 + z * z));
    bool lower = eta < 0;
    mu = lower ? tail : body; q = lower ? body : tail;
    lp = lower ? std::log(tail) : std::log1p(-tail); lq = lower ? std::log1p(-tail) : std::log(tail);
    a = dmu / mu; b = dmu / q;
}

inline void link_stage(const Problem& problem, RowBlock& t, int count) {
    const double k = problem.link_parameter;
    if (problem.link == PROBIT || problem.link == CAUCHIT) {
        for (int i = 0; i < count; ++i) {
            double q, eta = t.eta[i];
            if (problem.link == PROBIT) probit_row(eta, t.mu[i], q, t.log_mu[i], t.log_comp[i], t.dmu[i], t.a[i], t.b[i]);
            else cauchit_row(eta, t.mu[i], q, t.log_mu[i], t.log_comp[i], t.dmu[i], t.a[i], t.b[i]);
            t.curve[i] = problem.link == PROBIT ? -eta : -2 * eta / (1 + eta * eta);
            t.bend[i] = t.a[i] - t.curve[i];
            t.bend_comp[i] = t.b[i] + t.curve[i];
        }
        return;
    }
    for (int i = 0; i < count; i += L) {
        V eta = load(t.eta + i), mu, dmu, curve, lp, lq, a, b, bend, bend_comp;
        bool bent = false;  // and the bends
        bool unit = false;  // the link itself maps to (0, 1) and has filled lp, lq, a, b
        switch (problem.link) {
            case IDENTITY: mu = eta; dmu = all(1); curve = V{}; break;
            case LOG: mu = exp(eta); dmu = mu; curve = all(1); lp = eta; lq = log(-expm1(eta)); a = all(1);
                lq = eta < -0.7 ? log1p(-mu) : lq; b = mu / -expm1(eta); unit = true; break;
            case INVERSE: mu = 1.0 / eta; dmu = -mu * mu; curve = -2.0 * mu; break;
            case INVERSE_SQUARED: mu = exp(-0.5 * log(eta)); dmu = -0.5 * mu / eta; curve = -1.5 / eta; break;
            case SQRT: mu = eta > 0.0 ? eta * eta : all(NAN); dmu = 2.0 * eta; curve = 1.0 / eta; break;
            case POWER: mu = exp(log(eta) / k); dmu = mu / (k * eta); curve = (1 / k - 1) / eta; break;
            case LOGIT: {
                V e = exp(-abs(eta)), s = 1.0 / (1.0 + e), l = log1p(e), r = e * s;
                mu = eta >= 0.0 ? s : r; b = mu; a = eta >= 0.0 ? r : s;
                lp = min(eta, V{}) - l; lq = -max(eta, V{}) - l;
                dmu = s * r; curve = a - b; unit = bent = true; bend = b; bend_comp = a; break;
            }
            case CLOGLOG: {
                V q, tt = exp(eta);
                complementary_log(tt, lp, lq, mu, q, a); b = tt; dmu = tt < 745.0 ? tt * q : V{}; curve = 1.0 - tt;
                lp = eta < -690.0 ? eta : lp; unit = bent = true;
                bend = cloglog_bend(tt, a); bend_comp = all(1); break;
            }
            default: {  // LOGLOG
                V q, tt = exp(-eta);
                complementary_log(tt, lq, lp, q, mu, b); a = tt; dmu = tt < 745.0 ? tt * mu : V{}; curve = tt - 1.0;
                lq = eta > 690.0 ? -eta : lq; unit = bent = true;
                bend = all(1); bend_comp = cloglog_bend(tt, b); break;
            }
        }
        if (!unit) { lp = log(mu); lq = log1p(-mu); a = dmu / mu; b = dmu / (1.0 - mu); }
        if (!bent) { bend = a - curve; bend_comp = b + curve; }
        store(t.bend + i, bend); store(t.bend_comp + i, bend_comp);
        store(t.mu + i, mu); store(t.dmu + i, dmu); store(t.curve + i, curve);
        store(t.log_mu + i, lp); store(t.log_comp + i, lq); store(t.a + i, a); store(t.b + i, b);
    }
}

// ---- families ------------------------------------------------------------------------------------------------

struct Row { V deviance, score, weight, pearson; };

// score = (y-mu) mu'/V; expected W = mu'^2/V; observed W subtracts (y-mu) d(mu'/V)/deta
ETAMU_INLINE V observed(V expected, V score, V curve, V slope) { return expected - score * (curve - slope); }
ETAMU_INLINE V chosen(int information, V observed, V expected) { return information == CURVED ? max(observed, 0.1 * expected) : observed; }

ETAMU_INLINE Row binomial_row(V y, V lp, V lq, V a, V b, V bend, V bend_comp, int information) {
    Row r;
    V z = 1.0 - y;
    r.score = (y == 0.0 ? V{} : y * a) - (z == 0.0 ? V{} : z * b);
    r.weight = a * b;
    V entropy = (y == 0.0 ? V{} : y * (log(y) - lp)) + (z == 0.0 ? V{} : z * (log(z) - lq));
    V mu = exp(lp), q = exp(lq);
    V stable = poisson_half_deviance(y, mu, lp) + poisson_half_deviance(z, q, lq);
    r.deviance = 2.0 * (abs(y - mu) < 0.1 * min(y, z) ? stable : entropy);
    r.pearson = r.score * (r.score / r.weight);
    if (information != EXPECTED) r.weight = chosen(information, (y == 0.0 ? V{} : y * a * bend) + (z == 0.0 ? V{} : z * b * bend_comp), r.weight);
    return r;
}

// whether any of the numbers, which are not negative, is neither 0 nor 1
inline bool fractions(const double* x, int count) {
    V other{};
    for (int i = 0; i < count; i += L) { V v = load(x + i); other = max(other, abs(v * (1.0 - v))); }
    return !(sum(other) == 0);
}

// with y in {0, 1} only, r = e^-|eta| gives everything: the deviance is 2 log(1 + e^(-+eta)), pearson e^(-+eta)
template <bool FRACTIONS> ETAMU_INLINE Row logit_row(V y, V eta, V e) {
    V u = 1.0 + e, s = 1.0 / u, small = e * s;
    V l = log_corrected(u, (e - (u - 1.0)) * s);  // log1p(e)
    I up = eta >= 0.0;
    V mu = up ? s : small, q = up ? small : s;
    Row r;
    r.weight = s * small;
    if constexpr (FRACTIONS) {
        V z = 1.0 - y, lp = min(eta, V{}) - l, lq = -max(eta, V{}) - l;
        r.score = y * q - z * mu;
        V near = poisson_half_deviance(y, mu, lp) + poisson_half_deviance(z, q, lq);
        V far = (y == 0.0 ? V{} : y * (log(y) - lp)) + (z == 0.0 ? V{} : z * (log(z) - lq));
        r.deviance = 2.0 * (abs(y - mu) < 0.1 * min(y, z) ? near : far);
        V odds = up ? e : 1.0 / e;
        r.pearson = y == 1.0 ? odds : y == 0.0 ? 1.0 / odds : r.score * (r.score / r.weight);
    } else {
        I one = y != 0.0;
        r.score = one ? q : -mu;
        V signed_eta = one ? -eta : eta;
        r.deviance = 2.0 * (l + max(signed_eta, V{}));
        r.pearson = signed_eta > 0.0 ? 1.0 / e : e;
    }
    return r;
}

// The same of whole rows with y in {0, 1} and weights that are 1, or 0 or 1 if WEIGHTED; says whether every one stayed within the
// range of doubles.  The logarithms of 1 + e are one logarithm of their product, whose excess over 1 is a sum of positive
// terms; and one division serves for two.
template <bool WEIGHTED> inline bool logit_rows(RowBlock& t, int count, Totals& totals, Ahead& ahead) {
    V excess{}, linear{}, pearson{}, strange{};
    for (int i = 0; i < count; i += L) {
        ahead.step(2 * ahead.halves * count / L);
        V y = load(t.y + i), eta = load(t.eta + i), e = load(t.mu + i);
        V u = 1.0 + e, both = 1.0 / (e * u), s = e * both, small = e * s;
        I one = y != 0.0, up = eta >= 0.0;
        V signed_eta = one ? -eta : eta, against = max(signed_eta, V{});
        V score = one ? (up ? small : s) : (up ? -s : -small), weight = s * small;
        V odds = signed_eta > 0.0 ? u * both : e;
        if constexpr (WEIGHTED) {
            V w = load(t.w + i);
            score *= w, weight *= w, odds *= w, against *= w, e *= w;
        }
        store(t.score + i, score);
        store(t.weight + i, weight);
        excess = excess * e + (excess + e);
        linear += against;
        pearson += odds;
        strange += 0.0 * ((against + score) + (weight + odds));
    }
    V deviance = 2.0 * (linear + log1p(excess));
    if (!(sum(strange + 0.0 * deviance) == 0)) return false;
    totals.deviance += deviance;
    totals.pearson += pearson;
    return true;
}

// V(mu) = mu^p (p = 1, 2, 3 or Tweedie) or mu + mu^2/theta under the log link
// e: exp(eta), or exp(-eta) for the families that only meet the ratio y/mu
ETAMU_INLINE bool inverted(int family) { return family == GAMMA || family == INVERSE_GAUSSIAN; }
ETAMU_INLINE Row log_link_row(int family, double par, V y, V eta, V e, V log_y, int information) {
    Row r;
    V mu = e;
    V slope;  // V'(mu) mu' / V
    switch (family) {
        case POISSON: r.weight = mu; r.score = y - mu; slope = all(1);
            r.deviance = 2.0 * poisson_half_deviance(y, mu, log_y, eta); r.pearson = r.score * r.score / mu; break;
        case GAMMA: { V ratio = y * e; r.weight = all(1); r.score = ratio - 1.0; slope = all(2);
            r.deviance = 2.0 * gamma_half_deviance(ratio, log_y, eta); r.pearson = r.score * r.score; break; }
        case INVERSE_GAUSSIAN: { V inv = e, ratio = y * inv; r.weight = inv; r.score = (ratio - 1.0) * inv; slope = all(3);
            r.deviance = (ratio - 1.0) * (ratio - 1.0) / y; r.pearson = (ratio - 1.0) * (ratio - 1.0) * inv; break; }
        case TWEEDIE: { V q = exp((1 - par) * eta); r.weight = exp((2 - par) * eta); slope = all(par);
            r.score = y * q - r.weight; r.deviance = 2.0 * tweedie_half_deviance(y, mu, eta, par);
            r.pearson = r.score * (r.score / r.weight); break; }
        case NEGATIVE_BINOMIAL: { V s = 1.0 / (1.0 + mu / par); r.weight = mu * s; r.score = (y - mu) * s;
            V big = exp(-eta) + 1.0 / par; r.weight = 1.0 / big; r.score = y * s - r.weight;
            slope = 1.0 + (1.0 / par) / big;
            r.deviance = 2.0 * negative_binomial_half_deviance(y, mu, log_y, eta, par); r.pearson = r.score * (r.score / r.weight); break; }
        default: r.weight = mu * mu; r.score = (y - mu) * mu; slope = V{};
            r.deviance = (y - mu) * (y - mu); r.pearson = r.deviance;
    }
    if (information != EXPECTED) {
        const V expected = r.weight;
        switch (family) {
            case POISSON: break;                                     // canonical
            case GAMMA: r.weight = r.score + 1.0; break;             // y / mu
            case GAUSSIAN: r.weight = mu * mu - (y - mu) * mu; break;
            default: r.weight = observed(r.weight, r.score, all(1), slope);
        }
        r.weight = chosen(information, r.weight, expected);
    }
    return r;
}

// the same families under any other link, from mu, mu' and a = mu'/mu; `edge` allows a mean that rounds to 0
ETAMU_INLINE Row general_row(int family, double par, V y, V mu, V dmu, V curve, V lmu, V a, int information, bool edge) {
    Row r;
    V residual = y - mu, inverse = exp(-lmu), t = y * inverse - 1.0, slope;  // slope = V'(mu) mu' / V
    switch (family) {
        case POISSON: r.score = residual * a; r.weight = a * dmu; slope = a;
            r.pearson = y == 0.0 ? mu : residual * (residual * inverse);
            r.deviance = 2.0 * poisson_half_deviance(y, mu, lmu); break;
        case GAMMA: r.score = a * t; r.weight = a * a; slope = 2.0 * a; r.pearson = t * t;
            r.deviance = 2.0 * gamma_half_deviance(y * inverse, log(y), lmu); break;
        case INVERSE_GAUSSIAN: r.score = a * t * inverse; r.weight = a * a * inverse; slope = 3.0 * a; r.pearson = t * t * inverse;
            r.deviance = t * t / y; break;
        case TWEEDIE: { V whole = exp((2 - par) * lmu), half = exp(-0.5 * par * lmu);
            V root = abs(lmu) > 300.0 ? y * half - exp((1 - 0.5 * par) * lmu) : residual * half;
            r.score = a * (y * exp((1 - par) * lmu) - whole); r.weight = a * a * whole; slope = par * a;
            r.pearson = y == 0.0 ? whole : root * root; r.deviance = 2.0 * tweedie_half_deviance(y, mu, lmu, par); break; }
        case NEGATIVE_BINOMIAL: { V big = inverse + 1.0 / par; r.score = a * (y / (1.0 + mu / par) - 1.0 / big); r.weight = a * a / big;
            slope = a * (1.0 + 1.0 / (1.0 + par * inverse)); r.pearson = lmu > 0.0 ? t * t / big : residual * residual / (mu * (1.0 + mu / par));
            r.deviance = 2.0 * negative_binomial_half_deviance(y, mu, log(y), lmu, par); break; }
        default: r.score = residual * dmu; r.weight = dmu * dmu; slope = V{}; r.deviance = residual * residual; r.pearson = r.deviance;
    }
    if (information != EXPECTED) r.weight = chosen(information, observed(r.weight, r.score, curve, slope), r.weight);
    // outside the family's mean space the row has no density: an infinite deviance, and nothing to add
    if (family != GAUSSIAN) {
        I inside = edge ? mu >= 0.0 : mu > 0.0;
        r.deviance = inside & (mu < INF) ? r.deviance : all(INF);
    } else {
        r.deviance = mu == mu ? r.deviance : all(INF);
    }
    return r;
}

inline bool maps_to_unit(int link) { return link == LOGIT || link == PROBIT || link == CLOGLOG || link == LOGLOG || link == CAUCHIT; }

// rows.py, _within_range
ETAMU_INLINE Row within_range(Row r, I known) {
    I lost = known & ~(r.deviance < INF);
    r.deviance = lost ? all(INF) : r.deviance;
    r.score = lost | (known & (r.score != r.score)) ? V{} : r.score;
    r.weight = lost | (known & (r.weight != r.weight)) ? V{} : r.weight;
    r.pearson = lost | (known & (r.pearson != r.pearson)) ? V{} : r.pearson;
    return r;
}

// The rows of a block as they come; says whether every one stayed within the range of doubles.
template <bool WEIGHTED, class Compute>
ETAMU_INLINE bool plain_rows(RowBlock& t, int count, Totals& totals, Ahead& ahead, Compute compute) {
    V deviance{}, pearson{}, strange{};
    for (int i = 0; i < count; i += L) {
        ahead.step(2 * ahead.halves * count / L);
        Row r = compute(i);
        if constexpr (WEIGHTED) {
            V w = load(t.w + i);
            r = Row{w * r.deviance, w * r.score, w * r.weight, w * r.pearson};
        }
        store(t.score + i, r.score);
        store(t.weight + i, r.weight);
        deviance += r.deviance;
        pearson += r.pearson;
        strange += 0.0 * ((r.deviance + r.score) + (r.weight + r.pearson));
    }
    if (!(sum(strange) == 0)) return false;
    totals.deviance += deviance;
    totals.pearson += pearson;
    return true;
}

// Rows of which some left the range: each is looked at.  A row of weight zero adds nothing, whatever its y and eta.
template <class Compute> inline void guarded_rows(RowBlock& t, int count, Totals& totals, Compute compute) {
    for (int i = 0; i < count; i += L) {
        V w = load(t.w + i), eta = load(t.eta + i);
        Row r = within_range(compute(i), eta == eta);
        I used = w != 0.0;
        store(t.score + i, used ? w * r.score : V{});
        store(t.weight + i, used ? w * r.weight : V{});
        totals.deviance += used ? w * r.deviance : V{};
        totals.pearson += used ? w * r.pearson : V{};
    }
}

template <class Compute>
ETAMU_INLINE void each_row(RowBlock& t, int count, Totals& totals, Ahead& ahead, Compute compute) {
    const bool inside = t.weighted ? plain_rows<true>(t, count, totals, ahead, compute) : plain_rows<false>(t, count, totals, ahead, compute);
    if (!inside) guarded_rows(t, count, totals, compute);
}

// One elementary function over the block: a loop of its own keeps several rows under way at once, where one long loop
// would wait for each row's chain.
template <class Function> ETAMU_INLINE void stage(const double* in, double* out, int count, Function function) {
    for (int i = 0; i < count; i += L) store(out + i, function(load(in + i)));
}

template <int FAMILY> inline void log_link_rows(RowBlock& t, int count, double par, int information, Totals& totals, Ahead& ahead) {
    stage(t.eta, t.mu, count, [](V eta) { return exp(inverted(FAMILY) ? -eta : eta); });
    if (FAMILY == POISSON || FAMILY == GAMMA || FAMILY == NEGATIVE_BINOMIAL) stage(t.y, t.log_y, count, [](V y) { return log_inside(y, V{}); });
    each_row(t, count, totals, ahead, [&](int i) {
        return log_link_row(FAMILY, par, load(t.y + i), load(t.eta + i), load(t.mu + i), load(t.log_y + i), information);
    });
}

inline void row_terms(const Problem& problem, RowBlock& t, int count, int information, Totals& totals, Ahead& ahead) {
    const int family = problem.family;
    const double par = problem.family_parameter;
    if (family == BINOMIAL && problem.link == LOGIT) {
        stage(t.eta, t.mu, count, [](V eta) { return exp(-abs(eta)); });
        if (fractions(t.y, count))
            each_row(t, count, totals, ahead, [&](int i) { return logit_row<true>(load(t.y + i), load(t.eta + i), load(t.mu + i)); });
        else if (t.weighted ? fractions(t.w, count) || !logit_rows<true>(t, count, totals, ahead) : !logit_rows<false>(t, count, totals, ahead))
            each_row(t, count, totals, ahead, [&](int i) { return logit_row<false>(load(t.y + i), load(t.eta + i), load(t.mu + i)); });
    } else if (family == GAUSSIAN && problem.link == IDENTITY) {
        each_row(t, count, totals, ahead, [&](int i) {
            V residual = load(t.y + i) - load(t.eta + i);
            return Row{residual * residual, residual, all(1), residual * residual};
        });
    } else if (family != BINOMIAL && problem.link == LOG) {
        switch (family) {
#define ETAMU_LOG_LINK(NAME) case NAME: log_link_rows<NAME>(t, count, par, information, totals, ahead); break;
            ETAMU_LOG_LINK(GAUSSIAN) ETAMU_LOG_LINK(POISSON) ETAMU_LOG_LINK(GAMMA) ETAMU_LOG_LINK(INVERSE_GAUSSIAN)
            ETAMU_LOG_LINK(TWEEDIE) ETAMU_LOG_LINK(NEGATIVE_BINOMIAL)
        }
    } else if (family == BINOMIAL) {
        link_stage(problem, t, count);
        const bool confined = maps_to_unit(problem.link);
        each_row(t, count, totals, ahead, [&](int i) {
            Row r = binomial_row(load(t.y + i), load(t.log_mu + i), load(t.log_comp + i), load(t.a + i), load(t.b + i),
                                 load(t.bend + i), load(t.bend_comp + i), information);
            if (!confined) {
                V mu = load(t.mu + i), eta = load(t.eta + i);
                I inside = problem.link == LOG ? eta < 0.0 : (mu > 0.0) & (mu < 1.0);
                r.deviance = inside ? r.deviance : all(INF);
                r.score = inside ? r.score : V{}; r.weight = inside ? r.weight : V{}; r.pearson = inside ? r.pearson : V{};
            }
            return r;
        });
    } else {
        link_stage(problem, t, count);
        const bool edge = maps_to_unit(problem.link) || problem.link >= INVERSE_SQUARED;
        each_row(t, count, totals, ahead, [&](int i) {
            return general_row(family, par, load(t.y + i), load(t.mu + i), load(t.dmu + i), load(t.curve + i),
                               load(t.log_mu + i), load(t.a + i), information, edge);
        });
    }
}

}  // namespace
