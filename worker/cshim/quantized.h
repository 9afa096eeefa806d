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

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <array>
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

// The code book of NF4: the values of the sixteen codes, as bitsandbytes rounds them. With z(p) the quantile of the
// standard normal distribution, and all divided by z(0.9677083): z(p) for eight p in equal steps from 0.9677083 down to
// 0.5, the last left out; 0; and -z(p) for seven such p. So weights that are normally distributed meet each code about
// equally often.
inline constexpr std::array<float, 16> kNf4 = {
    -1.0F,
    -0.6961928009986877F,
    -0.5250730514526367F,
    -0.39491748809814453F,
    -0.28444138169288635F,
    -0.18477343022823334F,
    -0.09105003625154495F,
    0.0F,
    0.07958029955625534F,
    0.16093020141124725F,
    0.24611230194568634F,
    0.33791524171829224F,
    0.44070982933044434F,
    0.5626170039176941F,
    0.7229568362236023F,
    1.0F,
};
