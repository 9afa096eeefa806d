// Values of the three types of compute as f32, and rounded back: to the nearest, ties to even, as libtorch does.
//
// Plain arithmetic that the compiler lays out for the processor's vectors; the same bits on each. A NaN that arithmetic
// made, or that was bf16, stays one; in bf16 one with the highest payloads in f32 would not.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <cstring>

// Twice as wide vectors where the processor has them; the same operations, so the same bits.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float value_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// To the nearest bf16.
inline float bf16_of(float value) {
  const auto bits = bits_of(value);
  return value_of((bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U);
}

// Some values as f32.
void widen(const float* values, int64_t count, float* into);
void widen(const c10::BFloat16* values, int64_t count, float* into);
void widen(const c10::Half* values, int64_t count, float* into);

// Some values in their type of compute.
void narrow(const float* values, int64_t count, float* into);
void narrow(const float* values, int64_t count, c10::BFloat16* into);
void narrow(const float* values, int64_t count, c10::Half* into);

// Calls `body` with a pointer to the elements of a CPU tensor of one of the three types.
template <typename Body>
void with_type(const at::Tensor& tensor, Body body) {
  switch (tensor.scalar_type()) {
    case at::kFloat: return body(tensor.data_ptr<float>());
    case at::kBFloat16: return body(tensor.data_ptr<at::BFloat16>());
    case at::kHalf: return body(tensor.data_ptr<at::Half>());
    default: TORCH_CHECK(false, "no type of compute: ", tensor.scalar_type());
  }
}
