// Sparse columns of a design, and the products of those taken, whose entries are kept one after another: columns come in any order, and memory
// that is read as it lies need not be waited for.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace etamu {

// Sparse columns (CSC); without values every entry is 1.
struct SparseColumns {
    const int64_t* start = nullptr;
    const int32_t* row = nullptr;
    const double* value = nullptr;
    int64_t columns = 0;
    double at(int64_t e) const { return value ? value[e] : 1.0; }
    double dot(int64_t j, const double* v) const {
        double s = 0;
        for (int64_t e = start[j]; e < start[j + 1]; ++e) s += at(e) * v[row[e]];
        return s;
    }
};

class Thin {
  public:
    // Takes one of the columns more; which of those taken it is
    int32_t take(const SparseColumns& from, int64_t j) {
        row.insert(row.end(), from.row + from.start[j], from.row + from.start[j + 1]);
        for (int64_t e = from.start[j]; e < from.start[j + 1]; ++e) value.push_back(from.at(e));
        start.push_back(int64_t(row.size()));
        return int32_t(start.size() - 2);
    }

    double dot(int32_t k, const double* v) const {
        return SparseColumns{start.data(), row.data(), value.data(), int64_t(start.size()) - 1}.dot(k, v);
    }

    template <class C> double dot(int32_t k, const double* v, const C* x) const {  // with v times x
        double s = 0;
        for (int64_t e = start[size_t(k)]; e < start[size_t(k) + 1]; ++e) s += value[size_t(e)] * v[row[size_t(e)]] * double(x[row[size_t(e)]]);
        return s;
    }

    void add(int32_t k, double b, double* out) const {
        for (int64_t e = start[size_t(k)]; e < start[size_t(k) + 1]; ++e) out[row[size_t(e)]] += b * value[size_t(e)];
    }

    // Some of the columns row by row: `who` of them, in their order, has an entry in each row
    struct ByRow {
        std::vector<int64_t> start;
        std::vector<int32_t> who;
        std::vector<double> value;
    };

    ByRow by_row(const std::vector<int32_t>& some, int64_t rows) const {
        ByRow out;
        out.start.assign(size_t(rows) + 1, 0);
        for (int32_t k : some) for (int64_t e = start[size_t(k)]; e < start[size_t(k) + 1]; ++e) ++out.start[size_t(row[size_t(e)]) + 1];
        for (int64_t i = 0; i < rows; ++i) out.start[size_t(i) + 1] += out.start[size_t(i)];
        std::vector<int64_t> next(out.start.begin(), out.start.end() - 1);
        out.who.resize(size_t(out.start.back()));
        out.value.resize(size_t(out.start.back()));
        for (size_t i = 0; i < some.size(); ++i)
            for (int64_t e = start[size_t(some[i])]; e < start[size_t(some[i]) + 1]; ++e) {
                const size_t at = size_t(next[size_t(row[size_t(e)])]++);
                out.who[at] = int32_t(i), out.value[at] = value[size_t(e)];
            }
        return out;
    }

    // out[i] += x_k' diag(w) x_i for the first columns of those some, up to the one that is `last`: each entry meets what its row has of them
    // (Gustavson 1978, ACM Trans. Math. Softw. 4, doi:10.1145/355791.355796)
    void meet(int32_t k, const double* w, const ByRow& some, int32_t last, double* out) const {
        for (int64_t e = start[size_t(k)]; e < start[size_t(k) + 1]; ++e) {
            const size_t at = size_t(row[size_t(e)]);
            const double f = w[at] * value[size_t(e)];
            for (int64_t t = some.start[at]; t < some.start[at + 1] && some.who[size_t(t)] <= last; ++t) out[some.who[size_t(t)]] += f * some.value[size_t(t)];
        }
    }

  private:
    std::vector<int64_t> start{0};
    std::vector<int32_t> row;
    std::vector<double> value;
};

}  // namespace etamu
