// A problem whose columns lie where Python has them, and its passes: the GIL is released meanwhile.
#pragma once
#include "approach.hpp"
#include "module.hpp"
#include "ordered.hpp"
#include "team.hpp"

namespace etamu {

struct Plan {
    Problem problem;
    size_t cells = 0, tables = 0;
    mutable Spare spare;

    Plan(const Where& columns, const Fit& fit, const std::vector<ColumnTuple>& extra, const std::vector<GroupTuple>& groups,
         const SparseTuple& sparse, const TablesTuple& where, int64_t rows, int family, double family_parameter,
         int link, double link_parameter, int equations, int reference) {
        problem.columns = to_columns(columns, fit);
        for (const auto& c : extra) problem.extra.push_back(to_column(c));
        for (const auto& g : groups) {
            problem.groups.push_back({reinterpret_cast<const char*>(std::get<0>(g)), std::get<1>(g), std::get<2>(g), to_column(std::get<3>(g))});
            cells += size_t(std::get<2>(g));
        }
        problem.sparse = {reinterpret_cast<const int64_t*>(std::get<0>(sparse)), reinterpret_cast<const int32_t*>(std::get<1>(sparse)),
                          reinterpret_cast<const double*>(std::get<2>(sparse)), std::get<3>(sparse)};
        cells += size_t(problem.sparse.columns);
        problem.tables = {std::get<0>(where), std::get<1>(where), std::get<2>(where), std::get<3>(where)};
        tables = size_t(std::get<4>(where));
        if (problem.extra.size() != 3) throw std::invalid_argument("a plan needs y, weight and offset");
        problem.rows = rows;
        problem.family = family; problem.family_parameter = family_parameter;
        problem.link = link; problem.link_parameter = link_parameter;
        problem.equations = equations; problem.reference = reference;
        const int64_t row = int64_t(2 + problem.columns.size()) - begins_with_constant(problem), lanes = active->lanes;
        if (cells && problem.tables.ld != (row + lanes - 1) / lanes * lanes) throw std::invalid_argument("the rows of tables are not weight, columns and score");
    }

    Task task(int64_t start, int64_t stop, int64_t block, int64_t step, const Array& beta, const Array& cell_beta, int order, int information, int arithmetic) const {
        if (start < 0 || stop > problem.rows || start > stop || block < 1 || block > 1024 || step < block)
            throw std::invalid_argument("rows out of range");
        if (beta.size() != problem.columns.size() * problem.equations) throw std::invalid_argument("beta has the wrong size");
        if (cell_beta.size() < cells) throw std::invalid_argument("the cells' coefficients have the wrong size");
        return Task{start, stop, block, step, beta.data(), cell_beta.data(), order, information, arithmetic};
    }

    void check(const Array& scalars, const Array& score, const Array& cell_score, const Array& table, const Array& info, int order) const {
        size_t p = problem.columns.size(), q = problem.equations;
        size_t needed = problem.family == MULTINOMIAL ? p * (p + 1) / 2 * active->pairs(int(q)) : p * active->width(int(p));
        if (scalars.size() < 4 || (order > 0 && score.size() < p * q) || (order > 0 && cell_score.size() < cells) || (order > 1 && (info.size() < needed || table.size() < tables)))
            throw std::invalid_argument("an output array is too small");
    }

    // Rows [edges[0], edges[1]), [edges[1], edges[2]), ... by up to `threads` threads
    void sum(const std::vector<int64_t>& edges, int threads, int64_t block, int64_t step, Array beta, Array cell_beta, int order, int information,
             int arithmetic, Array scalars, Array score, Array cell_score, Array table, Array info) const {
        if (edges.size() < 2 || !std::is_sorted(edges.begin(), edges.end())) throw std::invalid_argument("edges must rise");
        Task t = task(edges.front(), edges.back(), block, step, beta, cell_beta, order, information, arithmetic);
        check(scalars, score, cell_score, table, info, order);
        Result r{scalars.data(), score.data(), cell_score.data(), table.data(), info.data()};
        const Sizes sizes{order > 0 ? score.size() : 0, order > 0 ? cell_score.size() : 0, order > 1 ? table.size() : 0, order > 1 ? info.size() : 0};
        nb::gil_scoped_release release;
        sum_in_order(*active, problem, t, edges, threads, sizes, spare, r);
    }

    int approach(int64_t block, Array beta, int information, double singular, double enough, Array trace, int there, Array scalars, Array score,
                 Array cell_score, Array table, Array info) const {
        Task t = task(0, problem.rows, block, block, beta, beta, 2, information, DOUBLE);
        if (cells || problem.equations != 1 || problem.family == MULTINOMIAL) throw std::invalid_argument("approach knows stored columns and one equation");
        check(scalars, score, cell_score, table, info, 2);
        const Result end{scalars.data(), score.data(), cell_score.data(), table.data(), info.data()};
        double *b = beta.data(), *made = trace.data();
        const int most = int(trace.size() / 2);
        nb::gil_scoped_release release;
        return etamu::approach(*active, problem, t, b, singular, enough, most, made, there, end);
    }

    void predictor(int64_t start, int64_t stop, int64_t block, Array beta, Array cell_beta, Array eta) const {
        Task t = task(start, stop, block, block, beta, cell_beta, 0, 0, 0);
        if (eta.size() < size_t(stop - start) * problem.equations) throw std::invalid_argument("eta is too small");
        nb::gil_scoped_release release;
        active->predictor(problem, t, eta.data());
    }

    // The deviance of all rows at each of the predictors eta, (how many, rows)
    void deviances(Array eta, int threads, Array out) const {
        if (problem.equations != 1 || problem.family == MULTINOMIAL) throw std::invalid_argument("deviances knows one equation");
        if (eta.size() < size_t(problem.rows) * out.size()) throw std::invalid_argument("eta is too small");
        nb::gil_scoped_release release;
        shared_out(int64_t(out.size()), 1, threads, [&](int64_t first, int64_t last) {
            std::vector<double> v(1024 + 64), h(1024 + 64);
            for (int64_t i = first; i < last; ++i) {
                double total = 0, found[2];
                for (int64_t k = 0; k < problem.rows; k += 1024) {
                    const int64_t stop = std::min<int64_t>(k + 1024, problem.rows);
                    active->rows(problem, eta.data() + i * problem.rows, k, stop, 0, v.data() - k, h.data() - k, found);
                    total += found[0];
                }
                out.data()[i] = total;
            }
        });
    }

    void terms(int64_t start, int64_t stop, int64_t block, Array beta, Array cell_beta, int information, Array score, Array weight) const {
        Task t = task(start, stop, block, block, beta, cell_beta, 1, information, 0);
        if (problem.equations != 1 || problem.family == MULTINOMIAL) throw std::invalid_argument("terms knows one equation");
        if (score.size() < size_t(stop - start) || weight.size() < size_t(stop - start)) throw std::invalid_argument("row terms are too short");
        nb::gil_scoped_release release;
        active->terms(problem, t, score.data(), weight.data());
    }

    void forms(int64_t start, int64_t stop, int64_t block, Matrix half, Matrix cell_half, Array out) const {
        const size_t q = half.shape(1);
        if (problem.family == MULTINOMIAL || half.shape(0) != problem.columns.size() || cell_half.shape(0) != q || cell_half.shape(1) < cells)
            throw std::invalid_argument("forms: sizes differ");
        if (start < 0 || stop > problem.rows || start > stop || block < 1 || block > 1024) throw std::invalid_argument("rows out of range");
        if (out.size() < size_t(stop - start)) throw std::invalid_argument("forms: out is too small");
        Task t{start, stop, block, block, half.data(), cell_half.data(), 0, 0, 0};
        nb::gil_scoped_release release;
        active->forms(problem, t, int(q), int64_t(cell_half.shape(1)), out.data());
    }

    void accumulate(int64_t start, int64_t stop, int64_t block, Array beta, Array cell_beta, Array row_score, Array row_weight, int order,
                    int arithmetic, Array scalars, Array score, Array cell_score, Array table, Array info) const {
        Task t = task(start, stop, block, block, beta, cell_beta, order, 0, arithmetic);
        check(scalars, score, cell_score, table, info, order);
        if (row_score.size() < size_t(stop - start) || row_weight.size() < size_t(stop - start))
            throw std::invalid_argument("row terms are too short");
        Result r{scalars.data(), score.data(), cell_score.data(), table.data(), info.data()};
        nb::gil_scoped_release release;
        active->accumulate(problem, t, row_score.data(), row_weight.data(), r);
    }
};

}  // namespace etamu
