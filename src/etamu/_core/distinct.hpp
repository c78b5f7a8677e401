// Which rows of some columns are alike: hashing, with every match confirmed value by value.  No statistics and no SIMD here.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

namespace etamu {

struct Key {
    const char* data;
    int64_t stride;  // bytes
    int size;        // bytes of a value: 1, 2, 4 or 8
    uint64_t at(int64_t row) const {
        const char* p = data + row * stride;
        switch (size) {
            case 1: { uint8_t v; std::memcpy(&v, p, 1); return v; }
            case 2: { uint16_t v; std::memcpy(&v, p, 2); return v; }
            case 4: { uint32_t v; std::memcpy(&v, p, 4); return v; }
            default: { uint64_t v; std::memcpy(&v, p, 8); return v; }
        }
    }
};

// Numbers the distinct rows in the order of their first appearance: id[row], and first[id] the row where each appears.
// Returns how many there are, or -1 when more than `most`.
inline int64_t distinct_rows(const std::vector<Key>& keys, const int64_t* rows, int64_t count, int64_t most, int32_t* id, int64_t* first) {
    constexpr int64_t BLOCK = 1024;
    int64_t capacity = 1024, found = 0;
    std::vector<int32_t> table(capacity, -1);
    std::vector<uint64_t> hashes;  // of the distinct rows, for a larger table
    uint64_t hash[BLOCK];
    auto row_of = [&](int64_t k) { return rows ? rows[k] : k; };
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        const int64_t n = count - begin < BLOCK ? count - begin : BLOCK;
        for (int64_t k = 0; k < n; ++k) hash[k] = 0x9e3779b97f4a7c15ULL;
        for (const Key& key : keys)
            for (int64_t k = 0; k < n; ++k) {
                uint64_t h = (hash[k] ^ key.at(row_of(begin + k))) * 0xff51afd7ed558ccdULL;
                hash[k] = h ^ (h >> 32);
            }
        for (int64_t k = 0; k < n; ++k) {
            const int64_t row = row_of(begin + k);
            for (uint64_t slot = hash[k];; ++slot) {
                int32_t& entry = table[slot & (capacity - 1)];
                if (entry < 0) {
                    if (found >= most) return -1;
                    entry = int32_t(found);
                    first[found] = row;
                    hashes.push_back(hash[k]);
                    id[begin + k] = int32_t(found++);
                    break;
                }
                bool same = hashes[entry] == hash[k];
                for (size_t j = 0; same && j < keys.size(); ++j) same = keys[j].at(first[entry]) == keys[j].at(row);
                if (same) { id[begin + k] = entry; break; }
            }
            if (found * 2 > capacity) {
                capacity *= 4;
                table.assign(capacity, -1);
                for (int64_t e = 0; e < found; ++e) {
                    uint64_t slot = hashes[e];
                    while (table[slot & (capacity - 1)] >= 0) ++slot;
                    table[slot & (capacity - 1)] = int32_t(e);
                }
            }
        }
    }
    return found;
}

}  // namespace etamu
