// Parallel regions of the very OpenMP that libtorch uses.
//
// The math library computes other bits for one thread on its own than for one of a region (measured:
// MKL, sums of some hundred products and more), and only inside a region of its own OpenMP does it
// know that it must not share the work once more. This program is compiled without OpenMP, so that
// no second one is loaded beside it: at::parallel_for of a header would run on one thread here.
#pragma once

#include <cstdint>
#include <functional>

// How many threads compute. libtorch itself is left one: how it shares an operation shows in the bits.
void set_threads(int64_t threads);
int64_t threads();

// Calls `body` on all threads at once, each time as one of a region.
void on_threads(const std::function<void()>& body);

// Cuts [0, count) into blocks of one length, whatever the number of threads, and calls `body` with
// the ends of each, as one of a region.
void share(int64_t count, int64_t block, const std::function<void(int64_t, int64_t)>& body);

// `share` without an autograd graph.
void in_blocks(int64_t count, int64_t block, const std::function<void(int64_t, int64_t)>& body);

// How many rows of so many elements each a block has: some 131,072 elements, one row at least.
int64_t rows_in_block(int64_t elements);
