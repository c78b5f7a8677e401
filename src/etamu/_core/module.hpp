// What the parts of the Python face share: arrays as they come, the columns they name, and the kernels in use.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>
#include "core.hpp"

namespace nb = nanobind;

namespace etamu {

using namespace nb::literals;
using Wanted = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
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
using Where = nb::ndarray<const int64_t, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;  // address, stride, type, table of each column
using Fit = nb::ndarray<const double, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;     // and its centre and scale

extern const Kernels* active;  // the kernels in use

inline Column to_column(const ColumnTuple& t) {
    Column c;
    c.data = reinterpret_cast<const char*>(std::get<0>(t));
    c.stride = std::get<1>(t);
    c.type = std::get<2>(t);
    c.table = reinterpret_cast<const double*>(std::get<3>(t));
    c.center = std::get<4>(t);
    c.scale = std::get<5>(t);
    return c;
}

inline std::vector<Column> to_columns(const Where& where, const Fit& fit) {
    if (where.shape(0) != fit.shape(0)) throw std::invalid_argument("columns: sizes differ");
    std::vector<Column> out(where.shape(0));
    for (size_t j = 0; j < out.size(); ++j) {
        const int64_t* w = where.data() + 4 * j;
        out[j].data = reinterpret_cast<const char*>(w[0]), out[j].stride = w[1], out[j].type = int(w[2]), out[j].table = reinterpret_cast<const double*>(w[3]);
        out[j].center = fit.data()[2 * j], out[j].scale = fit.data()[2 * j + 1];
    }
    return out;
}

void add_plans(nb::module_& m);    // a problem's passes (module_plans.cpp)
void add_columns(nb::module_& m);  // a design column by column, and descent on models of it (module_columns.cpp)
void add_data(nb::module_& m);     // where columns lie, and what is counted and told of them (module_data.cpp)
void add_algebra(nb::module_& m);  // matrices (module_algebra.cpp)
void add_tables(nb::module_& m);   // functions, and families that are tables (module_tables.cpp)

}  // namespace etamu
