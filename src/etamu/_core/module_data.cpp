// Where columns lie, and what is read, counted, predicted and told apart in them.
#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>
#include "distinct.hpp"
#include "module.hpp"
#include "team.hpp"

namespace etamu {

static constexpr int64_t MANY_ROWS = 1 << 16;  // whose reading is worth another thread

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

static void add_where(nb::module_& m) {
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
}

static void add_readings(nb::module_& m) {
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
}

static void add_cells(nb::module_& m) {
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
}

void add_data(nb::module_& m) {
    add_where(m);
    add_readings(m);
    add_cells(m);
}

}  // namespace etamu
