// Rotary positions, some positions at a time by each thread.
//
// For each pair of elements l, r at half a head's distance: l' = l cos - r sin, r' = r cos + l sin. Nothing is kept but
// the tables: the backward pass turns by the negative angle. Each product and each sum is rounded to the type of
// compute, as libtorch's operators round them one by one.
#include "guarded.h"
#include "halves.h"
#include "region.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// How a position turns: halves of a head, [H] each.
struct Turn {
  std::vector<float> cos_left{};
  std::vector<float> cos_right{};
  std::vector<float> sin_left{};
  std::vector<float> sin_right{};
};

WIDE void turn_head(const float* from, const Turn& turn, int64_t half, float* into) {
  const auto* cos_left = turn.cos_left.data();
  const auto* cos_right = turn.cos_right.data();
  const auto* sin_left = turn.sin_left.data();
  const auto* sin_right = turn.sin_right.data();
  for (int64_t i = 0; i < half; ++i) {
    into[i] = from[i] * cos_left[i] - from[half + i] * sin_left[i];
    into[half + i] = from[half + i] * cos_right[i] + from[i] * sin_right[i];
  }
}

WIDE void turn_head(const at::BFloat16* from, const Turn& turn, int64_t half, at::BFloat16* into) {
  const auto* values = reinterpret_cast<const uint16_t*>(from);
  auto* found = reinterpret_cast<uint16_t*>(into);
  const auto* cos_left = turn.cos_left.data();
  const auto* cos_right = turn.cos_right.data();
  const auto* sin_left = turn.sin_left.data();
  const auto* sin_right = turn.sin_right.data();
  for (int64_t i = 0; i < half; ++i) {
    const float left = value_of(static_cast<uint32_t>(values[i]) << 16);
    const float right = value_of(static_cast<uint32_t>(values[half + i]) << 16);
    const float turned_left = bf16_of(left * cos_left[i]) - bf16_of(right * sin_left[i]);
    const float turned_right = bf16_of(right * cos_right[i]) + bf16_of(left * sin_right[i]);
    found[i] = static_cast<uint16_t>(bits_of(bf16_of(turned_left)) >> 16);
    found[half + i] = static_cast<uint16_t>(bits_of(bf16_of(turned_right)) >> 16);
  }
}

void turn_head(const at::Half* from, const Turn& turn, int64_t half, at::Half* into) {
  const auto product = [](float value, float factor) {
    return static_cast<float>(static_cast<at::Half>(value * factor));
  };
  for (int64_t i = 0; i < half; ++i) {
    const auto left = static_cast<float>(from[i]);
    const auto right = static_cast<float>(from[half + i]);
    const auto at = static_cast<size_t>(i);
    into[i] = static_cast<at::Half>(product(left, turn.cos_left[at]) - product(right, turn.sin_left[at]));
    into[half + i] = static_cast<at::Half>(product(right, turn.cos_right[at]) + product(left, turn.sin_right[at]));
  }
}

// Sets the turn of one position from its row of each table; `back` negates the angle.
template <typename Value>
void set(Turn& turn, const Value* cos, const Value* sin, int64_t half, bool back) {
  const auto part = [&](const Value* from, float sign, std::vector<float>& into) {
    into.resize(static_cast<size_t>(half));
    std::transform(from, from + half, into.begin(), [&](Value value) { return sign * static_cast<float>(value); });
  };
  part(cos, 1.0F, turn.cos_left);
  part(cos + half, 1.0F, turn.cos_right);
  part(back ? sin + half : sin, back ? -1.0F : 1.0F, turn.sin_left);
  part(back ? sin : sin + half, back ? -1.0F : 1.0F, turn.sin_right);
}

// B rows, T positions, N heads of D elements of which R are turned.
at::Tensor turned(const at::Tensor& given_BTND, const at::Tensor& cos_TR, const at::Tensor& sin_TR, bool back) {
  const auto heads_BTND = given_BTND.stride(3) == 1 ? given_BTND : given_BTND.contiguous();
  auto found_BTND = at::empty(heads_BTND.sizes(), heads_BTND.options());
  const auto length = heads_BTND.size(1);
  const auto heads = heads_BTND.size(2);
  const auto width = heads_BTND.size(3);
  const auto part = cos_TR.size(1);
  with_type(found_BTND, [&](auto* into) {
    using Value = std::remove_pointer_t<decltype(into)>;
    const auto* values = heads_BTND.const_data_ptr<Value>();
    const auto* cos = cos_TR.const_data_ptr<Value>();
    const auto* sin = sin_TR.const_data_ptr<Value>();
    in_blocks(heads_BTND.size(0) * length, rows_in_block(heads * width), [&](int64_t first, int64_t last) {
      Turn turn;
      for (auto place = first; place < last; ++place) {
        const auto row = place / length;
        const auto position = place % length;
        set(turn, cos + position * part, sin + position * part, part / 2, back);
        for (int64_t head = 0; head < heads; ++head) {
          const auto* from = values + row * heads_BTND.stride(0) + position * heads_BTND.stride(1) +
                             head * heads_BTND.stride(2);
          auto* to = into + (place * heads + head) * width;
          turn_head(from, turn, part / 2, to);
          std::copy(from + part, from + width, to + part);
        }
      }
    });
  });
  return found_BTND;
}

struct Rotated : public torch::autograd::Function<Rotated> {
  static Variable forward(AutogradContext* ctx, const Variable& heads_BTND, const Variable& cos_TR,
                          const Variable& sin_TR) {
    ctx->save_for_backward({cos_TR, sin_TR});
    return turned(heads_BTND, cos_TR, sin_TR, false);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    return {turned(gradients[0], saved[0], saved[1], true), Variable(), Variable()};
  }
};

// One row a position.
at::Tensor table(const at::Tensor& given, const at::Tensor& heads_BTND) {
  TORCH_CHECK(given.is_cpu() && given.scalar_type() == heads_BTND.scalar_type(), "a table of ", given.scalar_type());
  auto rows_TR = given.reshape({given.size(0), -1}).contiguous();
  TORCH_CHECK(rows_TR.size(0) == heads_BTND.size(1), rows_TR.size(0), " rows for ", heads_BTND.size(1), " positions");
  TORCH_CHECK(rows_TR.size(1) % 2 == 0 && rows_TR.size(1) <= heads_BTND.size(3), rows_TR.size(1), " elements turn");
  return rows_TR;
}

}  // namespace

extern "C" {

char* shim_rotated(tensor heads, tensor cos, tensor sin, tensor* output) {
  return guarded([&] {
    const auto& heads_BTND = in(heads);
    TORCH_CHECK(heads_BTND.is_cpu() && heads_BTND.dim() == 4, "rotation by rows is the CPU's");
    *output = out(Rotated::apply(heads_BTND, table(in(cos), heads_BTND), table(in(sin), heads_BTND)));
  });
}
}
