// Matrix products whose bits do not depend on the number of threads.
//
// A math library that shares one product among threads may cut the inner sum, and where it does so
// depends on how many threads there are (measured: MKL does it for small results, and even its strict
// mode for some shapes). So the result is cut here, into blocks whose size depends on the shape
// alone, and every block is computed by one thread: each element has one order of summation.
#pragma once

#include <ATen/ATen.h>

// left [M, K] times right [K, N].
at::Tensor product(const at::Tensor& left, const at::Tensor& right);

// output [M, N] += scale * left [M, K] times right [K, N].
void add_product(at::Tensor& output, const at::Tensor& left, const at::Tensor& right,
                 double scale);

// The value in another type; rows are shared by the threads.
at::Tensor as_type(const at::Tensor& value, at::ScalarType type);

// value * keep * scale of a [B, I] value, rows shared likewise.
at::Tensor dropped(const at::Tensor& value, const at::Tensor& keep, double scale);

// The instructions that multiply bf16 on this CPU, "amx_bf16" or "avx512_bf16"; "" where it has none.
const char* bf16_instructions();
