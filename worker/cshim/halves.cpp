#include "halves.h"

#include <algorithm>

void widen(const float* values, int64_t count, float* into) { std::copy(values, values + count, into); }

WIDE void widen(const c10::BFloat16* values, int64_t count, float* into) {
  const auto* bits = reinterpret_cast<const uint16_t*>(values);
  for (int64_t i = 0; i < count; ++i) into[i] = value_of(static_cast<uint32_t>(bits[i]) << 16);
}

void widen(const c10::Half* values, int64_t count, float* into) {
  for (int64_t i = 0; i < count; ++i) into[i] = static_cast<float>(values[i]);
}

void narrow(const float* values, int64_t count, float* into) { std::copy(values, values + count, into); }

WIDE void narrow(const float* values, int64_t count, c10::BFloat16* into) {
  auto* bits = reinterpret_cast<uint16_t*>(into);
  for (int64_t i = 0; i < count; ++i) bits[i] = static_cast<uint16_t>(bits_of(bf16_of(values[i])) >> 16);
}

void narrow(const float* values, int64_t count, c10::Half* into) {
  for (int64_t i = 0; i < count; ++i) into[i] = static_cast<c10::Half>(values[i]);
}
