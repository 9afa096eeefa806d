// Root mean square norms, some rows at a time by each thread, each row in the cache from beginning to end.
//
// Statistics are f32 (transformers' LlamaRMSNorm and Gemma2RMSNorm), summed in sixteen lanes and these in their order.
// Only the input is kept. With y = w x r and r = (mean(x^2) + eps)^-1/2, of a gradient g of y the input has r (g w - x
// r^2 mean(g w x)).
#include "guarded.h"
#include "halves.h"
#include "region.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

constexpr int64_t kLanes = 16;

// The sum of products of two rows, in sixteen lanes.
WIDE float dot(const float* left, const float* right, int64_t count) {
  float lanes[kLanes] = {};
  const auto whole = count / kLanes * kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += left[i + lane] * right[i + lane];
  }
  for (int64_t i = whole; i < count; ++i) lanes[i - whole] += left[i] * right[i];
  float sum = 0.0F;
  for (const float lane : lanes) sum += lane;
  return sum;
}

WIDE void scale(const float* values, int64_t count, float factor, float* into) {
  for (int64_t i = 0; i < count; ++i) into[i] = values[i] * factor;
}

WIDE void weigh(const float* values, const float* weights, int64_t count, float* into) {
  for (int64_t i = 0; i < count; ++i) into[i] = values[i] * weights[i];
}

WIDE void take_back(const float* weighed, const float* values, int64_t count, float factor, float share, float* into) {
  for (int64_t i = 0; i < count; ++i) into[i] = (weighed[i] - values[i] * share) * factor;
}

template <typename Value>
void round_to(float* values, int64_t count, Value* room) {
  if constexpr (!std::is_same_v<Value, float>) {
    narrow(values, count, room);
    widen(room, count, values);
  }
}

// The norm of one row after another, with the buffers that it needs.
template <typename Value>
struct Rows {
  int64_t width;
  double eps;
  // In f32; values are rounded to their type before they are weighed, unless the weight is `wide`.
  std::vector<float> weight;
  bool wide;
  std::vector<float> values = std::vector<float>(static_cast<size_t>(width));
  std::vector<float> other = std::vector<float>(static_cast<size_t>(width));
  std::vector<Value> rounded = std::vector<Value>(static_cast<size_t>(width));

  // 1 over the root of the mean square of `values`.
  float factor() const {
    const float mean = dot(values.data(), values.data(), width) / static_cast<float>(width);
    return 1.0F / std::sqrt(mean + static_cast<float>(eps));
  }

  void forward(const Value* from, Value* into) {
    widen(from, width, values.data());
    scale(values.data(), width, factor(), other.data());
    if (!wide) round_to(other.data(), width, rounded.data());
    weigh(other.data(), weight.data(), width, other.data());
    narrow(other.data(), width, into);
  }

  void backward(const Value* from, const Value* gradient, Value* into) {
    widen(from, width, values.data());
    widen(gradient, width, other.data());
    weigh(other.data(), weight.data(), width, other.data());
    if (!wide) round_to(other.data(), width, rounded.data());
    const float by = factor();
    const float mean = dot(other.data(), values.data(), width) / static_cast<float>(width);
    take_back(other.data(), values.data(), width, by, by * by * mean, other.data());
    narrow(other.data(), width, into);
  }
};

at::Tensor with_rows(const at::Tensor& given) { return given.stride(1) == 1 ? given : given.contiguous(); }

// Calls `body(rows, Value*, first, last)` for blocks of rows of `found_PH`.
template <typename Body>
void each_block(const at::Tensor& found_PH, const at::Tensor& weight_H, double eps, const Body& body) {
  const auto width = found_PH.size(1);
  with_type(found_PH, [&](auto* into) {
    using Value = std::remove_pointer_t<decltype(into)>;
    const auto wide_H = weight_H.to(at::kFloat).contiguous();
    const auto* weight = wide_H.template const_data_ptr<float>();
    const bool wide = weight_H.scalar_type() != found_PH.scalar_type();
    in_blocks(found_PH.size(0), rows_in_block(width), [&](int64_t first, int64_t last) {
      Rows<Value> rows{width, eps, std::vector<float>(weight, weight + width), wide};
      for (auto row = first; row < last; ++row) body(rows, into + row * width, row);
    });
  });
}

// P rows of H elements.
struct Normed : public torch::autograd::Function<Normed> {
  static Variable forward(AutogradContext* ctx, const Variable& given_PH, const Variable& weight_H, double eps) {
    const auto input_PH = with_rows(given_PH);
    auto normed_PH = at::empty(input_PH.sizes(), input_PH.options());
    each_block(normed_PH, weight_H, eps, [&](auto& rows, auto* into, int64_t row) {
      using Value = std::remove_pointer_t<decltype(into)>;
      rows.forward(input_PH.template const_data_ptr<Value>() + row * input_PH.stride(0), into);
    });
    ctx->save_for_backward({given_PH, weight_H});
    ctx->saved_data["eps"] = eps;
    return normed_PH;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto input_PH = with_rows(saved[0]);
    const auto gradient_PH = with_rows(gradients[0]);
    auto of_input_PH = at::empty(input_PH.sizes(), input_PH.options());
    each_block(of_input_PH, saved[1], ctx->saved_data["eps"].toDouble(), [&](auto& rows, auto* into, int64_t row) {
      using Value = std::remove_pointer_t<decltype(into)>;
      rows.backward(input_PH.template const_data_ptr<Value>() + row * input_PH.stride(0),
                    gradient_PH.template const_data_ptr<Value>() + row * gradient_PH.stride(0), into);
    });
    return {of_input_PH, Variable(), Variable()};
  }
};

}  // namespace

extern "C" {

char* shim_normed(tensor input, tensor weight, double eps, tensor* output) {
  return guarded([&] {
    TORCH_CHECK(in(input).is_cpu() && in(input).dim() == 2, "norms of rows are the CPU's");
    TORCH_CHECK(in(weight).sizes() == in(input).sizes().slice(1), "a weight ", in(weight).sizes(), " for rows of ",
                in(input).size(1));
    *output = out(Normed::apply(in(input), in(weight), eps));
  });
}
}
