// Linears without a pair: one whose weight is frozen, and one whose weight learns.
#include "shim.h"

#include "frozen.h"
#include "guarded.h"
#include "product.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A frozen linear without a pair, y = x W^T + bias: only x has a gradient, dy W.
struct FrozenLinear : public torch::autograd::Function<FrozenLinear> {
  static Variable forward(AutogradContext* ctx, const Variable& input_BI,
                          const FrozenPointer& weight, const std::optional<Variable>& bias_O) {
    auto output_BO = product(input_BI, weight->dense().t());
    if (bias_O) output_BO.add_(*bias_O);
    ctx->saved_data["weight"] = c10::IValue::make_capsule(weight);
    return output_BO;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    return {product(gradients[0], frozen_in(ctx)), Variable(), Variable()};
  }
};

// A linear whose weight learns, y = x W^T: dx = dy W, dW = dy^T x.
struct LearningLinear : public torch::autograd::Function<LearningLinear> {
  static Variable forward(AutogradContext* ctx, const Variable& input_BI,
                          const Variable& weight_OI) {
    ctx->save_for_backward({input_BI, weight_OI});
    return product(input_BI, weight_OI.t());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    auto saved = ctx->get_saved_variables();
    Variable input_gradient_BI;
    if (ctx->needs_input_grad(0)) input_gradient_BI = product(gradients[0], saved[1]);
    return {input_gradient_BI, product(gradients[0].t(), saved[0])};
  }
};

}  // namespace

extern "C" {

char* shim_frozen_linear(tensor input, const void* weight, tensor bias, tensor* output) {
  return guarded([&] {
    *output = out(FrozenLinear::apply(in(input), frozen(weight), maybe(bias)));
  });
}

char* shim_learning_linear(tensor input, tensor weight, tensor* output) {
  return guarded([&] { *output = out(LearningLinear::apply(in(input), in(weight))); });
}
}
