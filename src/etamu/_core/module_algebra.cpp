// Matrices: factors, what solves with them, and borders.
#include "arrow.hpp"
#include "module.hpp"

namespace etamu {

void add_algebra(nb::module_& m) {
    m.def("factor", [](Array information, Array scale, Array triangle) {
        int p = int(scale.size());
        if (information.size() != size_t(p) * p || triangle.size() != size_t(p) * p) throw std::invalid_argument("factor: sizes differ");
        const double* in = information.data();
        double *s = scale.data(), *t = triangle.data();
        nb::gil_scoped_release release;
        return active->factor(in, p, p, s, t);
    });
    m.def("solve", [](Array triangle, Array scale, double weight, Array x) {
        if (triangle.size() != scale.size() * scale.size() || x.size() != scale.size()) throw std::invalid_argument("solve: sizes differ");
        active->solve(triangle.data(), scale.data(), int(scale.size()), weight, x.data());
    });
    m.def("quadratic", [](Array triangle, Array scale, Array x) {
        if (triangle.size() != scale.size() * scale.size() || x.size() != scale.size()) throw std::invalid_argument("quadratic: sizes differ");
        std::vector<double> used(x.data(), x.data() + x.size());
        return active->quadratic(triangle.data(), scale.data(), int(scale.size()), used.data());
    });
    m.def("inverse", [](Array triangle, Array scale, Array work, Array out) {
        size_t p = scale.size();
        if (triangle.size() != p * p || work.size() != p * p || out.size() != p * p) throw std::invalid_argument("inverse: sizes differ");
        const double *t = triangle.data(), *s = scale.data();
        double *w = work.data(), *o = out.data();
        nb::gil_scoped_release release;
        active->inverse(t, s, int(p), w, o);
    });
    m.def("eliminate", [](Matrix border, Array head, int threads, Array out) {
        const size_t rows = border.shape(0), columns = border.shape(1);
        if (head.size() != rows || out.size() != columns * columns) throw std::invalid_argument("eliminate: sizes differ");
        const double *b = border.data(), *h = head.data();
        double* o = out.data();
        nb::gil_scoped_release release;
        eliminate(b, h, int64_t(rows), int64_t(columns), threads, o);
    }, "border"_a, "head"_a, "threads"_a, "out"_a.noconvert());
    m.def("quadratic_forms", [](Matrix border, Array symmetric, int threads, Array out) {
        const size_t rows = border.shape(0), columns = border.shape(1);
        if (out.size() != rows || symmetric.size() != columns * columns) throw std::invalid_argument("quadratic_forms: sizes differ");
        const double *b = border.data(), *s = symmetric.data();
        double* o = out.data();
        nb::gil_scoped_release release;
        quadratic_forms(b, s, int64_t(rows), int64_t(columns), threads, o);
    });
    m.def("symmetric", [](Array padded, Array out) {
        size_t p = padded.shape(0), ld = padded.shape(1);
        if (out.size() != p * p || ld < p) throw std::invalid_argument("symmetric: sizes differ");
        const double* in = padded.data();
        double* o = out.data();
        for (size_t i = 0; i < p; ++i)
            for (size_t j = i; j < p; ++j) o[i * p + j] = o[j * p + i] = in[i * ld + j];
    });
}

}  // namespace etamu
