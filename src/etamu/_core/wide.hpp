// A design read column by column: every column in 16 bits to be scanned, and those taken, exactly.
#pragma once
#include <algorithm>
#include <atomic>
#include <cmath>
#include <stdexcept>
#include <vector>
#include "core.hpp"
#include "memory.hpp"
#include "team.hpp"
#include "thin.hpp"

namespace etamu {

class Wide {
  public:
    // With `narrow` no column is kept in 16 bits to be scanned: all of them, of which none may be sparse, are taken at once, and held in
    // floats alone.
    Wide(const Kernels& kernels, std::vector<Column> dense, SparseColumns sparse, int64_t rows, bool narrow, int threads)
        : kernels(kernels), dense(std::move(dense)), sparse(sparse), rows(rows), padded((rows + 63) / 64 * 64), narrow(narrow && !sparse.columns) {
        const int64_t count = int64_t(this->dense.size());
        unit.assign(size_t(count), 0.0);
        squares.assign(size_t(count + sparse.columns), 0.0);
        if (!this->narrow) {
            codes.reserve(size_t(count * padded) + 64);
            std::fill(codes.get() + count * padded, codes.get() + count * padded + 64, int16_t(0));
        }
        shared_out(this->narrow ? 0 : count, 16, threads, [&](int64_t first, int64_t last) {
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
    bool finite() const {  // whether all numbers are, as far as they have been read
        return whole && std::all_of(squares.begin(), squares.end(), [](double s) { return std::isfinite(s); });
    }
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
        const int64_t stretch = std::max<int64_t>(8, 65536 / std::max<int64_t>(padded, 1)) / 4 * 4;
        shared_out(count, stretch, padded * count > 50000 ? threads : 1, [&](int64_t first, int64_t last) {
            std::vector<int64_t> at;  // of the dense ones
            for (int64_t i = first; i < last; ++i) {
                const int64_t j = wanted[i] - int64_t(dense.size());
                if (j >= 0 || narrow) out[i] = j < 0 ? 0.0 : sparse.dot(j, v);  // of columns held as floats alone nothing is kept to be scanned
                else at.push_back(i);
            }
            const int64_t end = int64_t(at.size());
            const auto column = [&](int64_t k) { return codes.get() + wanted[at[size_t(std::min(k, end - 1))]] * padded; };
            for (int64_t k = 0; k < end; k += 4) {
                const int16_t *x[4], *next[4];
                double found[4];
                for (int i = 0; i < 4; ++i) x[i] = column(k + i), next[i] = column(k + 4 + i);
                kernels.scan(x, next, small.get(), padded, found);
                for (int64_t i = k; i < std::min(k + 4, end); ++i) out[at[size_t(i)]] = found[i - k] * unit[size_t(wanted[at[size_t(i)]])] * largest;
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
                if (j >= int64_t(dense.size())) { out[i] = sparse.dot(j - int64_t(dense.size()), v); continue; }
                read(j, x.get());
                out[i] = kernels.dot(x.get(), v, rows);
            }
        });
    }

    void take(const int32_t* wanted, int64_t count, int threads) {
        if (narrow) return take_all(wanted, count, threads);
        const int64_t apart = padded + (padded / 64 % 2 ? 0 : 64);  // blocks of columns a power of 2 apart would evict each other
        const size_t before = active.size();
        int64_t stored = 0;
        for (int64_t i = 0; i < count; ++i) stored += wanted[i] < int64_t(dense.size());
        double* next = nullptr;
        float* small = nullptr;
        if (stored) {  // one piece, so that large pages may hold it
            own.emplace_back(), own.back().reserve(size_t(stored * apart)), next = own.back().get();
            own_floats.emplace_back(), own_floats.back().reserve(size_t(stored * apart)), small = own_floats.back().get();
        }
        for (int64_t i = 0; i < count; ++i) {
            const bool here = wanted[i] < int64_t(dense.size());
            active.push_back(wanted[i]);
            places.push_back(here ? next : nullptr);
            floats.push_back(here ? small : nullptr);
            thin_at.push_back(here ? -1 : thin.take(sparse, wanted[i] - int64_t(dense.size())));
            if (here) next += apart, small += apart;
        }
        shared_out(count, 4, threads, [&](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; ++i) {
                const size_t at = before + size_t(i);
                if (!floats[at]) continue;
                read(active[at], places[at]);
                std::copy(places[at], places[at] + padded, floats[at]);
            }
        });
    }

    // x'v of each member
    void score(const int32_t* member, size_t count, const double* v, int threads, double* out) const {
        shared_out(int64_t(count), 64, rows * int64_t(count) > 20000 ? threads : 1, [&](int64_t first, int64_t last) {
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
            thin.add(thin_at[own], b[i], out);
        }
        shared_out(rows, std::max<int64_t>(256, (rows / 64 + 63) / 64 * 64), rows * int64_t(x.size()) > 20000 ? threads : 1, [&](int64_t first, int64_t last) {
            const double* by = f.data();
            double* to = out + first;
            kernels.add_columns(x.data(), first, &by, 1, int(x.size()), last - first, &to, &to);
        });
    }

    // What `advance` is asked for: eta = base + the members times `move`; and there deviance and pearson, the row terms, and x'v of
    // each member.  Without a problem x'v alone.
    struct Job {
        const Problem* problem;
        const double *base, *move;
        double *eta, *v, *h, *score, *sums;
    };

    // By one reading of those of the columns taken for all jobs, block of rows by block, where none of them is sparse
    void advance(const std::vector<Job>& jobs, const int32_t* member, size_t count, int information, int threads) const {
        if (narrow) advance_over(floats, kernels.add_columns_of_floats, kernels.add_products_of_floats, jobs, member, count, information, threads);
        else advance_over(places, kernels.add_columns, kernels.add_products, jobs, member, count, information, threads);
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
    bool narrow, whole = true;
    Aligned<int16_t> codes;
    std::vector<double> unit, squares;
    std::vector<int32_t> active;
    std::vector<Aligned<double>> own;
    std::vector<Aligned<float>> own_floats;
    std::vector<double*> places;  // where the columns taken lie, null for sparse ones
    std::vector<float*> floats;   // and their copies
    Thin thin;                    // the sparse ones
    std::vector<int32_t> thin_at; // which of these each is
    int64_t piece = 0, stride = 0;  // rows of a panel, and entries to the next one, where the copies lie in panels

    void read(int64_t j, double* to) const {
        for (int64_t k = 0; k < rows; k += CHUNK) kernels.gather(dense[size_t(j)], k, int(std::min(CHUNK, rows - k)), to + k);
        std::fill(to + rows, to + padded, 0.0);
    }
    static constexpr int64_t PANEL = CHUNK;  // rows of each column that lie together: with fewer, memory is asked for more than is read

    // In panels of rows, one column after another in each: then memory is read as it lies
    void take_all(const int32_t* wanted, int64_t count, int threads) {
        if (!active.empty() || count != int64_t(dense.size())) throw std::invalid_argument("take: columns held as floats are taken at once");
        piece = PANEL, stride = piece * count;
        const int64_t panels = (rows + piece - 1) / piece;
        own_floats.emplace_back(), own_floats.back().reserve(size_t(panels * stride));
        float* to = own_floats.back().get();
        for (int64_t i = 0; i < count; ++i) active.push_back(wanted[i]), places.push_back(nullptr), floats.push_back(to + i * piece);
        std::atomic<bool> finite{true};
        shared_out(count, 2, threads, [&](int64_t low, int64_t high) {
            alignas(64) double x[PANEL];
            for (int64_t i = low; i < high; ++i) {
                for (int64_t first = 0; first < panels * PANEL; first += PANEL) {
                    const int n = int(std::min(PANEL, rows - first));
                    kernels.gather(dense[size_t(wanted[i])], first, n, x);
                    std::fill(x + n, x + PANEL, 0.0);
                    if (!kernels.send(x, PANEL, floats[size_t(i)] + entry(first))) finite = false;
                }
            }
        });
        whole = finite;
    }

    static constexpr int64_t TALL = 8192;  // rows from which threads share these out, and not the rows of the result

    template <class C, class W> using Gram = void (*)(const C* const*, int64_t, int64_t, const W*, int64_t, int, int, int, int, double*, int64_t);

    template <class C, class W, class G>
    void gram_over(const std::vector<C*>& at, const W* weight, const double* w, Gram<C, W> kernel,
                   const int32_t* member, int count, int first, int threads, G* g, int64_t ld) const {
        std::vector<const C*> x;
        bool stored = true;
        for (int i = 0; i < count; ++i) x.push_back(at[size_t(member[i])]), stored = stored && x.back();
        if (stored && rows > TALL) return gram_of_tall(x, weight, kernel, count, first, threads, g, ld);
        if (!stored) return gram_of_mixed(at, weight, w, kernel, member, count, first, threads, g, ld);
        const int stretch = count > 200 ? 48 : 24;
        shared_out(count, stretch, count * int64_t(count - first) > 2000 ? threads : 1, [&](int64_t low, int64_t high) {
            const int from = std::max(first, int(low)), width = int(high - low);
            std::vector<double> sums(size_t(count - from) * size_t(width));
            kernel(x.data(), piece_of(), stride, weight, rows, from, count, int(low), int(high), sums.data() - int64_t(from) * width - low, width);
            for (int i = from; i < count; ++i)
                for (int64_t j = low; j < std::min<int64_t>(high, i + 1); ++j) g[i * ld + j] = G(sums[size_t(i - from) * size_t(width) + size_t(j - low)]);
        });
    }

    // Where some of the columns are sparse: the others with each other as above, and all with these by their entries
    template <class C, class W, class G>
    void gram_of_mixed(const std::vector<C*>& at, const W* weight, const double* w, Gram<C, W> kernel,
                       const int32_t* member, int count, int first, int threads, G* g, int64_t ld) const {
        std::vector<int32_t> full, full_member, few, few_thin;  // positions among the members, and what is there
        int full_before = 0;
        for (int i = 0; i < count; ++i) {
            if (thin_at[size_t(member[i])] >= 0) { few.push_back(i), few_thin.push_back(thin_at[size_t(member[i])]); continue; }
            full_before += i < first;
            full.push_back(i), full_member.push_back(member[i]);
        }
        const int solid = int(full.size());
        if (full_before < solid) {
            std::vector<G> own(size_t(solid) * size_t(solid));
            gram_over(at, weight, w, kernel, full_member.data(), solid, full_before, threads, own.data(), solid);
            for (int i = full_before; i < solid; ++i) for (int j = 0; j <= i; ++j) g[full[size_t(i)] * ld + full[size_t(j)]] = own[size_t(i) * size_t(solid) + size_t(j)];
        }
        const Thin::ByRow some = thin.by_row(few_thin, rows);
        shared_out(count - first, 8, count * int64_t(count - first) > 2000 ? threads : 1, [&](int64_t low, int64_t high) {
            std::vector<double> wx(size_t(solid ? rows : 0)), sums(few.size());
            for (int i = count - int(high); i < count - int(low); ++i) {  // the longest rows first
                const size_t own = size_t(member[i]);
                const int32_t k = thin_at[own];
                const auto before = std::lower_bound(few.begin(), few.end(), i + 1) - few.begin();
                if (k < 0) {
                    for (int64_t r = 0; r < rows; ++r) wx[size_t(r)] = w[r] * double(at[own][r]);
                    for (std::ptrdiff_t f = 0; f < before; ++f) g[i * ld + few[size_t(f)]] = G(thin.dot(few_thin[size_t(f)], wx.data()));
                    continue;
                }
                std::fill(sums.begin(), sums.begin() + before, 0.0);
                thin.meet(k, w, some, int32_t(before) - 1, sums.data());
                for (std::ptrdiff_t f = 0; f < before; ++f) g[i * ld + few[size_t(f)]] = G(sums[size_t(f)]);
                for (int f = 0; f < solid && full[size_t(f)] < i; ++f) g[i * ld + full[size_t(f)]] = G(thin.dot(k, w, at[size_t(full_member[size_t(f)])]));
            }
        });
    }

    // Part by part of the rows, whose number does not depend on the threads; each reads the columns once
    template <class C, class W, class G>
    void gram_of_tall(const std::vector<const C*>& x, const W* w, Gram<C, W> kernel, int count, int first, int threads, G* g, int64_t ld) const {
        constexpr int PARTS = 8;
        const int64_t unit = std::max<int64_t>(piece, 64), each = (rows + PARTS * unit - 1) / (PARTS * unit) * unit, size = int64_t(count - first) * count;
        std::vector<double> sums(size_t(PARTS * size), 0.0);
        shared_out(PARTS, 1, threads, [&](int64_t part, int64_t) {
            const int64_t from = part * each, many = std::min(each, rows - from);
            if (many <= 0) return;
            std::vector<const C*> own;
            for (const C* column : x) own.push_back(column + entry(from));
            kernel(own.data(), piece_of(), stride, w + from, many, first, count, 0, count, sums.data() + part * size - int64_t(first) * count, count);
        });
        for (int i = first; i < count; ++i)
            for (int j = 0; j <= i; ++j) {
                double total = 0;
                for (int part = 0; part < PARTS; ++part) total += sums[size_t(part * size + int64_t(i - first) * count + j)];
                g[i * ld + j] = G(total);
            }
    }

    // How many rows of so many columns stay in the second-level cache: a power of 2
    template <class T> static int64_t rows_at_once(size_t count) {
        int64_t run = CHUNK;
        while (run > 64 && run * int64_t(sizeof(T) * count) > 300000) run /= 2;
        return run;
    }
    int64_t piece_of() const { return piece ? piece : padded; }
    int64_t entry(int64_t row) const { return piece ? row / piece * stride + row % piece : row; }  // of a column, where that row is

    static constexpr int64_t SHORT = 4096;  // rows up to which whole columns are read one after another, once to be added and once for products

    template <class T, class Add, class Products>
    void advance_of_short(const std::vector<const T*>& x, const std::vector<const T*>& moving, const std::vector<const double*>& b, const std::vector<const double*>& v, Add add,
                          Products products, const std::vector<Job>& jobs, int information, int threads) const {
        const size_t many = jobs.size();
        const int64_t run = CHUNK;
        if (jobs[0].problem) {
            shared_out(rows, run / 2, rows * int64_t(many * moving.size()) > 50000 ? threads : 1, [&](int64_t first, int64_t last) {
                std::vector<double*> eta;
                std::vector<const double*> base;
                for (const Job& job : jobs) eta.push_back(job.eta + first), base.push_back(job.base + first);
                add(moving.data(), entry(first), b.data(), int(many), int(moving.size()), last - first, base.data(), eta.data());
            });
            for (const Job& job : jobs) kernels.rows(*job.problem, job.eta, 0, rows, information, job.v, job.h, job.sums);
        }
        shared_out(int64_t(x.size()), 24, rows * int64_t(many * x.size()) > 50000 ? threads : 1, [&](int64_t low, int64_t high) {  // whole groups of columns
            std::vector<double*> out;
            for (const Job& job : jobs) out.push_back(job.score + low), std::fill(job.score + low, job.score + high, 0.0);
            for (int64_t k = 0; k < rows; k += run) products(x.data() + low, entry(k), int(high - low), v.data(), int(many), k, std::min(run, rows - k), out.data());
        });
    }

    template <class T, class Add, class Products>
    void advance_over(const std::vector<T*>& at, Add add, Products products, const std::vector<Job>& jobs, const int32_t* member, size_t count, int information, int threads) const {
        const size_t many = jobs.size();
        std::vector<const T*> x, moving;
        bool stored = true;
        for (size_t i = 0; i < count; ++i) x.push_back(at[size_t(member[i])]), stored = stored && x.back();
        std::vector<std::vector<double>> by(many);  // of the columns that move in any job
        const bool goes = jobs[0].problem;
        for (size_t i = 0; goes && stored && i < count; ++i) {
            bool moves = false;
            for (const Job& job : jobs) moves = moves || job.move[i] != 0;
            if (!moves) continue;
            moving.push_back(x[i]);
            for (size_t t = 0; t < many; ++t) by[t].push_back(jobs[t].move[i]);
        }
        std::vector<const double*> v, b;
        for (size_t t = 0; t < many; ++t) {
            v.push_back(jobs[t].v), b.push_back(by[t].data());
            if (stored || !goes) continue;
            std::copy(jobs[t].base, jobs[t].base + rows, jobs[t].eta);
            add_members(member, jobs[t].move, count, threads, jobs[t].eta);
        }
        if (stored && rows <= SHORT) return advance_of_short(x, moving, b, v, add, products, jobs, information, threads);
        const int64_t run = piece ? piece : rows_at_once<T>(count), stretch = std::max<int64_t>(1, rows / 32 / run) * run, stretches = (rows + stretch - 1) / stretch;
        const size_t width = count + 2;
        std::vector<double> part(size_t(stretches) * many * width, 0.0);  // of each stretch and job: its sums, then the products
        shared_out(rows, stretch, rows * int64_t(many * (width + 16)) > 30000 ? threads : 1, [&](int64_t first, int64_t last) {
            std::vector<double*> out, eta(many);
            std::vector<const double*> base(many);
            for (size_t t = 0; t < many; ++t) out.push_back(part.data() + (size_t(first / stretch) * many + t) * width + 2);
            for (int64_t k = first; k < last; k += run) {
                const int64_t stop = std::min(k + run, last), from = entry(k);
                if (goes && stored && std::all_of(jobs.begin(), jobs.end(), [&](const Job& job) { return idle(*job.problem, k, stop); })) {
                    for (const Job& job : jobs) for (double* to : {job.eta, job.v, job.h}) std::fill(to + k, to + stop, 0.0);
                    continue;
                }
                if (stored && goes) {
                    for (size_t t = 0; t < many; ++t) eta[t] = jobs[t].eta + k, base[t] = jobs[t].base + k;
                    add(moving.data(), from, b.data(), int(many), int(moving.size()), stop - k, base.data(), eta.data());
                }
                for (size_t t = 0; goes && t < many; ++t) {
                    const Job& job = jobs[t];
                    double found[2];
                    kernels.rows(*job.problem, job.eta, k, stop, information, job.v, job.h, found);
                    out[t][-2] += found[0], out[t][-1] += found[1];
                }
                if (stored) products(x.data(), from, int(count), v.data(), int(many), k, stop - k, out.data());
            }
        });
        for (size_t t = 0; t < many; ++t) {
            const Job& job = jobs[t];
            if (goes) job.sums[0] = job.sums[1] = 0;
            std::fill(job.score, job.score + count, 0.0);
            for (int64_t s = 0; s < stretches; ++s) {
                const double* sums = part.data() + (size_t(s) * many + t) * width;
                if (goes) job.sums[0] += sums[0], job.sums[1] += sums[1];
                for (size_t i = 0; i < count; ++i) job.score[i] += sums[2 + i];
            }
            if (!stored) score(member, count, job.v, threads, job.score);
        }
    }

    // Whether those rows have no weight
    static bool idle(const Problem& problem, int64_t first, int64_t last) {
        const Column& w = problem.extra[1];
        if (w.type != F64 || w.stride != int64_t(sizeof(double)) || w.table) return false;
        return nothing(reinterpret_cast<const double*>(w.data) + first, last - first);
    }

    double column_dot(int64_t i, const double* v) const {
        return places[size_t(i)] ? kernels.dot(places[size_t(i)], v, rows) : thin.dot(thin_at[size_t(i)], v);
    }
};

}  // namespace etamu
