// Bring one block of rows of the design into column-major doubles, centred and scaled, from wherever the columns lie.
#pragma once
#include <algorithm>
#include <utility>
#include "core.hpp"
#include "gram.hpp"

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

inline void gather_column(const Column& c, int64_t first, int count, double* out) {
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
        case LEVEL: {
            double off = (0.0 - c.center) * c.scale, on = (1.0 - c.center) * c.scale;
            const char* p = c.data + first * c.stride;
            for (int k = 0; k < count; ++k, p += c.stride) { int32_t v; std::memcpy(&v, p, sizeof v); out[k] = v == c.level ? on : off; }
            return;
        }
        default: {
            double one = (1.0 - c.center) * c.scale;
            for (int k = 0; k < count; ++k) out[k] = one;
        }
    }
}

// A run is a stretch of neighbouring float columns of one row-major matrix: read by rows, transposed in registers.
inline int run_length(const std::vector<Column>& columns, size_t first) {
    const Column& c = columns[first];
    int size = c.type == F64 ? 8 : c.type == F32 ? 4 : 0;
    if (!size || c.stride == size) return 1;
    size_t end = first + 1;
    while (end < columns.size() && columns[end].type == c.type && columns[end].stride == c.stride &&
           columns[end].data == c.data + int64_t(end - first) * size) ++end;
    int64_t width = c.stride / size;
    return int64_t(end - first) <= (width > 0 ? width : 0) ? int(end - first) : 1;
}

ETAMU_INLINE V load_row(const char* p, double) { V v; std::memcpy(&v, p, sizeof v); return v; }
ETAMU_INLINE V load_row(const char* p, float) { H h; std::memcpy(&h, p, sizeof h); return __builtin_convertvector(h, V); }

// L rows of L numbers each, turned: v[s] becomes number s of each row
template <class T> ETAMU_INLINE void load_turned(const char* p, int64_t stride, V* v) {
#if ETAMU_BYTES == 64 && (defined(__clang__) || __GNUC__ >= 12)
    if constexpr (sizeof(T) == 8) {  // loading halves does the first exchange on the load ports
        typedef double Half __attribute__((vector_size(32)));
        for (int s = 0; s < 4; ++s)
            for (int side = 0; side < 2; ++side) {
                Half a, b;
                std::memcpy(&a, p + s * stride + 32 * side, sizeof a);
                std::memcpy(&b, p + (s + 4) * stride + 32 * side, sizeof b);
                v[s + 4 * side] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
            }
        transpose_within<2>(v);
        return;
    }
#endif
    for (int s = 0; s < L; ++s) v[s] = load_row(p + s * stride, T());
    transpose(v);
}

template <class T>
inline void pack_run(const Column* c, int width, int64_t first, int count, int rows, int64_t all_rows, double* out) {
    const char* base = c[0].data + first * c[0].stride;
    int whole = count / L * L;
    if (width < L) {  // lanes past the run's end read into the next row, which the last rows do not have
        const char* end = c[0].data + (all_rows - 1) * c[0].stride + width * int64_t(sizeof(T));
        while (whole > 0 && base + (whole - 1) * c[0].stride + L * int64_t(sizeof(T)) > end) whole -= L;
        if (c[0].stride < 0) whole = 0;
    }
    for (int j = 0; j < width; j += L) {
        if (j + L > width && width >= L) j = width - L;
        int group = width - j < L ? width - j : L;
        V center[L], scale[L];
        for (int s = 0; s < group; ++s) { center[s] = all(c[j + s].center); scale[s] = all(c[j + s].scale); }
        for (int k = 0; k < whole; k += L) {
            V v[L];
            load_turned<T>(base + k * c[0].stride + j * int64_t(sizeof(T)), c[0].stride, v);
            for (int s = 0; s < group; ++s) store(out + (j + s) * int64_t(rows) + k, (v[s] - center[s]) * scale[s]);
        }
    }
    for (int j = 0; j < width; ++j)
        gather<T>(c[j].data, c[j].stride, first + whole, count - whole, c[j].center, c[j].scale, out + j * int64_t(rows) + whole);
}

// The memory of the next block, asked for little by little while this block computes, so that the two overlap.
class Ahead {
  public:
    void aim(const Problem& problem, int64_t first, int64_t count) {
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
};

// out: columns side by side, each `rows` long (a multiple of the register), rows past `count` are zero
inline void pack(const Problem& problem, int64_t first, int count, int rows, double* out) {
    const auto& columns = problem.columns;
    for (size_t j = 0; j < columns.size();) {
        int width = run_length(columns, j);
        double* to = out + j * int64_t(rows);
        if (width == 1) gather_column(columns[j], first, count, to);
        else if (columns[j].type == F64) pack_run<double>(&columns[j], width, first, count, rows, problem.rows, to);
        else pack_run<float>(&columns[j], width, first, count, rows, problem.rows, to);
        j += width;
    }
    if (count < rows)
        for (size_t j = 0; j < columns.size(); ++j)
            for (int k = count; k < rows; ++k) out[j * int64_t(rows) + k] = 0;
}

}  // namespace
