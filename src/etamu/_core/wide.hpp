// A design read column by column: every column in 16 bits to be scanned, and those taken, exactly.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>
#include "arrow.hpp"
#include "core.hpp"

namespace etamu {

template <class T> struct Aligned {
    std::unique_ptr<T, void (*)(void*)> data{nullptr, std::free};
    void reserve(size_t count) {
        data.reset(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64 + 64)));
        if (!data) throw std::bad_alloc();
    }
    T* get() const { return data.get(); }
};

// Sparse columns (CSC); without values every entry is 1.
struct SparseColumns {
    const int64_t* start = nullptr;
    const int32_t* row = nullptr;
    const double* value = nullptr;
    int64_t columns = 0;
    double at(int64_t e) const { return value ? value[e] : 1.0; }
};

class Wide {
  public:
    Wide(const Kernels& kernels, std::vector<Column> dense, SparseColumns sparse, int64_t rows, int threads)
        : kernels(kernels), dense(std::move(dense)), sparse(sparse), rows(rows), padded((rows + 63) / 64 * 64) {
        const int64_t count = int64_t(this->dense.size());
        unit.assign(size_t(count), 0.0);
        squares.assign(size_t(count + sparse.columns), 0.0);
        codes.reserve(size_t(count * padded) + 64);
        std::fill(codes.get() + count * padded, codes.get() + count * padded + 64, int16_t(0));
        shared_out(count, 16, threads, [&](int64_t first, int64_t last) {
            for (int64_t j = first; j < last; ++j) {
                int16_t* to = codes.get() + j * padded;
                unit[size_t(j)] = kernels.quantise(this->dense[size_t(j)], rows, to, &squares[size_t(j)]);
                std::fill(to + rows, to + padded, int16_t(0));
            }
        });
        shared_out(sparse.columns, 256, threads, [&](int64_t first, int64_t last) {
            for (int64_t j = first; j < last; ++j) {
                double s = 0;
                for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) s += sparse.at(e) * sparse.at(e);
                squares[size_t(count + j)] = s;
            }
        });
    }

    int64_t columns() const { return int64_t(dense.size()) + sparse.columns; }
    int64_t length() const { return rows; }
    size_t taken() const { return active.size(); }
    const std::vector<double>& squared_lengths() const { return squares; }

    // A bound on what 16 bits lose of x_j'v, in units of the length of v
    double lost(int64_t j) const { return j < int64_t(dense.size()) ? 0.51 * unit[size_t(j)] * std::sqrt(double(rows)) + 1e-6 * std::sqrt(squares[size_t(j)]) : 0.0; }

    // out[i] ~ x_j'v for each wanted column j
    void scan(const double* v, const int32_t* wanted, int64_t count, int threads, double* out) const {
        double largest = 0;
        for (int64_t k = 0; k < rows; ++k) largest = std::max(largest, std::abs(v[k]));
        const double per = largest > 0 ? 1 / largest : 0;
        Aligned<float> narrow;
        narrow.reserve(size_t(padded));
        for (int64_t k = 0; k < padded; ++k) narrow.get()[k] = k < rows ? float(v[k] * per) : 0.0f;
        shared_out(count, std::max<int64_t>(8, 32768 / std::max<int64_t>(padded, 1)), threads, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) {
                const int64_t j = wanted[i];
                out[i] = j < int64_t(dense.size()) ? kernels.scan(codes.get() + j * padded, narrow.get(), padded) * unit[size_t(j)] * largest : sparse_dot(j - int64_t(dense.size()), v);
            }
        });
    }

    // x_j'v for each wanted column, exactly
    void exact(const double* v, const int32_t* wanted, int64_t count, int threads, double* out) const {
        shared_out(count, 4, threads, [&](int64_t first, int64_t last) {
            Aligned<double> x;
            x.reserve(size_t(padded));
            for (int64_t i = first; i < last; ++i) {
                const int64_t j = wanted[i];
                if (j >= int64_t(dense.size())) { out[i] = sparse_dot(j - int64_t(dense.size()), v); continue; }
                read(j, x.get());
                out[i] = kernels.dot(x.get(), v, rows);
            }
        });
    }

    void take(const int32_t* wanted, int64_t count, int threads) {
        const size_t before = active.size();
        for (int64_t i = 0; i < count; ++i) {
            active.push_back(wanted[i]);
            own.emplace_back();
            if (wanted[i] < int64_t(dense.size())) own.back().reserve(size_t(padded));
            places.push_back(own.back().get());
        }
        shared_out(count, 4, threads, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i)
                if (double* to = places[before + size_t(i)]) read(active[before + size_t(i)], to);
        });
    }

    // x'v of each column taken
    void score(const double* v, int threads, double* out) const {
        shared_out(int64_t(active.size()), 4, threads_for(threads), [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) out[i] = column_dot(i, v);
        });
    }

    // out += sum of the columns taken times b
    void predictor(const double* b, int threads, double* out) const {
        std::vector<const double*> x;
        std::vector<double> f;
        for (size_t i = 0; i < active.size(); ++i) {
            if (b[i] == 0) continue;
            if (places[i]) { x.push_back(places[i]); f.push_back(b[i]); continue; }
            const int64_t j = active[i] - int64_t(dense.size());
            for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) out[sparse.row[e]] += b[i] * sparse.at(e);
        }
        shared_out(rows, std::max<int64_t>(256, (rows / 64 + 63) / 64 * 64), threads_for(threads), [&](int64_t first, int64_t last) { kernels.add_columns(x.data(), f.data(), int(x.size()), first, last, out); });
    }

    // Rows [first, count) of X'WX of those members of the columns taken, and their mirror images; w has zeros beyond the last row
    void gram(const double* w, const int32_t* member, int count, int first, int threads, double* g, int64_t ld) const {
        std::vector<const double*> x;
        bool stored = true;
        for (int i = 0; i < count; ++i) x.push_back(places[size_t(member[i])]), stored = stored && x.back();
        if (stored) {
            const int stretch = 4, runs = (count - first + stretch - 1) / stretch;
            shared_out(runs, 1, threads, [&](int64_t a, int64_t) {
                const int i = first + int(runs - 1 - a) * stretch;  // the longest rows first
                kernels.gram_columns(x.data(), w, rows, i, std::min(i + stretch, count), g, ld);
            });
        } else {
            shared_out(count - first, 1, threads, [&](int64_t a, int64_t) { mixed_row(member, first + int(a), w, g, ld); });
        }
        for (int i = first; i < count; ++i) for (int j = 0; j < i; ++j) g[j * ld + i] = g[i * ld + j];
    }

  private:
    const Kernels& kernels;
    std::vector<Column> dense;
    SparseColumns sparse;
    int64_t rows, padded;
    Aligned<int16_t> codes;
    std::vector<double> unit, squares;
    std::vector<int32_t> active;
    std::vector<Aligned<double>> own;
    std::vector<double*> places;  // where the columns taken lie, null for sparse ones

    int threads_for(int threads) const { return rows * int64_t(active.size()) > 20000 ? threads : 1; }

    void read(int64_t j, double* to) const {
        for (int64_t k = 0; k < rows; k += 1024) kernels.gather(dense[size_t(j)], k, int(std::min<int64_t>(1024, rows - k)), to + k);
        std::fill(to + rows, to + padded, 0.0);
    }
    double sparse_dot(int64_t j, const double* v) const {
        double s = 0;
        for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) s += sparse.at(e) * v[sparse.row[e]];
        return s;
    }
    double column_dot(int64_t i, const double* v) const {
        return places[size_t(i)] ? kernels.dot(places[size_t(i)], v, rows) : sparse_dot(active[size_t(i)] - int64_t(dense.size()), v);
    }
    void mixed_row(const int32_t* member, int i, const double* w, double* g, int64_t ld) const {
        static thread_local std::vector<double> wx;
        wx.assign(size_t(padded), 0.0);
        const size_t own = size_t(member[i]);
        if (places[own]) {
            for (int64_t k = 0; k < rows; ++k) wx[size_t(k)] = w[k] * places[own][k];
        } else {
            const int64_t j = active[own] - int64_t(dense.size());
            for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) wx[size_t(sparse.row[e])] += w[sparse.row[e]] * sparse.at(e);
        }
        for (int j = 0; j <= i; ++j) g[i * ld + j] = column_dot(member[j], wx.data());
    }
};

}  // namespace etamu
