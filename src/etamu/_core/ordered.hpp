// The sums of many ranges of rows: any thread may add up a range, and the ranges' sums are added in their order, so that the
// result has the same bits for any number of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <utility>
#include <vector>
#include "core.hpp"
#include "team.hpp"

namespace etamu {

// How many numbers each part of a Result holds
struct Sizes {
    size_t score, cells, tables, information;
    static size_t whole(size_t n) { return (n + 7) / 8 * 8; }  // cache lines
    size_t all() const { return 8 + whole(score) + whole(cells) + whole(tables) + whole(information); }
    Result in(double* memory) const {
        double *score_at = memory + 8, *cells_at = score_at + whole(score), *tables_at = cells_at + whole(cells);
        return Result{memory, score_at, cells_at, tables_at, tables_at + whole(tables)};
    }
    void add(const Result& part, const Result& to) const {
        auto sum = [](double* a, const double* b, size_t n) { for (size_t i = 0; i < n; ++i) a[i] += b[i]; };
        sum(to.scalars, part.scalars, 4);
        sum(to.score, part.score, score);
        sum(to.cells, part.cells, cells);
        sum(to.tables, part.tables, tables);
        sum(to.information, part.information, information);
    }
};

// Memory that one range has left for the next: fresh pages cost more than the additions.
class Spare {
  public:
    ~Spare() { for (const auto& p : free) std::free(p.first); }
    double* take(size_t numbers) {
        std::lock_guard<std::mutex> lock(m);
        while (!free.empty()) {
            const auto [p, size] = free.back();
            free.pop_back();
            if (size >= numbers) return p;
            std::free(p);
        }
        double* p = static_cast<double*>(std::aligned_alloc(64, Sizes::whole(numbers) * sizeof(double)));
        if (!p) throw std::bad_alloc();
        return p;
    }
    void give(double* p, size_t numbers) {
        std::lock_guard<std::mutex> lock(m);
        free.emplace_back(p, numbers);
    }

  private:
    std::mutex m;
    std::vector<std::pair<double*, size_t>> free;
};

inline void sum_in_order(const Kernels& kernels, const Problem& problem, const Task& task, const std::vector<int64_t>& edges, int threads,
                         const Sizes& sizes, Spare& spare, const Result& total) {
    const int ranges = int(edges.size()) - 1;
    std::mutex m;
    std::vector<double*> waiting(size_t(ranges), nullptr);
    std::atomic<int> ticket{0};
    std::exception_ptr failed;
    int next = 0;
    auto work = [&] {
        try {
            for (int k; (k = ticket++) < ranges;) {
                double* memory = k ? spare.take(sizes.all()) : nullptr;  // the first range goes where all will be
                Result part = total;
                if (memory) {
                    std::fill(memory, memory + sizes.all(), 0.0);
                    part = sizes.in(memory);
                }
                Task own = task;
                own.start = edges[size_t(k)];
                own.stop = edges[size_t(k) + 1];
                kernels.pass(problem, own, part);
                std::lock_guard<std::mutex> lock(m);
                waiting[size_t(k)] = memory;
                if (k == 0) next = 1;
                for (; next > 0 && next < ranges && waiting[size_t(next)]; ++next) {
                    sizes.add(sizes.in(waiting[size_t(next)]), total);
                    spare.give(waiting[size_t(next)], sizes.all());
                }
            }
        } catch (...) {
            std::lock_guard<std::mutex> lock(m);
            failed = std::current_exception();
            ticket = ranges;
        }
    };
    Team::here().run(std::min(threads, ranges), work);
    if (failed) std::rethrow_exception(failed);
}

}  // namespace etamu
