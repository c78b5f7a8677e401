// A design read column by column: every column in 16 bits to be scanned, and those taken, exactly.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>
#include "arrow.hpp"
#include "core.hpp"
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace etamu {

template <class T> struct Aligned {
    std::unique_ptr<T, void (*)(void*)> data{nullptr, std::free};
    void reserve(size_t count) {
        constexpr size_t PAGE = size_t(1) << 21;
        const size_t bytes = (count * sizeof(T) + 63) / 64 * 64 + 64;
        const bool large = bytes >= 2 * PAGE;
        data.reset(static_cast<T*>(large ? std::aligned_alloc(PAGE, (bytes + PAGE - 1) / PAGE * PAGE) : std::aligned_alloc(64, bytes)));
        if (!data) throw std::bad_alloc();
#if defined(__linux__)
        if (large) madvise(data.get(), bytes, MADV_HUGEPAGE);  // many columns at once are more pages than the processor keeps in mind
#endif
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
    // With `narrow` the columns taken are held in floats alone, which no sparse column may be among; if they are not to be scanned, no
    // column is kept in 16 bits.
    Wide(const Kernels& kernels, std::vector<Column> dense, SparseColumns sparse, int64_t rows, bool narrow, bool scanned, int threads)
        : kernels(kernels), dense(std::move(dense)), sparse(sparse), rows(rows), padded((rows + 63) / 64 * 64), narrow(narrow && !sparse.columns) {
        const int64_t count = int64_t(this->dense.size());
        unit.assign(size_t(count), 0.0);
        squares.assign(size_t(count + sparse.columns), 0.0);
        if (scanned) {
            codes.reserve(size_t(count * padded) + 64);
            std::fill(codes.get() + count * padded, codes.get() + count * padded + 64, int16_t(0));
        }
        shared_out(scanned ? count : 0, 16, threads, [&](int64_t first, int64_t last) {
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
        Aligned<float> small;
        small.reserve(size_t(padded));
        for (int64_t k = 0; k < padded; ++k) small.get()[k] = k < rows ? float(v[k] * per) : 0.0f;
        shared_out(count, std::max<int64_t>(8, 32768 / std::max<int64_t>(padded, 1)), threads, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) {
                const int64_t j = wanted[i];
                out[i] = j < int64_t(dense.size()) ? !codes.get() ? 0.0 : kernels.scan(codes.get() + j * padded, small.get(), padded) * unit[size_t(j)] * largest : sparse_dot(j - int64_t(dense.size()), v);
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
        int64_t stored = 0;
        for (int64_t i = 0; i < count; ++i) stored += wanted[i] < int64_t(dense.size());
        double* next = nullptr;
        float* small = nullptr;
        if (stored) {  // one piece, so that large pages may hold it
            if (!narrow) own.emplace_back(), own.back().reserve(size_t(stored * padded)), next = own.back().get();
            own_floats.emplace_back(), own_floats.back().reserve(size_t(stored * padded)), small = own_floats.back().get();
        }
        for (int64_t i = 0; i < count; ++i) {
            const bool here = wanted[i] < int64_t(dense.size());
            active.push_back(wanted[i]);
            places.push_back(here ? next : nullptr);
            floats.push_back(here ? small : nullptr);
            if (here) next += narrow ? 0 : padded, small += padded;
        }
        shared_out(count, 4, threads, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) {
                const size_t at = before + size_t(i);
                if (!floats[at]) continue;
                if (places[at]) {
                    read(active[at], places[at]);
                    std::copy(places[at], places[at] + padded, floats[at]);
                } else {
                    read(active[at], floats[at]);
                }
            }
        });
    }

    // x'v of each member
    void score(const int32_t* member, size_t count, const double* v, int threads, double* out) const {
        shared_out(int64_t(count), 4, rows * int64_t(count) > 20000 ? threads : 1, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) out[i] = column_dot(member[i], v);
        });
    }

    // out += sum of the members times b
    void add_members(const int32_t* member, const double* b, size_t count, int threads, double* out) const {
        std::vector<const double*> x;
        std::vector<double> f;
        for (size_t i = 0; i < count; ++i) {
            if (b[i] == 0) continue;
            const size_t own = size_t(member[i]);
            if (places[own]) { x.push_back(places[own]); f.push_back(b[i]); continue; }
            const int64_t j = active[own] - int64_t(dense.size());
            for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) out[sparse.row[e]] += b[i] * sparse.at(e);
        }
        shared_out(rows, std::max<int64_t>(256, (rows / 64 + 63) / 64 * 64), rows * int64_t(x.size()) > 20000 ? threads : 1, [&](int64_t first, int64_t last) {
            kernels.add_columns(x.data(), f.data(), int(x.size()), first, last, out);
        });
    }

    // What `advance` is asked for: eta = base + its members of the columns taken, times `move`; and there deviance and pearson, the
    // row terms, and x'v of each member.
    struct Job {
        const Problem* problem;
        const double *base, *move;
        const int32_t* member;
        size_t count;
        double *eta, *v, *h, *score, *sums;
    };

    // By one reading of the columns, block of rows by block, where none of them is sparse
    void advance(const Job& job, int information, int threads) const {
        if (narrow) advance_over(floats, kernels.add_columns_of_floats, kernels.add_products_of_floats, job, information, threads);
        else advance_over(places, kernels.add_columns, kernels.add_products, job, information, threads);
    }

    // x'v of each member, by the numbers that `advance` reads
    void products(const double* v, const int32_t* member, size_t count, int threads, double* out) const {
        if (narrow) products_over(floats, kernels.add_products_of_floats, v, member, count, threads, out);
        else score(member, count, v, threads, out);
    }

    // Rows [first, count) of X'WX of those members of the columns taken, and their mirror images; w has zeros beyond the last row.
    // Where g holds floats, so do the products.
    template <class G> void gram(const double* w, const int32_t* member, int count, int first, int threads, G* g, int64_t ld) const {
        if constexpr (std::is_same_v<G, float>) {
            Aligned<float> small;
            small.reserve(size_t(padded));
            std::copy(w, w + padded, small.get());
            gram_over(floats, small.get(), w, kernels.gram_columns, member, count, first, threads, g, ld);
        } else if (narrow) {
            gram_over(floats, w, w, kernels.exact_gram_of_floats, member, count, first, threads, g, ld);
        } else {
            gram_over(places, w, w, kernels.exact_gram_columns, member, count, first, threads, g, ld);
        }
        constexpr int SIDE = 32;  // squares that stay in the cache while they are turned
        shared_out(count, SIDE, int64_t(count) * (count - first) > 100000 ? threads : 1, [&](int64_t low, int64_t high) {
            for (int64_t i = std::max<int64_t>(first, low); i < count; i += SIDE)
                for (int64_t j = low; j < high; ++j)
                    for (int64_t k = std::max(i, j + 1); k < std::min<int64_t>(i + SIDE, count); ++k) g[j * ld + k] = g[k * ld + j];
        });
    }

  private:
    const Kernels& kernels;
    std::vector<Column> dense;
    SparseColumns sparse;
    int64_t rows, padded;
    bool narrow;
    Aligned<int16_t> codes;
    std::vector<double> unit, squares;
    std::vector<int32_t> active;
    std::vector<Aligned<double>> own;
    std::vector<Aligned<float>> own_floats;
    std::vector<double*> places;  // where the columns taken lie, null for sparse ones
    std::vector<float*> floats;   // and their copies

    void read(int64_t j, double* to) const {
        for (int64_t k = 0; k < rows; k += 1024) kernels.gather(dense[size_t(j)], k, int(std::min<int64_t>(1024, rows - k)), to + k);
        std::fill(to + rows, to + padded, 0.0);
    }
    void read(int64_t j, float* to) const {
        double x[1024];
        for (int64_t k = 0; k < rows; k += 1024) {
            const int count = int(std::min<int64_t>(1024, rows - k));
            kernels.gather(dense[size_t(j)], k, count, x);
            std::copy(x, x + count, to + k);
        }
        std::fill(to + rows, to + padded, 0.0f);
    }

    static constexpr int64_t TALL = 8192;  // rows from which threads share these out, and not the rows of the result

    template <class C, class W, class G>
    void gram_over(const std::vector<C*>& at, const W* weight, const double* w, void (*kernel)(const C* const*, const W*, int64_t, int, int, double*, int64_t),
                   const int32_t* member, int count, int first, int threads, G* g, int64_t ld) const {
        std::vector<const C*> x;
        bool stored = true;
        for (int i = 0; i < count; ++i) x.push_back(at[size_t(member[i])]), stored = stored && x.back();
        if (stored && rows > TALL) return gram_of_tall(x, weight, kernel, count, first, threads, g, ld);
        const int stretch = 4, runs = (count - first + stretch - 1) / stretch;
        shared_out(runs, 1, threads, [&](int64_t a, int64_t) {
            const int from = first + int(runs - 1 - a) * stretch, to = std::min(from + stretch, count);  // the longest rows first
            std::vector<double> sums(size_t(stretch) * size_t(to));
            if (stored) kernel(x.data(), weight, rows, from, to, sums.data() - int64_t(from) * to, to);
            else for (int i = from; i < to; ++i) mixed_row(member, i, w, sums.data() + int64_t(i - from) * to);
            for (int i = from; i < to; ++i)
                for (int j = 0; j <= i; ++j) g[i * ld + j] = G(sums[size_t(i - from) * size_t(to) + size_t(j)]);
        });
    }

    // Part by part of the rows, whose number does not depend on the threads; each reads the columns once
    template <class C, class W, class G>
    void gram_of_tall(const std::vector<const C*>& x, const W* w, void (*kernel)(const C* const*, const W*, int64_t, int, int, double*, int64_t), int count, int first,
                      int threads, G* g, int64_t ld) const {
        constexpr int PARTS = 8;
        const int64_t each = (rows + PARTS * 64 - 1) / (PARTS * 64) * 64, size = int64_t(count - first) * count;
        std::vector<double> sums(size_t(PARTS * size), 0.0);
        shared_out(PARTS, 1, threads, [&](int64_t part, int64_t) {
            const int64_t from = part * each, many = std::min(each, rows - from);
            if (many <= 0) return;
            std::vector<const C*> own;
            for (const C* column : x) own.push_back(column + from);
            kernel(own.data(), w + from, many, first, count, sums.data() + part * size - int64_t(first) * count, count);
        });
        for (int i = first; i < count; ++i)
            for (int j = 0; j <= i; ++j) {
                double total = 0;
                for (int part = 0; part < PARTS; ++part) total += sums[size_t(part * size + int64_t(i - first) * count + j)];
                g[i * ld + j] = G(total);
            }
    }

    // How many rows of so many columns stay in the second-level cache
    template <class T> static int64_t rows_at_once(size_t count) { return std::max<int64_t>(64, std::min<int64_t>(1024, 262144 / int64_t(sizeof(T) * std::max<size_t>(count, 1)) / 64 * 64)); }
    int64_t stretch_of(int64_t run) const { return std::max<int64_t>(run, (rows / 32 + 63) / 64 * 64); }  // of rows, whose sums are added in order

    template <class T, class Products>
    void products_over(const std::vector<T*>& at, Products products, const double* v, const int32_t* member, size_t count, int threads, double* out) const {
        std::vector<const T*> x;
        for (size_t i = 0; i < count; ++i) x.push_back(at[size_t(member[i])]);
        const int64_t run = 1024, stretch = stretch_of(run), stretches = (rows + stretch - 1) / stretch;
        constexpr size_t FEW = 16;  // columns, whose rows are read one after another as they lie
        std::vector<double> part(size_t(stretches) * count, 0.0);
        shared_out(rows, stretch, rows * int64_t(count) > 30000 ? threads : 1, [&](int64_t first, int64_t last) {
            double* sums = part.data() + size_t(first / stretch) * count;
            for (size_t i = 0; i < count; i += FEW)
                for (int64_t k = first; k < last; k += run) products(x.data() + i, v, int(std::min(FEW, count - i)), k, std::min(k + run, last) - k, sums + i);
        });
        std::fill(out, out + count, 0.0);
        for (int64_t s = 0; s < stretches; ++s)
            for (size_t i = 0; i < count; ++i) out[i] += part[size_t(s) * count + i];
    }

    template <class T, class Add, class Products>
    void advance_over(const std::vector<T*>& at, Add add, Products products, const Job& job, int information, int threads) const {
        std::vector<const T*> moving, stored;
        std::vector<double> by;
        bool dense = true;
        for (size_t i = 0; i < job.count; ++i) {
            const T* x = at[size_t(job.member[i])];
            stored.push_back(x);
            dense = dense && x;
            if (job.move[i] != 0 && x) moving.push_back(x), by.push_back(job.move[i]);
        }
        if (!dense) {
            std::copy(job.base, job.base + rows, job.eta);
            add_members(job.member, job.move, job.count, threads, job.eta);
        }
        const int64_t run = rows_at_once<T>(job.count), stretch = stretch_of(run), stretches = (rows + stretch - 1) / stretch;
        const size_t width = job.count + 2;
        std::vector<double> part(size_t(stretches) * width, 0.0);
        shared_out(rows, stretch, rows * int64_t(width + 16) > 30000 ? threads : 1, [&](int64_t first, int64_t last) {
            double* sums = part.data() + size_t(first / stretch) * width;
            for (int64_t k = first; k < last; k += run) {
                const int64_t stop = std::min(k + run, last);
                if (dense) {
                    std::copy(job.base + k, job.base + stop, job.eta + k);
                    add(moving.data(), by.data(), int(moving.size()), k, stop, job.eta);
                }
                double found[2];
                kernels.rows(*job.problem, job.eta, k, stop, information, job.v, job.h, found);
                sums[0] += found[0], sums[1] += found[1];
                if (dense) products(stored.data(), job.v, int(job.count), k, stop - k, sums + 2);
            }
        });
        job.sums[0] = job.sums[1] = 0;
        std::fill(job.score, job.score + job.count, 0.0);
        for (int64_t s = 0; s < stretches; ++s) {
            const double* sums = part.data() + size_t(s) * width;
            job.sums[0] += sums[0], job.sums[1] += sums[1];
            for (size_t i = 0; i < job.count; ++i) job.score[i] += sums[2 + i];
        }
        if (!dense) score(job.member, job.count, job.v, threads, job.score);
    }

    double sparse_dot(int64_t j, const double* v) const {
        double s = 0;
        for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) s += sparse.at(e) * v[sparse.row[e]];
        return s;
    }
    double column_dot(int64_t i, const double* v) const {
        return places[size_t(i)] ? kernels.dot(places[size_t(i)], v, rows) : sparse_dot(active[size_t(i)] - int64_t(dense.size()), v);
    }
    void mixed_row(const int32_t* member, int i, const double* w, double* g) const {
        static thread_local std::vector<double> wx;
        wx.assign(size_t(padded), 0.0);
        const size_t own = size_t(member[i]);
        if (places[own]) {
            for (int64_t k = 0; k < rows; ++k) wx[size_t(k)] = w[k] * places[own][k];
        } else {
            const int64_t j = active[own] - int64_t(dense.size());
            for (int64_t e = sparse.start[j]; e < sparse.start[j + 1]; ++e) wx[size_t(sparse.row[e])] += w[sparse.row[e]] * sparse.at(e);
        }
        for (int j = 0; j <= i; ++j) g[j] = column_dot(member[j], wx.data());
    }
};

}  // namespace etamu
