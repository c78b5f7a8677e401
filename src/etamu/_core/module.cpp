// The Python face of the kernels: which of them this machine runs, and the parts that use them.
#include "module.hpp"

namespace etamu {

static const Kernels* choose(const std::string& name) {
#if defined(ETAMU_X86)
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (v4 && (name == "best" || name == "x86-64-v4")) return &kernels_v4();
    if (v3 && (name == "best" || name == "x86-64-v3")) return &kernels_v3();
#endif
    if (name == "best" || name == kernels_baseline().name) return &kernels_baseline();
    return nullptr;
}

const Kernels* active = choose("best");

}  // namespace etamu

using namespace etamu;

NB_MODULE(_native, m) {
    m.def("instruction_set", [] { return std::string(active->name); });
    m.def("lanes", [] { return active->lanes; });
    m.def("width", [](int columns) { return active->width(columns); });
    m.def("pairs", [](int equations) { return active->pairs(equations); });
    m.def("use", [](const std::string& name) {
        const Kernels* k = choose(name);
        if (!k) throw std::invalid_argument("this machine has no kernels named " + name);
        active = k;
    });
    m.def("peak", [](int arithmetic, int64_t loops) {
        double out;
        nb::gil_scoped_release release;
        active->peak(arithmetic, loops, &out);
        return double(loops) * 12 * 2 * active->lanes * (arithmetic == SINGLE ? 2 : 1) + 0 * out;
    });
    add_plans(m);
    add_columns(m);
    add_data(m);
    add_algebra(m);
    add_tables(m);
}
