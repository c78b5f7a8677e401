// Plans, and the terms of rows.
#include "plan.hpp"

namespace etamu {

// Deviance and pearson, and the score factor and information weight of each row, at given predictors
static std::tuple<double, double> rows_at(const Plan& plan, Array eta, int information, int threads, Array score, Array weight) {
    const int64_t n = plan.problem.rows;
    if (eta.size() != size_t(n) || score.size() < size_t(n) || weight.size() < size_t(n)) throw std::invalid_argument("rows_at: sizes differ");
    if (plan.problem.equations != 1 || plan.problem.family == MULTINOMIAL) throw std::invalid_argument("rows_at knows one equation");
    constexpr int64_t STRETCH = 4096;
    std::vector<double> sums(size_t(2 * ((n + STRETCH - 1) / STRETCH)) + 2, 0.0);
    const double* e = eta.data();
    double *s = score.data(), *w = weight.data();
    nb::gil_scoped_release release;
    shared_out(n, STRETCH, n > 2 * STRETCH ? threads : 1, [&](int64_t first, int64_t last) {
        active->rows(plan.problem, e, first, last, information, s, w, &sums[size_t(2 * (first / STRETCH))]);
    });
    double deviance = 0, pearson = 0;
    for (size_t i = 0; i + 1 < sums.size(); i += 2) deviance += sums[i], pearson += sums[i + 1];
    return {deviance, pearson};
}

void add_plans(nb::module_& m) {
    nb::class_<Plan>(m, "Plan")
        .def(nb::init<const Where&, const Fit&, const std::vector<ColumnTuple>&, const std::vector<GroupTuple>&, const SparseTuple&,
                      const TablesTuple&, int64_t, int, double, int, double, int, int>())
        .def("sum", &Plan::sum)
        .def("approach", &Plan::approach)
        .def("predictor", &Plan::predictor)
        .def("terms", &Plan::terms)
        .def("forms", &Plan::forms)
        .def("deviances", &Plan::deviances)
        .def("accumulate", &Plan::accumulate);
    m.def("rows_at", &rows_at);
}

}  // namespace etamu
