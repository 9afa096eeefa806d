// Frozen weights that lie in memory as they are, in four bits or in eight, and the arithmetic between.
//
// A quantized weight is made dense for one product and forgotten: forward and backward each do it anew, nothing dense
// is kept in the graph. Codes, scales and values are bitsandbytes', bit for bit. The value of element e, in row order,
// with i its row, block 64 and nested block 256 unless a file says otherwise:
//
//   Nf4   kNf4[code_e] * scale[e / block], scale f32 or nested_map[code8] * nested_scale[block / nested block] + offset
//   Int8  code_e * scale[i] / 127
#pragma once

#include "halves.h"
#include "nf4.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <cstdint>

// O output features, I input features; blocks run over the elements in row order.
struct FrozenWeight : public torch::CustomClassHolder {
  enum class Form { Dense, Nf4, Int8 };
  Form form = Form::Dense;
  int64_t rows = 0;
  int64_t columns = 0;
  // Dense: the weight [O, I]. Nf4: two codes to a byte, the earlier one in the high half. Int8: codes
  // [O, I].
  at::Tensor values{};
  // Nf4: the largest magnitude of each block in f32, or in u8 where it is quantized too. Int8: that of
  // each row.
  at::Tensor scales{};
  int64_t block = 0;
  // Nf4 where scales are u8: the scales of the scales, the values of their codes, how many scales share one, and the
  // mean that was taken off all of them.
  at::Tensor nested_scales{};
  at::Tensor nested_map{};
  int64_t nested_block = 0;
  float offset = 0.0F;
  // The type that the weight had before it was quantized; values are rounded to it first.
  at::ScalarType rounded = at::kFloat;
  // The type of compute.
  at::ScalarType compute = at::kFloat;

  // The weight [O, I] in the type of compute: by a kernel of this program, or by operators that every
  // device has.
  at::Tensor dense() const;
  at::Tensor by_operators() const;
};

using FrozenPointer = c10::intrusive_ptr<FrozenWeight>;
