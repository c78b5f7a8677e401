// Threads that wait for passes: Python's own would take the interpreter's lock for every stretch of rows, and the scheduler
// likes to wake them on the processor that wakes them, where they get half of it.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace etamu {

class Team {
  public:
    // The team of this process; after a fork the child has one of its own.
    static Team& here() {
        static std::mutex making;
        static Team* team = nullptr;  // never deleted: its threads may outlive everything else
        static long owner = 0;
#if defined(_WIN32)
        const long process = 1;
#else
        const long process = long(getpid());
#endif
        std::lock_guard<std::mutex> lock(making);
        if (owner != process) team = new Team, owner = process;
        return *team;
    }

    // Calls `work`, which takes its share from a common store until that is empty, on up to `threads` threads, this one among
    // them; on this one alone while the team works for somebody else.
    void run(int threads, const std::function<void()>& work) {
        std::unique_lock<std::mutex> mine(busy, std::try_to_lock);
        static const int processors = int(std::thread::hardware_concurrency());
        threads = std::min(threads, processors);
        if (threads < 2 || !mine.owns_lock()) return work();
        try {
            while (int(workers.size()) < threads - 1) hire();
        } catch (const std::system_error&) {  // the system gives no more threads: fewer do the same work
            threads = int(workers.size()) + 1;
        }
        spread();
        {
            std::lock_guard<std::mutex> lock(m);
            job = &work;
            wanted = threads - 1;
            ++round;
        }
        wake.notify_all();
        struct Finish {  // however this thread's share ends, nobody works on when the job is gone
            Team& team;
            ~Finish() {
                {
                    std::lock_guard<std::mutex> lock(team.m);
                    team.wanted = 0;  // who has not come yet is not needed any more
                }
                linger(FINISH, [this] { return team.working.load() == 0; });
                std::unique_lock<std::mutex> lock(team.m);
                team.done.wait(lock, [this] { return team.working == 0; });
            }
        } finish{*this};
        work();
    }

  private:
    std::mutex busy, m;
    std::condition_variable wake, done;
    std::vector<std::thread> workers;
    const std::function<void()>* job = nullptr;
    std::atomic<long> round{0};
    std::atomic<int> working{0};
    int wanted = 0;

    // To be woken takes as long as much of this work: how long it is worth waiting awake for the next, and for the others to end
    static constexpr std::chrono::microseconds NEXT{200}, FINISH{50};

    template <class Ready> static void linger(std::chrono::microseconds most, Ready ready) {
        const auto end = std::chrono::steady_clock::now() + most;
        do
            for (int spin = 0; spin < 32; ++spin) {
                if (ready()) return;
                pause();
            }
        while (std::chrono::steady_clock::now() < end);
    }

    void hire() {
        workers.emplace_back([this] { wait_for_work(); });
    }

    void wait_for_work() {
        for (long seen = 0;;) {
            linger(NEXT, [&] { return round.load(std::memory_order_relaxed) != seen; });
            std::unique_lock<std::mutex> lock(m);
            wake.wait(lock, [&] { return round.load() != seen; });
            seen = round.load();
            if (wanted == 0) continue;
            --wanted;
            ++working;
            const std::function<void()>& work = *job;
            lock.unlock();
            work();
            lock.lock();
            if (--working == 0) done.notify_one();
        }
    }

    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#endif
    }

#if defined(__linux__)
    cpu_set_t placed;
    size_t placed_workers = 0;

    // The workers keep off the processor this thread is on, and each has its own where there are just enough.
    void spread() {
        cpu_set_t others;
        const int here = sched_getcpu();
        if (here < 0 || sched_getaffinity(0, sizeof others, &others)) return;
        CPU_CLR(here, &others);
        const int count = CPU_COUNT(&others);
        if (!count || (placed_workers == workers.size() && CPU_EQUAL(&others, &placed))) return;
        int cpu = -1;
        for (std::thread& worker : workers) {
            cpu_set_t own = others;
            if (int(workers.size()) == count) {
                do ++cpu; while (!CPU_ISSET(cpu, &others));
                CPU_ZERO(&own);
                CPU_SET(cpu, &own);
            }
            pthread_setaffinity_np(worker.native_handle(), sizeof own, &own);
        }
        placed = others;
        placed_workers = workers.size();
    }
#else
    void spread() {}
#endif
};

// Calls work(first, last) for stretches of [0, count), by up to `threads` threads
template <class Work> void shared_out(int64_t count, int64_t stretch, int threads, Work work) {
    std::atomic<int64_t> ticket{0};
    Team::here().run(threads, [&] {
        for (int64_t first; (first = stretch * ticket++) < count;) work(first, std::min(first + stretch, count));
    });
}

}  // namespace etamu
