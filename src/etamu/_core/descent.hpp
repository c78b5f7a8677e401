// What is known while one quadratic model with a penalty is descended on:
//
//     1/2 (x - b)'H(x - b) + q'(x - b) + sum_j l1 |x_j| + l2/2 x_j^2 + sum_g w_g |x_g|,  within bounds.
#pragma once
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>
#include "core.hpp"
#include "inverse.hpp"
#include "linalg.hpp"
#include "vec.hpp"

namespace {
using namespace etamu;

constexpr double NOTHING = 3e-2;  // share of the tolerance below which a move or a slope is none
constexpr double CLOSE = 1e-5;    // share of a coordinate's own length below which the inverse loses too many digits
constexpr int TURNS = 8;          // times that coordinates are sent back to 0

template <class T> struct Descent {  // over a matrix of T: half the size is read in half the time
    const Quadratic& f;
    const T* const h;
    const int m;
    double *b, *q;
    std::vector<char> alone;        // coordinates outside groups
    std::vector<double> curvature;  // of each group: a bound on the largest eigenvalue of its block
    Inverse& kept;
    Inverted<T> inverse;

    Descent(const Quadratic& f, Inverse& kept)
        : f(f), h(static_cast<const T*>(f.h)), m(f.size), b(f.b), q(f.q), alone(size_t(f.size), 1), kept(kept), inverse{kept, h, f.ld, f.l2, f.made, f.crew} {
        const bool fewer = kept.place.size() > size_t(m);  // others than those it knows, whatever they call themselves
        if (kept.version != f.version || fewer) inverse.clear(m), kept.version = f.version, kept.close = false;
        kept.place.resize(size_t(m), -1);
        kept.ridge.resize(size_t(m), 0.0);
        if (f.groups) bound_groups();
    }

    // ---- sweeps (sweeps.hpp)
    bool entered = false;  // whether a sweep has moved a coordinate away from 0
    int waiting = 0;       // moves that the gradient does not know of yet
    const T* rows[4] = {};
    double moves[4] = {};

    void moved(int j, double by);
    void settle();
    double slope(int j) const;
    double along(int j);
    double flat(int j);
    double sweep(bool all);
    double sweep_missing();

    // ---- Newton's step over the support (newton.hpp)
    std::vector<int> support, missing, gone;  // what the inverse lacks of the support, and has beyond it
    std::vector<char> inside;
    std::vector<double> move, image;   // of the step: how far each coordinate goes, and H times that
    std::vector<std::pair<int, double>> ends;  // coordinates that stop on the way, and where: to the last bit
    std::vector<double> step, found, sums, matrix, triangle, scale;

    void find_support();
    void compare();
    int patience();
    double steep(int j) const;
    void add_image(const int* at, const double* x, int count, double* to);
    void add_rows_of(const int* at, const double* x, int count, double* to) const;
    bool too_close() const { return !f.single && kept.least < CLOSE; }  // of floats those who asked for the step find out
    bool prepared();
    bool factored(const std::vector<int>& over);
    bool without(const std::vector<int>& stops);
    void precondition();
    double factor_of(const std::vector<int>& at);
    double slopes();
    bool solve();
    void renew();
    bool stopped(int j, double* at) const;
    bool newton();
    bool newton_by_turns();
    bool descends() const;
    void go();
    bool cut_short(const std::vector<double>& by, const std::vector<double>& image_of);

    // ---- the same where the inverse is that of this very matrix (at_rest.hpp)
    bool resting = false;             // whether the inverse's coordinates were where the model is least, and only others have moved since
    std::vector<double> b_at_rest;
    typename Inverted<T>::Batch batch;

    bool current() const;
    bool only_missing_moved() const;
    bool newton_at_once();
    bool let_in();
    bool let_go(const std::vector<int>& stops);
    void find_image();
    bool holds() const;
    bool cut_short(const std::vector<double>& by);

    // ---- groups (grouped.hpp)
    void bound_groups();
    double along_group(int g);
    bool idle(int g) const;
    double length_of(int g, const double* x) const;
    void add_groups(std::vector<double>& own, int s);
    bool newton_grouped();
    double reaches() const;
    bool grouped_descends(double t) const;
};

}  // namespace
