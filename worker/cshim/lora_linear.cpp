// The LoRA linear: the frozen product and a pair's in one node of the autograd graph, forward and backward.
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

// B tokens of all rows, I input features, O output features, R lora rank. With x the input [B, I], W [O, I], A [R, I],
// B [O, R], s the scaling, k the mask of dropout, c its scale and dy the gradient of y:
//
//   x' = c k x,  low = x' A^T [B, R],  y = x W^T + bias + s low B^T
//   u = s dy B [B, R],  dx = dy W + c k (u A),  dA = u^T x',  dB = s dy^T low
//
// The product with the frozen weight is computed in the base model's type; the adapter in f32, added before the sum is
// cast back, as PEFT does. W and bias have no gradient.
struct LoraLinear : public torch::autograd::Function<LoraLinear> {
  static Variable forward(AutogradContext* ctx, const Variable& input_BI,
                          const FrozenPointer& weight, const std::optional<Variable>& bias_O,
                          const Variable& a_RI, const Variable& b_OR, double scaling,
                          const std::optional<Variable>& keep_BI, double keep_scale) {
    auto output_BO = product(input_BI, weight->dense().t());
    if (bias_O) output_BO.add_(*bias_O);
    auto dropped_BI = maybe_dropped(as_type(input_BI, a_RI.scalar_type()), keep_BI, keep_scale);
    auto low_BR = product(dropped_BI, a_RI.t());
    if (output_BO.scalar_type() == b_OR.scalar_type()) {
      add_product(output_BO, low_BR, b_OR.t(), scaling);
    } else {
      auto type = output_BO.scalar_type();
      output_BO = as_type(output_BO, b_OR.scalar_type());
      add_product(output_BO, low_BR, b_OR.t(), scaling);
      output_BO = as_type(output_BO, type);
    }
    ctx->save_for_backward({input_BI, a_RI, b_OR, low_BR, keep_BI.value_or(Variable())});
    ctx->saved_data["weight"] = c10::IValue::make_capsule(weight);
    ctx->saved_data["scaling"] = scaling;
    ctx->saved_data["keep_scale"] = keep_scale;
    return output_BO;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    auto saved = ctx->get_saved_variables();
    const auto& input_BI = saved[0];
    const auto& a_RI = saved[1];
    const auto& b_OR = saved[2];
    const auto& low_BR = saved[3];
    std::optional<Variable> keep_BI;
    if (saved[4].defined()) keep_BI = saved[4];
    const double scaling = ctx->saved_data["scaling"].toDouble();
    const double keep_scale = ctx->saved_data["keep_scale"].toDouble();
    const auto& gradient_BO = gradients[0];

    auto wide_BO = as_type(gradient_BO, b_OR.scalar_type());
    auto low_gradient_BR = product(wide_BO, b_OR).mul_(scaling);
    auto b_gradient_OR = product(wide_BO.t(), low_BR).mul_(scaling);
    auto dropped_BI = maybe_dropped(as_type(input_BI, a_RI.scalar_type()), keep_BI, keep_scale);
    auto a_gradient_RI = product(low_gradient_BR.t(), dropped_BI);

    Variable input_gradient_BI;
    if (ctx->needs_input_grad(0)) {
      input_gradient_BI = product(gradient_BO, frozen_in(ctx));
      if (!keep_BI && input_gradient_BI.scalar_type() == a_RI.scalar_type()) {
        add_product(input_gradient_BI, low_gradient_BR, a_RI, 1.0);
      } else {
        auto through_BI = maybe_dropped(product(low_gradient_BR, a_RI), keep_BI, keep_scale);
        input_gradient_BI.add_(as_type(through_BI, input_gradient_BI.scalar_type()));
      }
    }
    return {input_gradient_BI, Variable(), Variable(), a_gradient_RI,
            b_gradient_OR,     Variable(), Variable(), Variable()};
  }

  static Variable maybe_dropped(const Variable& value, const std::optional<Variable>& keep,
                                double keep_scale) {
    return keep ? dropped(value, *keep, keep_scale) : value;
  }
};

}  // namespace

extern "C" {

char* shim_lora_linear(tensor input, const void* weight, tensor bias, tensor a, tensor b,
                       double scaling, tensor keep, double keep_scale, tensor* output) {
  return guarded([&] {
    *output = out(LoraLinear::apply(in(input), frozen(weight), maybe(bias), in(a), in(b), scaling,
                                    maybe(keep), keep_scale));
  });
}
}
