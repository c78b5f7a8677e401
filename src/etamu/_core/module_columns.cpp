// A design column by column, what is known of its columns, and descent on models of them.
#include <cmath>
#include <limits>
#include "plan.hpp"
#include "reach.hpp"
#include "standing.hpp"
#include "wide.hpp"

namespace etamu {

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


template <class M> static void gram(const Wide& w, Array weight, Wanted member, int first, int threads, M g) {
    const size_t m = member.size();
    if (weight.size() < size_t(w.length() + 63) / 64 * 64 || g.shape(0) < m || g.shape(1) < m || first < 0) throw std::invalid_argument("gram: sizes differ");
    check_members(w, member);
    nb::gil_scoped_release release;
    w.gram(weight.data(), member.data(), int(m), first, threads, g.data(), int64_t(g.shape(1)));
}

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

static void add_wide(nb::module_& m) {
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
        .def("finite", &Wide::finite)
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
}

static Along along(const Array& v, const Matrix& vectors, const Array& squares, int threads) {
    return Along(*active, v.data(), vectors.data(), squares.data(), int64_t(squares.size()), int64_t(v.size()), threads);
}

static void add_seen(nb::module_& m) {
    m.def("suspects", [](Array v, Matrix vectors, Array squares, Given known, Wanted of, Given lengths, Mask out, Given l1, double alpha, int threads, Found found) {
        check_seen("suspects", v, vectors, squares, {known.size(), lengths.size(), l1.size()}, of, out, found);
        nb::gil_scoped_release release;
        return suspects(along(v, vectors, squares, threads), known.data(), of.data(), lengths.data(), out.data(), l1.data(), alpha, int64_t(out.size()), threads, found.data());
    }, nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert());
    m.def("promising", [](Array v, Matrix vectors, Array squares, Given known, Wanted of, Mask out, Given l1, double share, int threads, Found found) {
        check_seen("promising", v, vectors, squares, {known.size(), l1.size()}, of, out, found);
        nb::gil_scoped_release release;
        return promising(along(v, vectors, squares, threads), known.data(), of.data(), out.data(), l1.data(), share, int64_t(out.size()), threads, found.data());
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
}

static void add_descent(nb::module_& m) {
    nb::class_<Inverse>(m, "Inverse").def(nb::init<>())
        .def("spread", [](const Inverse& v) {  // how many coordinates it is of, and the sum of its diagonal
            double trace = 0;
            for (size_t i = 0; i < v.members.size() && !v.close; ++i) trace += v.row(int(i))[i];
            return std::make_tuple(v.members.size(), v.close ? std::numeric_limits<double>::infinity() : trace);
        })
        .def_ro("steps", &Inverse::steps).def_ro("sweeps", &Inverse::sweeps).def_rw("least", &Inverse::least);
    m.def("alike", &alike_of<Matrix>);
    m.def("alike", &alike_of<Floats>);
    m.def("descend", &descend<Matrix>);
    m.def("descend", &descend<Floats>);
    m.def("step", &step<Matrix>, nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert());
    m.def("step", &step<Floats>, nb::arg(), nb::arg().noconvert(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().noconvert(), nb::arg().noconvert());
}

void add_columns(nb::module_& m) {
    add_wide(m);
    add_seen(m);
    add_descent(m);
}

}  // namespace etamu
