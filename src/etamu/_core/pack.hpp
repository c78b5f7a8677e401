// Bring one block of rows of the design into panels of doubles, centred and scaled, from wherever the columns lie.
#pragma once
#include <algorithm>
#include <utility>
#include "core.hpp"
#include "gram.hpp"

namespace { constexpr int MAX_BLOCK = 1024; }

namespace {
using namespace etamu;

template <class T> inline void gather(const char* data, int64_t stride, int64_t first, int count, double center, double scale, double* out) {
    const char* p = data + first * stride;
    if (stride == int64_t(sizeof(T))) {
        const T* q = reinterpret_cast<const T*>(p);
        for (int k = 0; k < count; ++k) { T v; std::memcpy(&v, q + k, sizeof v); out[k] = (double(v) - center) * scale; }
    } else {
        for (int k = 0; k < count; ++k, p += stride) { T v; std::memcpy(&v, p, sizeof v); out[k] = (double(v) - center) * scale; }
    }
}

template <class T> inline void look_up(const Column& c, int64_t first, int count, double* out) {
    const char* p = c.data + first * c.stride;
    for (int k = 0; k < count; ++k, p += c.stride) { T v; std::memcpy(&v, p, sizeof v); out[k] = (c.table[v] - c.center) * c.scale; }
}

inline void gather_column(const Column& c, int64_t first, int count, double* out) {
    if (c.table) switch (c.type) {
        case I8: return look_up<int8_t>(c, first, count, out);
        case I16: return look_up<int16_t>(c, first, count, out);
        case I32: return look_up<int32_t>(c, first, count, out);
        case I64: return look_up<int64_t>(c, first, count, out);
        case U8: return look_up<uint8_t>(c, first, count, out);
        case U16: return look_up<uint16_t>(c, first, count, out);
        default: return look_up<uint32_t>(c, first, count, out);
    }
    switch (c.type) {
        case F64: return gather<double>(c.data, c.stride, first, count, c.center, c.scale, out);
        case F32: return gather<float>(c.data, c.stride, first, count, c.center, c.scale, out);
        case I8: return gather<int8_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case I16: return gather<int16_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case I32: return gather<int32_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case I64: return gather<int64_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case U8: case BOOL: return gather<uint8_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case U16: return gather<uint16_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case U32: return gather<uint32_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        case U64: return gather<uint64_t>(c.data, c.stride, first, count, c.center, c.scale, out);
        default: {
            double one = (1.0 - c.center) * c.scale;
            for (int k = 0; k < count; ++k) out[k] = one;
        }
    }
}

// A run is a stretch of neighbouring float columns of one row-major matrix: its rows are copied as they lie.
inline int run_length(const std::vector<Column>& columns, size_t first) {
    const Column& c = columns[first];
    int size = c.table ? 0 : c.type == F64 ? 8 : c.type == F32 ? 4 : 0;
    if (!size || c.stride == size) return 1;
    size_t end = first + 1;
    while (end < columns.size() && columns[end].type == c.type && columns[end].stride == c.stride &&
           columns[end].data == c.data + int64_t(end - first) * size) ++end;
    int64_t width = c.stride / size;
    return int64_t(end - first) <= (width > 0 ? width : 0) ? int(end - first) : 1;
}

ETAMU_INLINE V load_row(const char* p, double) { V v; std::memcpy(&v, p, sizeof v); return v; }
ETAMU_INLINE V load_row(const char* p, float) { H h; std::memcpy(&h, p, sizeof h); return wide(h); }

// Neighbouring columns of a row-major matrix into one panel: S registers, of which the last may overlap the one before.  Their
// share of eta, x times `beta` (zero in lanes that come twice), is added to the register of each row in `eta` on the way (or begins it).
template <class T, int S>
inline void copy_rows(const char* from, int64_t stride, const double* center, const double* scale, int count, double* to, int tail, const double* beta, V* eta, bool first) {
    V c[S], d[S], b[S];
    int at[S];
    for (int s = 0; s < S; ++s) {
        at[s] = s == S - 1 ? tail : s * L;
        c[s] = load(center + at[s]);
        d[s] = load(scale + at[s]);
        b[s] = load(beta + s * L);
    }
    for (int k = 0; k < count; ++k, from += stride, to += W) {
        V e = first ? V{} : eta[k];
        for (int s = 0; s < S; ++s) {
            V x = (load_row(from + at[s] * int64_t(sizeof(T)), T()) - c[s]) * d[s];
            store(to + at[s], x);
            e += x * b[s];
        }
        eta[k] = e;
    }
}

template <class T>
inline void copy_rows(const char* from, int64_t stride, int width, const double* center, const double* scale, int count, double* to, const double* beta, V* eta, bool first) {
    switch ((width + L - 1) / L) {
        case 1: return copy_rows<T, 1>(from, stride, center, scale, count, to, width - L, beta, eta, first);
        case 2: return copy_rows<T, 2>(from, stride, center, scale, count, to, width - L, beta, eta, first);
        case 3: return copy_rows<T, 3>(from, stride, center, scale, count, to, width - L, beta, eta, first);
    }
}

// Up to L columns that lie each on its own: read one by one into `turn`, then turned; x times `beta` is added to eta.  The
// `last` of a panel may fill its register with zeros; without `to` nothing but eta is asked for.
inline void pack_turned(const Column* c, int width, bool last, int64_t first, int count, int rows, double* turn, double* to, const double* beta, double* eta) {
    for (int j = 0; j < width; ++j) {
        gather_column(c[j], first, count, turn + j * int64_t(rows));
        std::fill(turn + j * int64_t(rows) + count, turn + (j + 1) * int64_t(rows), 0.0);
    }
    if (to && width < L && !last) {
        for (int j = 0; j < width; ++j)
            for (int k = 0; k < count; ++k) {
                to[int64_t(k) * W + j] = turn[j * int64_t(rows) + k];
                eta[k] += beta[j] * turn[j * int64_t(rows) + k];
            }
        return;
    }
    V b[L];
    for (int s = 0; s < L; ++s) b[s] = s < width ? all(beta[s]) : V{};
    for (int k = 0; k < count; k += L) {
        V v[L];
        V e = load(eta + k);
        for (int s = 0; s < L; ++s) {
            v[s] = s < width ? load(turn + s * int64_t(rows) + k) : V{};
            e += v[s] * b[s];
        }
        store(eta + k, e);
        if (!to) continue;
        transpose(v);
        for (int s = 0; s < L; ++s) store(to + int64_t(k + s) * W, v[s]);
    }
}

// The memory of the next block, asked for little by little while this block computes, so that the two overlap.
class Ahead {
  public:
    // `halves`: 2 when the information will take a half of it, else 1
    void aim(const Problem& problem, int64_t first, int64_t count, int halves) {
        this->halves = halves;
        regions.clear();
        region = 0;
        lines = 0;
        count = std::min(count, problem.rows - first);
        if (count <= 0) return;
        const auto& columns = problem.columns;
        for (size_t j = 0; j < columns.size();) {
            const Column& c = columns[j];
            int width = run_length(columns, j);
            if (c.data && c.stride > 0) {
                int64_t bytes = (count - 1) * c.stride + (width > 1 ? width : 1) * 8;
                if (width > 1 || c.stride <= 8) {
                    regions.push_back({c.data + first * c.stride, c.data + first * c.stride + bytes});
                    lines += bytes / 64 + 1;
                }
            }
            j += width;
        }
        for (const Column& c : problem.extra) {
            if (!c.data || c.stride <= 0 || c.stride > 8) continue;
            regions.push_back({c.data + first * c.stride, c.data + first * c.stride + (count - 1) * c.stride + 8});
            lines += count * c.stride / 64 + 1;
        }
    }
    // ask for a 1/parts share of the block
    inline __attribute__((always_inline)) void step(int64_t parts) {
        int64_t left = lines / parts + 1;
        while (left > 0 && region < regions.size()) {
            auto& [at, end] = regions[region];
            for (; left > 0 && at < end; at += 64, --left) __builtin_prefetch(at, 0, 2);
            if (at >= end) ++region;
        }
    }

  private:
    std::vector<std::pair<const char*, const char*>> regions;
    size_t region = 0;
    int64_t lines = 0;

  public:
    int halves = 1;
};

// How the columns from `begin` on come into the panels: runs as they lie, other columns a few at a time.
class Packing {
  public:
    // beta: the coefficients that eta is formed with on the way, in the order of the panels, or null; `kept`: whether more than eta is asked
    // for, without which columns that lie each on its own do not come into the panels
    Packing(const Problem& problem, int begin, const Panels<double>& like, const double* beta, bool kept) : columns(problem.columns), beta(beta ? beta : zeros(like)), kept(kept) {
        for (int g = 0; g < like.count(); ++g)
            for (int at = 0, n; at < like.used(g); at += n) {
                const int j = begin + like.start(g) + at, room = like.used(g) - at;
                n = std::min(run_length(columns, j), room);
                if (n >= L) {
                    runs.push_back({j, n, g, at});
                } else {
                    for (n = 1; n < std::min(L, room) && run_length(columns, j + n) < L; ++n) {}
                    singles.push_back({j, n, g, at});
                }
            }
        for (const Column& c : columns) { center.push_back(c.center); scale.push_back(c.scale); }
        run_beta.resize(runs.size() * W, 0.0);
        for (size_t i = 0; i < runs.size(); ++i) {
            const int width = runs[i].width, tail = width - L, registers = (width + L - 1) / L;
            const double* from = this->beta + like.start(runs[i].panel) + runs[i].at;
            for (int j = 0; j < width; ++j) {  // whole registers first; the last one's lanes begin at `tail`
                const int s = std::min(j / L, registers - 1), lane = s == registers - 1 ? j - tail : j % L;
                run_beta[i * W + size_t(s * L + lane)] = from[j];
            }
        }
    }

    // Rows [first, first + count); rows past `count` become zero.  `ready(k)` is told when the 2 L rows from k on are
    // complete, while they are still in the first-level cache.  turn: room for L columns.
    template <class Ready> void read(int64_t first, int count, const Panels<double>& out, double* turn, double* eta, Ready ready) const {
        if (count < out.rows && kept)
            for (int g = 0; g < out.count(); ++g) std::fill(out.panel(g) + int64_t(count) * W, out.panel(g) + int64_t(out.rows) * W, 0.0);
        for (const Piece& p : singles)
            pack_turned(&columns[p.column], p.width, p.at % L == 0 && p.at + p.width == out.used(p.panel), first, count, out.rows, turn,
                        kept ? out.panel(p.panel) + p.at : nullptr, beta + out.start(p.panel) + p.at, eta);
        for (int k = 0; k < out.rows; k += 2 * L) {
            V sums[2 * L];
            for (size_t i = 0; i < runs.size(); ++i) {
                const Piece& p = runs[i];
                const Column& c = columns[p.column];
                const char* from = c.data + (first + k) * c.stride;
                double* to = out.panel(p.panel) + int64_t(k) * W + p.at;
                const int rows = std::min(2 * L, count - k);
                if (c.type == F64) copy_rows<double>(from, c.stride, p.width, &center[p.column], &scale[p.column], rows, to, &run_beta[i * W], sums, i == 0);
                else copy_rows<float>(from, c.stride, p.width, &center[p.column], &scale[p.column], rows, to, &run_beta[i * W], sums, i == 0);
            }
            for (int r = std::max(0, count - k); r < 2 * L; ++r) sums[r] = V{};
            if (!runs.empty())
                for (int half = 0; half < 2 * L; half += L) store(eta + k + half, load(eta + k + half) + sum_each(sums + half));
            ready(k);
        }
    }

  private:
    struct Piece { int column, width, panel, at; };
    const std::vector<Column>& columns;
    const double* zeros(const Panels<double>& like) {
        none.assign(size_t(like.columns + 2 * W), 0.0);
        return none.data();
    }
    std::vector<double> none;
    const double* beta;
    const bool kept;
    std::vector<Piece> runs, singles;
    std::vector<double> center, scale, run_beta;
};

}  // namespace
