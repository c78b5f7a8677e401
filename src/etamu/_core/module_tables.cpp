// Elementary functions, and families that were derived and are tables.
#include <array>
#include <atomic>
#include "module.hpp"
#include "panels.hpp"
#include "team.hpp"

namespace etamu {

static PanelTable panel_table(const Array& edges, const Array& rows) {
    if (rows.ndim() != 2 || rows.shape(1) != PANEL_POINTS || rows.shape(0) + 1 != edges.size() || rows.shape(0) == 0)
        throw std::invalid_argument("panels: a table has one row of coefficients between two edges");
    return {edges.data(), rows.data(), int64_t(rows.shape(0))};
}

// Entry by entry, so that threads change nothing; whether every stretch said yes.
template <class Work> static bool in_stretches(int64_t n, int threads, Work work) {
    constexpr int64_t STRETCH = 8192;
    std::atomic<int64_t> next{0};
    std::atomic<bool> all{true};
    nb::gil_scoped_release release;
    auto share = [&] {
        for (int64_t start; (start = next.fetch_add(STRETCH)) < n;)
            if (!work(start, std::min(STRETCH, n - start))) all = false;
    };
    if (n > 2 * STRETCH) Team::here().run(threads, share);
    else share();
    return all;
}

void add_tables(nb::module_& m) {
    m.def("function", [](int which, nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu> x, Array out) {
        if (x.size() != out.size()) throw std::invalid_argument("function: sizes differ");
        const double* from = x.data();
        double* to = out.data();
        const int64_t n = int64_t(x.size());
        nb::gil_scoped_release release;
        active->function(which, from, to, n);
    });
    m.def("panel_values", [](Array edges, Array rows, double low, double high, Array x, Array out, int threads) {
        const PanelTable table = panel_table(edges, rows);
        if (x.size() != out.size()) throw std::invalid_argument("panel_values: sizes differ");
        const double* from = x.data();
        double* to = out.data();
        return in_stretches(int64_t(x.size()), threads, [=](int64_t start, int64_t count) {
            return panel_values(table, low, high, from + start, to + start, count);
        });
    });
    m.def("panel_areas", [](Array edges, Array rows, Array x, Array s, Array out, int threads) {
        const PanelTable table = panel_table(edges, rows);
        if (x.size() != out.size() || s.size() != out.size()) throw std::invalid_argument("panel_areas: sizes differ");
        const double *from = x.data(), *other = s.data();
        double* to = out.data();
        return in_stretches(int64_t(x.size()), threads, [=](int64_t start, int64_t count) {
            return panel_areas(table, from + start, other + start, to + start, count);
        });
    });
    m.def("derived_rows", [](const std::vector<std::tuple<Array, Array>>& tables, const std::vector<double>& ends, Array y, Array eta,
                             std::vector<Array> out, int threads) {
        if (tables.size() != 9 || ends.size() != 4 || out.size() != 4) throw std::invalid_argument("derived_rows: nine tables, four ends, four results");
        DerivedFamily f;
        PanelTable* places[9] = {&f.a, &f.mean, &f.variance, &f.theta, &f.conjugate, &f.low_gap, &f.high_gap, &f.low_loss, &f.high_loss};
        for (int i = 0; i < 9; ++i)
            if (std::get<0>(tables[i]).size()) *places[i] = panel_table(std::get<0>(tables[i]), std::get<1>(tables[i]));
        for (int i = 0; i < 5; ++i)
            if (!places[i]->panels) throw std::invalid_argument("derived_rows: a table is missing");
        f.low = ends[0]; f.high = ends[1]; f.mean_low = ends[2]; f.mean_high = ends[3];
        for (const Array& a : out)
            if (a.size() != y.size()) throw std::invalid_argument("derived_rows: sizes differ");
        if (eta.size() != y.size()) throw std::invalid_argument("derived_rows: sizes differ");
        const double *response = y.data(), *predictor = eta.data();
        double *deviance = out[0].data(), *pearson = out[1].data(), *score = out[2].data(), *weight = out[3].data();
        return in_stretches(int64_t(y.size()), threads, [=](int64_t start, int64_t count) {
            return derived_rows(f, response + start, predictor + start, deviance + start, pearson + start, score + start, weight + start, count);
        });
    });
}

}  // namespace etamu
