// The Python face of the kernels: a Plan remembers where the columns lie; its verbs release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>
#include <string>
#include <tuple>
#include "approach.hpp"
#include "arrow.hpp"
#include "core.hpp"
#include "distinct.hpp"
#include "ordered.hpp"
#include "panels.hpp"
#include "reach.hpp"
#include "standing.hpp"
#include "wide.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace etamu;
using Array = nb::ndarray<double, nb::c_contig, nb::device::cpu>;
using Given = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Found = nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;  // one place more than there can be
using Mask = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ColumnTuple = std::tuple<uintptr_t, int64_t, int, uintptr_t, double, double>;  // address, stride, type, table, center, scale
using GroupTuple = std::tuple<uintptr_t, int, int64_t, ColumnTuple>;  // address, type, cells, multiplier
using SparseTuple = std::tuple<uintptr_t, uintptr_t, uintptr_t, int64_t>;  // row starts, column indices, values, columns
using TablesTuple = std::tuple<int64_t, std::vector<int64_t>, std::vector<int64_t>, std::vector<std::vector<int64_t>>, int64_t>;

static const Kernels* choose(const std::string& name) {
#if defined(ETAMU_X86)
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (v4 && (name == "best" || name == "x86-64-v4")) return &kernels_v4();
    if (v3 && (name == "best" || name == "x86-64-v3")) return &kernels_v3();
#endif
    if (name == "best" || name == kernels_baseline().name) return &kernels_baseline();
    return nullptr;
}

static const Kernels* active = choose("best");

static Column to_column(const ColumnTuple& t) {
    Column c;
    c.data = reinterpret_cast<const char*>(std::get<0>(t));
    c.stride = std::get<1>(t);
    c.type = std::get<2>(t);
    c.table = reinterpret_cast<const double*>(std::get<3>(t));
    c.center = std::get<4>(t);
    c.scale = std::get<5>(t);
    return c;
}

using Where = nb::ndarray<const int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;  // address, stride, type, table of each column
using Fit = nb::ndarray<const double, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;     // and its centre and scale

static std::vector<Column> to_columns(const Where& where, const Fit& fit) {
    if (where.shape(0) != fit.shape(0)) throw std::invalid_argument("columns: sizes differ");
    std::vector<Column> out(where.shape(0));
    for (size_t j = 0; j < out.size(); ++j) {
        const int64_t* w = where.data() + 4 * j;
        out[j].data = reinterpret_cast<const char*>(w[0]), out[j].stride = w[1], out[j].type = int(w[2]), out[j].table = reinterpret_cast<const double*>(w[3]);
        out[j].center = fit.data()[2 * j], out[j].scale = fit.data()[2 * j + 1];
    }
    return out;
}

// Where an array of one dimension lies: fills address, stride and type, and says whether its numbers are of a type that is read here
static bool find(PyObject* values, int64_t* out) {
    Py_buffer view;
    if (PyObject_GetBuffer(values, &view, PyBUF_STRIDES | PyBUF_FORMAT)) {
        PyErr_Clear();
        return false;
    }
    const char* format = view.format ? view.format : "";
    if (*format && std::strchr("=^@", *format)) ++format;  // which is said of numbers that are not aligned
    const char kind = *format && !format[1] ? *format : 0;
    const bool whole = std::strchr("bhilq", kind), positive = std::strchr("BHILQ", kind);
    int type = -1;
    if (kind == 'd') type = F64;
    else if (kind == 'f') type = F32;
    else if (kind == '?') type = BOOL;
    else if (kind && (whole || positive))
        for (int k = 0; k < 4; ++k) if (view.itemsize == Py_ssize_t(1) << k) type = (whole ? I8 : U8) + k;
    out[0] = int64_t(reinterpret_cast<uintptr_t>(view.buf)), out[2] = type;
    const bool single = view.ndim == 1;
    if (single) out[1] = view.strides[0];
    PyBuffer_Release(&view);
    return single && type >= 0;
}

// see(k, value - low) for each integer from `first` to `last`; unsigned ones from 2^63 on come as the largest number, since their difference could wrap around
template <class See> static void each_integer(const Column& c, int64_t first, int64_t last, int64_t low, See see) {
    const auto read = [=](auto zero) {
        using In = decltype(zero);
        const int64_t stride = c.stride;
        const char* p = c.data + first * stride;
        for (int64_t k = first; k < last; ++k, p += stride) {
            In v;
            std::memcpy(&v, p, sizeof v);
            const bool beyond = std::is_same_v<In, uint64_t> && (uint64_t(v) >> 63);
            see(k, beyond ? ~uint64_t(0) : uint64_t(v) - uint64_t(low));
        }
    };
    switch (c.type) {
        case I8: return read(int8_t());
        case I16: return read(int16_t());
        case I32: return read(int32_t());
        case I64: return read(int64_t());
        case U8: case BOOL: return read(uint8_t());
        case U16: return read(uint16_t());
        case U32: return read(uint32_t());
        case U64: return read(uint64_t());
        default: throw std::invalid_argument("values are not integers");
    }
}

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

using Wanted = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using JobTuple = std::tuple<nb::handle, Array, Array, Array, Array, Array, Array>;  // plan, base, move, eta, v, h, score
using SparseColumnsTuple = std::tuple<uintptr_t, uintptr_t, uintptr_t, int64_t>;  // column starts, rows, values or 0, columns

static void check_wanted(const Wide& wide, const Wanted& wanted) {
    for (size_t i = 0; i < wanted.size(); ++i)
        if (wanted.data()[i] < 0 || wanted.data()[i] >= wide.columns()) throw std::invalid_argument("wide: no such column");
}

static void check_members(const Wide& wide, const Wanted& member) {
    for (size_t i = 0; i < member.size(); ++i)
        if (member.data()[i] < 0 || size_t(member.data()[i]) >= wide.taken()) throw std::invalid_argument("wide: no such member");
}


static constexpr int64_t MANY_ROWS = 1 << 16;  // whose reading is worth another thread

static void share(int threads, int64_t count, int64_t stretch, void (*work)(void*, int64_t, int64_t), void* context) {
    shared_out(count, stretch, threads, [&](int64_t first, int64_t last) { work(context, first, last); });
}

// Whether what is known of columns fits: `sizes` are those of arrays with an entry for each
static void check_seen(const char* name, const Array& v, const Matrix& vectors, const Array& squares, std::initializer_list<size_t> sizes, const Wanted& of, const Mask& out, const Found& found) {
    const size_t p = out.size();
    bool fit = v.size() == vectors.shape(1) && squares.size() == vectors.shape(0) && of.size() == p && found.size() > p;
    for (size_t size : sizes) fit = fit && size == p;
    if (!fit) throw std::invalid_argument(std::string(name) + ": sizes differ");
    uint32_t most = 0;
    for (size_t j = 0; j < p; ++j) most = std::max(most, uint32_t(of.data()[j] + 1));
    if (most > squares.size()) throw std::invalid_argument(std::string(name) + ": no such vector");
}

template <class M> static int descend(Inverse& kept, M h, int size, Array b, Array q, Array l1, Array l2, Array low, Array high, Wanted start, Wanted member, Array weight, double tolerance, int most, int64_t version, int64_t made, int threads) {
    const size_t m = size_t(size);
    for (const Array* a : {&b, &q, &l1, &l2, &low, &high}) if (a->size() < m) throw std::invalid_argument("descend: sizes differ");
    if (h.shape(0) < m || h.shape(1) < m || weight.size() + 1 != start.size()) throw std::invalid_argument("descend: sizes differ");
    for (size_t i = 0; i < member.size(); ++i) if (member.data()[i] < 0 || member.data()[i] >= size) throw std::invalid_argument("descend: no such coordinate");
    for (size_t i = 0; i + 1 < start.size(); ++i)
        if (start.data()[i] > start.data()[i + 1] || start.data()[i] < 0 || size_t(start.data()[i + 1]) > member.size()) throw std::invalid_argument("descend: groups out of range");
    const Quadratic f{h.data(), std::is_same_v<M, Floats>, int64_t(h.shape(1)), size, b.data(), q.data(), l1.data(), l2.data(), low.data(), high.data(),
                      int(weight.size()), start.data(), member.data(), weight.data(), tolerance, most, version, made, {threads, share}};
    nb::gil_scoped_release release;
    return active->descend(f, kept);
}

// A step by `by` times h over the coordinates `at` of all: fills their `end` and `part`, the way there.  The objective's change to first
// order, and the decrease that the model promises.
template <class M> static std::tuple<double, double> step(Inverse& kept, M h, Wanted at, Array b, Array q, Array l1, Array l2, Array low, Array high, double by, double tolerance, int most, int64_t version, int64_t made, int threads, Array end, Array part) {
    const size_t m = at.size(), all = b.size();
    for (const Array* a : {&q, &l1, &l2, &low, &high}) if (a->size() != all) throw std::invalid_argument("step: sizes differ");
    if (h.shape(0) < m || h.shape(1) < m || end.size() != m || part.size() != m) throw std::invalid_argument("step: sizes differ");
    for (size_t i = 0; i < m; ++i) if (at.data()[i] < 0 || size_t(at.data()[i]) >= all) throw std::invalid_argument("step: no such coordinate");
    nb::gil_scoped_release release;
    const auto those = [&](const Array& a, double times) {
        std::vector<double> x(m);
        for (size_t i = 0; i < m; ++i) x[i] = a.data()[at.data()[i]] * times;
        return x;
    };
    std::vector<double> slope = those(q, 1 / by), own1 = those(l1, 1 / by), own2 = those(l2, 1 / by), from = those(low, 1), to = those(high, 1);
    double *x = end.data(), *d = part.data();
    for (size_t i = 0; i < m; ++i) x[i] = b.data()[at.data()[i]];
    const int32_t none = 0;
    const Quadratic f{h.data(), std::is_same_v<M, Floats>, int64_t(h.shape(1)), int(m), x, slope.data(), own1.data(), own2.data(), from.data(), to.data(),
                      0, &none, &none, nullptr, tolerance / std::sqrt(by), most, version, made, {threads, share}};
    active->descend(f, kept);
    double linear = 0, bend = 0;
    for (size_t i = 0; i < m; ++i) {
        const int32_t j = at.data()[i];
        const double old = b.data()[j], steep = q.data()[j];
        d[i] = x[i] - old;
        linear += steep * d[i] + l1.data()[j] * (std::abs(x[i]) - std::abs(old)) + 0.5 * l2.data()[j] * d[i] * (x[i] + old);
        bend += (by * slope[i] - steep) * d[i];
    }
    return {linear, -(linear + 0.5 * bend)};
}

// Whether a column, of those from `first` on, is so like another one
template <class M> static bool alike_of(M gram, int first, Given lengths, double share) {
    const size_t size = lengths.size();
    if (gram.shape(0) < size || gram.shape(1) < size || first < 0 || size_t(first) > size) throw std::invalid_argument("alike: sizes differ");
    const auto [pairs, empty] = alike(gram.data(), int64_t(gram.shape(1)), first, int64_t(size), lengths.data(), share);
    return pairs > int64_t(size) - first - empty;
}

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

template <class M> static void gram(const Wide& w, Array weight, Wanted member, int first, int threads, M g) {
    const size_t m = member.size();
    if (weight.size() < size_t(w.length() + 63) / 64 * 64 || g.shape(0) < m || g.shape(1) < m || first < 0) throw std::invalid_argument("gram: sizes differ");
    check_members(w, member);
    nb::gil_scoped_release release;
    w.gram(weight.data(), member.data(), int(m), first, threads, g.data(), int64_t(g.shape(1)));
}

NB_MODULE(_native, m) {
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
    nb::class_<Wide>(m, "Wide")
        .def("__init__", [](Wide* self, const Where& columns, const Fit& fit, const SparseColumnsTuple& sparse, int64_t rows, bool narrow, int threads) {
            std::vector<Column> read = to_columns(columns, fit);
            const SparseColumns s{reinterpret_cast<const int64_t*>(std::get<0>(sparse)), reinterpret_cast<const int32_t*>(std::get<1>(sparse)),
                                  reinterpret_cast<const double*>(std::get<2>(sparse)), std::get<3>(sparse)};
            nb::gil_scoped_release release;
            new (self) Wide(*active, std::move(read), s, rows, narrow, threads);
        })
        .def("lengths", [](const Wide& w, Array squares, Array lost) {
            if (squares.size() != size_t(w.columns()) || lost.size() != squares.size()) throw std::invalid_argument("lengths: sizes differ");
            std::copy(w.squared_lengths().begin(), w.squared_lengths().end(), squares.data());
            for (int64_t j = 0; j < w.columns(); ++j) lost.data()[j] = w.lost(j);
        })
        .def("scan", [](const Wide& w, Array v, Wanted wanted, int threads, Array out) {
            check_wanted(w, wanted);
            if (v.size() < size_t(w.length()) || out.size() != wanted.size()) throw std::invalid_argument("scan: sizes differ");
            nb::gil_scoped_release release;
            w.scan(v.data(), wanted.data(), int64_t(wanted.size()), threads, out.data());
        })
        .def("exact", [](const Wide& w, Array v, Wanted wanted, int threads, Array out) {
            check_wanted(w, wanted);
            if (v.size() < size_t(w.length()) || out.size() != wanted.size()) throw std::invalid_argument("exact: sizes differ");
            nb::gil_scoped_release release;
            w.exact(v.data(), wanted.data(), int64_t(wanted.size()), threads, out.data());
        })
        .def("take", [](Wide& w, Wanted wanted, int threads) {
            check_wanted(w, wanted);
            nb::gil_scoped_release release;
            w.take(wanted.data(), int64_t(wanted.size()), threads);
        })
        .def("advance", [](const Wide& w, const std::vector<JobTuple>& asked, Wanted member, int information, int threads) {
            const size_t n = size_t(w.length());
            if (asked.empty()) throw std::invalid_argument("advance: nothing is asked for");
            check_members(w, member);
            std::vector<double> sums(2 * asked.size()), deviance;
            std::vector<Wide::Job> jobs;
            for (const auto& [handle, base, move, eta, v, h, score] : asked) {
                const Plan& plan = nb::cast<const Plan&>(handle);
                for (const Array* a : {&base, &eta, &v, &h}) if (a->size() < n) throw std::invalid_argument("advance: sizes differ");
                if (plan.problem.rows != w.length() || move.size() != member.size() || score.size() != member.size()) throw std::invalid_argument("advance: sizes differ");
                if (plan.problem.equations != 1 || plan.problem.family == MULTINOMIAL) throw std::invalid_argument("advance knows one equation");
                jobs.push_back({&plan.problem, base.data(), move.data(), eta.data(), v.data(), h.data(), score.data(), &sums[2 * jobs.size()]});
            }
            {
                nb::gil_scoped_release release;
                w.advance(jobs, member.data(), member.size(), information, threads);
            }
            for (size_t t = 0; t < jobs.size(); ++t) deviance.push_back(sums[2 * t]);
            return deviance;
        })
        .def("products", [](const Wide& w, const std::vector<Array>& v, Wanted member, int threads, const std::vector<Array>& out) {
            check_members(w, member);
            std::vector<Wide::Job> jobs;
            if (v.size() != out.size() || v.empty()) throw std::invalid_argument("products: sizes differ");
            for (size_t t = 0; t < v.size(); ++t) {
                if (v[t].size() < size_t(w.length()) || out[t].size() != member.size()) throw std::invalid_argument("products: sizes differ");
                jobs.push_back({nullptr, nullptr, nullptr, nullptr, v[t].data(), nullptr, out[t].data(), nullptr});
            }
            nb::gil_scoped_release release;
            w.advance(jobs, member.data(), member.size(), EXPECTED, threads);
        })
        .def("gram", &gram<Floats>)
        .def("gram", &gram<Matrix>);
    nb::class_<Inverse>(m, "Inverse").def(nb::init<>())
        .def("spread", [](const Inverse& v) {  // how many coordinates it is of, and the sum of its diagonal
            double trace = 0;
            for (size_t i = 0; i < v.members.size() && !v.close; ++i) trace += v.row(int(i))[i];
            return std::make_tuple(v.members.size(), v.close ? std::numeric_limits<double>::infinity() : trace);
        })
        .def_ro("steps", &Inverse::steps).def_ro("sweeps", &Inverse::sweeps).def_rw("least", &Inverse::least);
    m.def("rows_at", &rows_at);
    m.def("suspects", [](Array v, Matrix vectors, Array squares, Given known, Wanted of, Given lengths, Mask out, Given l1, double alpha, int threads, Found found) {
        check_seen("suspects", v, vectors, squares, {known.size(), lengths.size(), l1.size()}, of, out, found);
        nb::gil_scoped_release release;
        const Along along(*active, v.data(), vectors.data(), squares.data(), int64_t(squares.size()), int64_t(v.size()), threads);
        return suspects(along, known.data(), of.data(), lengths.data(), out.data(), l1.data(), alpha, int64_t(out.size()), threads, found.data());
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("promising", [](Array v, Matrix vectors, Array squares, Given known, Wanted of, Mask out, Given l1, double share, int threads, Found found) {
        check_seen("promising", v, vectors, squares, {known.size(), l1.size()}, of, out, found);
        nb::gil_scoped_release release;
        const Along along(*active, v.data(), vectors.data(), squares.data(), int64_t(squares.size()), int64_t(v.size()), threads);
        return promising(along, known.data(), of.data(), out.data(), l1.data(), share, int64_t(out.size()), threads, found.data());
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("note", [](Wanted index, nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu> products, double share,
                     nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu> lost, double length, int place, Array known,
                     nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> of, nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> users,
                     Given l1, double alpha, Found found) {
        const size_t p = known.size();
        if (products.size() != index.size() || found.size() <= index.size() || lost.size() != p || of.size() != p || l1.size() != p) throw std::invalid_argument("note: sizes differ");
        for (size_t i = 0; i < index.size(); ++i)
            if (index.data()[i] < 0 || size_t(index.data()[i]) >= p || of.data()[index.data()[i]] >= int64_t(users.size())) throw std::invalid_argument("note: no such column");
        if (place < 0 || size_t(place) >= users.size()) throw std::invalid_argument("note: no such vector");
        return note(index.data(), int64_t(index.size()), products.data(), share, lost.data(), length, place, known.data(), of.data(), users.data(), l1.data(), alpha, found.data());
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert(), nb::arg().noconvert(), nb::arg(), nb::arg().noconvert());
    m.def("standing", [](Given b, Given score, double share, Given l1, Given l2, Given least, Given low, Given high) {
        for (const Given* a : {&score, &l1, &l2, &least, &low, &high}) if (a->size() != b.size()) throw std::invalid_argument("standing: sizes differ");
        const Standing s = standing(b.data(), score.data(), share, l1.data(), l2.data(), least.data(), low.data(), high.data(), int64_t(b.size()));
        return std::make_tuple(s.penalty, s.away, s.square, s.idle);
    });
    m.def("alike", &alike_of<Matrix>);
    m.def("alike", &alike_of<Floats>);
    m.def("descend", &descend<Matrix>);
    m.def("descend", &descend<Floats>);
    m.def("step", &step<Matrix>, nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert());
    m.def("step", &step<Floats>, nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert());
    m.def("instruction_set", [] { return std::string(active->name); });
    m.def("lanes", [] { return active->lanes; });
    m.def("width", [](int columns) { return active->width(columns); });
    m.def("pairs", [](int equations) { return active->pairs(equations); });
    m.def("use", [](const std::string& name) {
        const Kernels* k = choose(name);
        if (!k) throw std::invalid_argument("this machine has no kernels named " + name);
        active = k;
    });
    m.def("address", [](nb::handle values) {  // of an array's first entry
        Py_buffer view;
        if (PyObject_GetBuffer(values.ptr(), &view, PyBUF_STRIDES)) throw nb::python_error();
        const uintptr_t at = reinterpret_cast<uintptr_t>(view.buf);
        PyBuffer_Release(&view);
        return at;
    });
    // Address, stride, type and table of each column, of its values (None for the constant) and their table (or None); whether all can be read
    m.def("where", [](nb::list values, nb::list tables, nb::ndarray<int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu> out) {
        if (values.size() != out.shape(0) || tables.size() != out.shape(0)) throw std::invalid_argument("where: sizes differ");
        for (size_t j = 0; j < values.size(); ++j) {
            int64_t *to = out.data() + 4 * j, table[4];
            to[0] = to[1] = to[3] = 0, to[2] = ONE;
            if (values[j].is_none()) continue;
            if (!find(values[j].ptr(), to)) return false;
            if (tables[j].is_none()) continue;
            const bool codes = to[2] >= I8 && to[2] <= U32;  // what may point into a table
            if (!codes || !find(tables[j].ptr(), table) || table[2] != F64 || table[1] != int64_t(sizeof(double))) return false;
            to[3] = table[0];
        }
        return true;
    }, nb::arg(), nb::arg(), nb::arg().noconvert());
    // What rows are predicted to be by the coefficients of the folds that they are of, -1 being none: beta is (folds, columns, how many), and out has for
    // one fold after another (how many, its rows)
    m.def("predict", [](const Where& columns, const Fit& fit, Wanted fold, nb::ndarray<double, nb::ndim<3>, nb::c_contig, nb::device::cpu> beta, int threads, Array out) {
        const size_t folds = beta.shape(0), p = columns.shape(0), many = beta.shape(2), rows = fold.size();
        std::vector<int64_t> size(folds, 0), begin(folds, 0);
        std::vector<int64_t> place(rows);  // of each row among those of its fold
        for (size_t k = 0; k < rows; ++k) {
            if (fold.data()[k] < 0) continue;
            if (size_t(fold.data()[k]) >= folds) throw std::invalid_argument("predict: no such fold");
            place[k] = size[size_t(fold.data()[k])]++;
        }
        int64_t total = 0;
        for (size_t f = 0; f < folds; ++f) begin[f] = total * int64_t(many), total += size[f];
        if (beta.shape(1) != p || int64_t(out.size()) != total * int64_t(many)) throw std::invalid_argument("predict: sizes differ");
        const std::vector<Column> read = to_columns(columns, fit);
        const size_t wide = (many + size_t(active->lanes) - 1) / size_t(active->lanes) * size_t(active->lanes);
        std::vector<double> padded(folds * p * wide, 0.0);
        for (size_t i = 0; i < folds * p; ++i) std::copy(beta.data() + i * many, beta.data() + (i + 1) * many, padded.data() + i * wide);
        const int64_t block = std::min<int64_t>(128, std::max<int64_t>(8, 32768 / std::max<int64_t>(1, int64_t(p)) / 4 * 4));  // rows whose columns stay in the cache
        nb::gil_scoped_release release;
        shared_out(int64_t(rows), block, threads, [&](int64_t first, int64_t last) {
            const int count = int(last - first);
            std::vector<double> x(p * size_t(count)), four(4 * p), found(size_t(count) * wide);
            active->predict(read.data(), int(p), first, count, fold.data() + first, int(folds), padded.data(), int64_t(wide), x.data(), four.data(), found.data());
            for (int k = 0; k < count; ++k) {
                const int32_t f = fold.data()[first + k];
                if (f < 0) continue;
                double* to = out.data() + begin[size_t(f)] + place[size_t(first + k)];
                for (size_t s = 0; s < many; ++s) to[int64_t(s) * size[size_t(f)]] = found[size_t(k) * wide + s];
            }
        });
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    // Row j of `out` are stretches of column j, `apart` from the beginning of one to that of the next
    m.def("thin", [](const Where& columns, const Fit& fit, int64_t rows, int64_t stretch, int64_t apart, int threads, Matrix out) {
        const int64_t count = int64_t(out.shape(1)), stretches = stretch > 0 ? count / stretch : 0;
        if (out.shape(0) != columns.shape(0) || stretches < 1 || stretches * stretch != count || stretch > rows || apart < 0 || (stretches > 1 && apart > (rows - stretch) / (stretches - 1))) throw std::invalid_argument("thin: sizes differ");
        const std::vector<Column> read = to_columns(columns, fit);
        nb::gil_scoped_release release;
        shared_out(int64_t(read.size()), 4, int64_t(read.size()) * count > 100000 ? threads : 1, [&](int64_t low, int64_t high) {
            for (int64_t j = low; j < high; ++j)
                for (int64_t s = 0; s < stretches; ++s) active->gather(read[size_t(j)], s * apart, int(stretch), out.data() + j * count + s * stretch);
        });
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("place", [](const Where& columns, const Fit& fit, int64_t rows, int64_t most, bool centred, Array center, Array scale, int threads) {
        if (center.size() < columns.shape(0) || scale.size() < columns.shape(0) || rows < 1) throw std::invalid_argument("place: sizes differ");
        const std::vector<Column> read = to_columns(columns, fit);
        std::atomic<bool> finite{true};
        nb::gil_scoped_release release;
        shared_out(int64_t(read.size()), 256, read.size() > 256 ? threads : 1, [&](int64_t first, int64_t last) {
            if (!active->place(read.data() + first, size_t(last - first), rows, most, centred, center.data() + first, scale.data() + first)) finite = false;
        });
        return finite.load();
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert(), nb::arg());
    // out[k] = place[values[k] - low], `other` where that lies outside
    m.def("translate", [](const ColumnTuple& values, int64_t count, int64_t low, nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig> place, int other,
                          nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu> out, int threads) {
        if (int64_t(out.size()) != count) throw std::invalid_argument("translate: sizes differ");
        const Column c = to_column(values);
        const int32_t* table = place.data();
        const uint64_t entries = place.size();
        const int width = int(out.itemsize());
        if (width != 1 && width != 2 && width != 4) throw std::invalid_argument("translate: codes have 1, 2 or 4 bytes");
        void* to = out.data();
        nb::gil_scoped_release release;
        const auto write = [&](auto zero) {
            auto* o = static_cast<decltype(zero)*>(to);
            shared_out(count, MANY_ROWS, threads, [&](int64_t first, int64_t last) {  // copies, since what is written could be anything's bytes
                each_integer(c, first, last, low, [=](int64_t k, uint64_t at) { o[k] = decltype(zero)(at < entries ? table[at] : other); });
            });
        };
        if (width == 1) write(int8_t());
        else if (width == 2) write(int16_t());
        else write(int32_t());
    });
    // out[v - low] = how often the integer v occurs; others are not counted
    m.def("count", [](const ColumnTuple& values, int64_t count, int64_t low, nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> out, int threads) {
        const Column c = to_column(values);
        const uint64_t entries = out.size();
        int64_t* to = out.data();
        std::fill(to, to + entries, int64_t(0));
        std::mutex adding;
        nb::gil_scoped_release release;
        const uint64_t apart = entries + 1 <= 4096 ? entries + 1 : 0;  // neighbours that are alike do not wait for each other
        shared_out(count, std::max(MANY_ROWS, int64_t(4 * entries)), threads, [&](int64_t first, int64_t last) {
            std::vector<int64_t> sums((entries + 1) + 3 * apart, 0);
            int64_t* found = sums.data();
            each_integer(c, first, last, low, [=](int64_t k, uint64_t at) { ++found[(at < entries ? at : entries) + uint64_t(k & 3) * apart]; });
            std::lock_guard<std::mutex> lock(adding);
            for (uint64_t part = 0; part < (apart ? 4 : 1); ++part) for (uint64_t i = 0; i < entries; ++i) to[i] += found[part * apart + i];
        });
    });
    // smallest, largest, and a sum that is finite where all are
    m.def("range", [](nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu> x, int threads) {
        double all[3] = {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), 0};
        const double* from = x.data();
        std::mutex m;
        nb::gil_scoped_release release;
        shared_out(int64_t(x.size()), 1 << 16, x.size() > (1 << 17) ? threads : 1, [&](int64_t first, int64_t last) {
            double own[3];
            active->range(from + first, last - first, own);
            std::lock_guard<std::mutex> lock(m);
            all[0] = std::min(all[0], own[0]), all[1] = std::max(all[1], own[1]), all[2] += own[2];
        });
        return std::make_tuple(all[0], all[1], all[2]);
    });
    m.def("factor", [](Array information, Array scale, Array triangle) {
        int p = int(scale.size());
        if (information.size() != size_t(p) * p || triangle.size() != size_t(p) * p) throw std::invalid_argument("factor: sizes differ");
        const double* in = information.data();
        double *s = scale.data(), *t = triangle.data();
        nb::gil_scoped_release release;
        return active->factor(in, p, p, s, t);
    });
    m.def("solve", [](Array triangle, Array scale, double weight, Array x) {
        if (triangle.size() != scale.size() * scale.size() || x.size() != scale.size()) throw std::invalid_argument("solve: sizes differ");
        active->solve(triangle.data(), scale.data(), int(scale.size()), weight, x.data());
    });
    m.def("quadratic", [](Array triangle, Array scale, Array x) {
        if (triangle.size() != scale.size() * scale.size() || x.size() != scale.size()) throw std::invalid_argument("quadratic: sizes differ");
        std::vector<double> used(x.data(), x.data() + x.size());
        return active->quadratic(triangle.data(), scale.data(), int(scale.size()), used.data());
    });
    m.def("inverse", [](Array triangle, Array scale, Array work, Array out) {
        size_t p = scale.size();
        if (triangle.size() != p * p || work.size() != p * p || out.size() != p * p) throw std::invalid_argument("inverse: sizes differ");
        const double *t = triangle.data(), *s = scale.data();
        double *w = work.data(), *o = out.data();
        nb::gil_scoped_release release;
        active->inverse(t, s, int(p), w, o);
    });
    m.def("eliminate", [](Matrix border, Array head, int threads, Array out) {
        const size_t rows = border.shape(0), columns = border.shape(1);
        if (head.size() != rows || out.size() != columns * columns) throw std::invalid_argument("eliminate: sizes differ");
        const double *b = border.data(), *h = head.data();
        double* o = out.data();
        nb::gil_scoped_release release;
        eliminate(b, h, int64_t(rows), int64_t(columns), threads, o);
    }, "border"_a, "head"_a, "threads"_a, "out"_a.noconvert());
    m.def("quadratic_forms", [](Matrix border, Array symmetric, int threads, Array out) {
        const size_t rows = border.shape(0), columns = border.shape(1);
        if (out.size() != rows || symmetric.size() != columns * columns) throw std::invalid_argument("quadratic_forms: sizes differ");
        const double *b = border.data(), *s = symmetric.data();
        double* o = out.data();
        nb::gil_scoped_release release;
        quadratic_forms(b, s, int64_t(rows), int64_t(columns), threads, o);
    });
    m.def("symmetric", [](Array padded, Array out) {
        size_t p = padded.shape(0), ld = padded.shape(1);
        if (out.size() != p * p || ld < p) throw std::invalid_argument("symmetric: sizes differ");
        const double* in = padded.data();
        double* o = out.data();
        for (size_t i = 0; i < p; ++i)
            for (size_t j = i; j < p; ++j) o[i * p + j] = o[j * p + i] = in[i * ld + j];
    });
    // (address, stride, size) of each key column; rows to look at, or all when empty
    m.def("distinct", [](const std::vector<std::tuple<uintptr_t, int64_t, int>>& columns, nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig> rows,
                         int64_t most, nb::ndarray<int32_t, nb::ndim<1>, nb::c_contig> id, nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig> first) {
        std::vector<Key> keys;
        for (const auto& c : columns) keys.push_back({reinterpret_cast<const char*>(std::get<0>(c)), std::get<1>(c), std::get<2>(c)});
        int64_t count = int64_t(id.shape(0));
        if (int64_t(first.shape(0)) < most || (rows.shape(0) != 0 && int64_t(rows.shape(0)) != count)) throw std::invalid_argument("distinct: sizes differ");
        const int64_t* r = rows.shape(0) ? rows.data() : nullptr;
        int32_t* i = id.data();
        int64_t* f = first.data();
        nb::gil_scoped_release release;
        return distinct_rows(keys, r, count, most, i, f);
    });
    // weight, weighted mean and sum of squares about it of each cell's rows
    m.def("cell_sums", [](nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig> cell, Array y, Array w, Array weight, Array mean, Array spread) {
        size_t n = cell.shape(0), cells = weight.size();
        if (y.size() != n || w.size() != n || mean.size() != cells || spread.size() != cells) throw std::invalid_argument("cell_sums: sizes differ");
        const int32_t* c = cell.data();
        const double *yp = y.data(), *wp = w.data();
        double *W = weight.data(), *m = mean.data(), *q = spread.data();
        nb::gil_scoped_release release;
        for (size_t k = 0; k < n; ++k) {
            if (size_t(c[k]) >= cells) continue;
            W[c[k]] += wp[k];
            m[c[k]] += wp[k] * yp[k];
        }
        for (size_t i = 0; i < cells; ++i) if (W[i] > 0) m[i] /= W[i];
        for (size_t k = 0; k < n; ++k) {
            if (size_t(c[k]) >= cells) continue;
            double d = yp[k] - m[c[k]];
            q[c[k]] += wp[k] * d * d;
        }
    });
    m.def("collapse", [](Array table, Integers slots, Array out) {  // out[slots[f, c]] += table[c]
        size_t cells = table.shape(0), width = table.shape(1), columns = out.shape(0);
        if (slots.shape(1) != cells || out.shape(1) != width) throw std::invalid_argument("collapse: sizes differ");
        const double* in = table.data();
        double* o = out.data();
        for (size_t f = 0; f < slots.shape(0); ++f)
            for (size_t c = 0; c < cells; ++c) {
                int64_t slot = slots.data()[f * cells + c];
                if (slot < 0 || size_t(slot) >= columns) continue;
                for (size_t j = 0; j < width; ++j) o[slot * width + j] += in[c * width + j];
            }
    });
    m.def("square", [](Array weight, Integers slots, Array out) {  // out[slots[f, c], slots[g, c]] += weight[c]
        size_t cells = weight.size(), factors = slots.shape(0), columns = out.shape(0);
        if (slots.shape(1) != cells || out.shape(1) != columns) throw std::invalid_argument("square: sizes differ");
        const int64_t* s = slots.data();
        for (size_t f = 0; f < factors; ++f)
            for (size_t g = 0; g < factors; ++g)
                for (size_t c = 0; c < cells; ++c) {
                    int64_t i = s[f * cells + c], j = s[g * cells + c];
                    if (i >= 0 && j >= 0 && size_t(i) < columns && size_t(j) < columns) out.data()[i * columns + j] += weight.data()[c];
                }
    });
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
    m.def("peak", [](int arithmetic, int64_t loops) {
        double out;
        nb::gil_scoped_release release;
        active->peak(arithmetic, loops, &out);
        return double(loops) * 12 * 2 * active->lanes * (arithmetic == SINGLE ? 2 : 1) + 0 * out;
    });
}
