// Aligned memory for columns.  A large piece that is not needed any more is kept for the next that asks for as much, since fresh pages take
// as long to clear as columns take to be read; the system may take its pages back whenever it wants them.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace etamu {

class Pieces {
  public:
    static Pieces& here() {
        static Pieces* pieces = new Pieces;  // never deleted: columns may outlive everything else
        return *pieces;
    }

    void* take(size_t bytes) {
        if (bytes >= LARGE) {
            std::unique_lock<std::mutex> lock(m, std::try_to_lock);
            for (size_t i = 0; lock.owns_lock() && i < spare.size(); ++i)
                if (spare[i].bytes >= bytes && spare[i].bytes / 2 <= bytes) {
                    void* data = spare[i].data;
                    lent.push_back(spare[i]);
                    spare.erase(spare.begin() + long(i));
                    return data;
                }
        }
        void* data = fresh(bytes);
        if (bytes >= LARGE) {
            std::lock_guard<std::mutex> lock(m);
            lent.push_back({data, whole(bytes)});
        }
        return data;
    }

    void give(void* data) {
        std::lock_guard<std::mutex> lock(m);
        for (size_t i = 0; i < lent.size(); ++i) {
            if (lent[i].data != data) continue;
            const Piece piece = lent[i];
            lent.erase(lent.begin() + long(i));
#if defined(__linux__) && defined(MADV_FREE)
            if (!madvise(piece.data, piece.bytes, MADV_FREE)) {
                spare.push_back(piece);
                if (spare.size() <= MOST) return;
                data = spare.front().data;  // the one that nobody has asked for the longest
                spare.erase(spare.begin());
            }
#endif
            break;
        }
        std::free(data);
    }

  private:
    struct Piece {
        void* data;
        size_t bytes;
    };
    static constexpr size_t PAGE = size_t(1) << 21, LARGE = 2 * PAGE, MOST = 4;
    std::mutex m;
    std::vector<Piece> lent, spare;

    static size_t whole(size_t bytes) { return bytes >= LARGE ? (bytes + PAGE - 1) / PAGE * PAGE : (bytes + 63) / 64 * 64; }

    static void* fresh(size_t bytes) {
        const size_t size = whole(bytes);
        void* data = std::aligned_alloc(size >= LARGE ? PAGE : 64, size);
        if (!data) throw std::bad_alloc();
#if defined(__linux__)
        if (size >= LARGE) madvise(data, size, MADV_HUGEPAGE);  // many columns at once are more pages than the processor keeps in mind
#endif
        return data;
    }
};

// Numbers of type T, the first on a cache line
template <class T> struct Aligned {
    struct Return {
        void operator()(T* data) const { Pieces::here().give(data); }
    };
    std::unique_ptr<T, Return> data;
    void reserve(size_t count) { data.reset(static_cast<T*>(Pieces::here().take(count * sizeof(T) + 64))); }
    T* get() const { return data.get(); }
};

}  // namespace etamu
