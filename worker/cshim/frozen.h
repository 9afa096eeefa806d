// Frozen weights as they come through the C interface, and as an autograd node keeps them.
#pragma once

#include "quantized.h"

#include <torch/csrc/autograd/custom_function.h>

inline const FrozenPointer& frozen(const void* weight) {
  return *static_cast<const FrozenPointer*>(weight);
}

// The weight that a forward pass was made with, dense once more.
inline at::Tensor frozen_in(torch::autograd::AutogradContext* ctx) {
  const auto capsule = ctx->saved_data["weight"].toCapsule();
  return static_cast<const FrozenWeight&>(*capsule).dense();
}
