#include "shim.h"

#include "guarded.h"
#include "kernels.h"
#include "product.h"
#include "quantized.h"
#include "region.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>
#include <optional>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// The weight that a forward pass was made with, dense once more.
at::Tensor frozen_in(AutogradContext* ctx) {
  const auto capsule = ctx->saved_data["weight"].toCapsule();
  return static_cast<const FrozenWeight&>(*capsule).dense();
}

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

const FrozenPointer& frozen(const void* weight) {
  return *static_cast<const FrozenPointer*>(weight);
}

}  // namespace

extern "C" {

void shim_free(char* text) { std::free(text); }

char* shim_set_deterministic() {
  return guarded([] {
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(true);
    context.setBenchmarkCuDNN(false);
    context.setAllowTF32CuBLAS(false);
    context.setAllowTF32CuDNN(false);
    context.setAllowFP16ReductionCuBLAS(false);
    context.setAllowBF16ReductionCuBLAS(false);
    // The backward pass of memory-efficient attention adds in any order on CUDA; flash and the plain form do not.
    context.setSDPUseMemEfficient(false);
    context.setSDPUseCuDNN(false);
  });
}

char* shim_check_threads() {
  return guarded([] { on_threads([] {}); });
}

int shim_has_kernels(tensor value) { return has_kernels(in(value)) ? 1 : 0; }

void shim_only_operators() { only_operators(); }

void shim_set_threads(int threads) { set_threads(threads); }

char* shim_cpu_capability(char** text) {
  return guarded([&] {
    auto found = at::get_cpu_capability();
    if (*bf16_instructions() != '\0') found += std::string("+") + bf16_instructions();
    *text = strdup(found.c_str());
  });
}

char* shim_lora_linear(tensor input, const void* weight, tensor bias, tensor a, tensor b,
                       double scaling, tensor keep, double keep_scale, tensor* output) {
  return guarded([&] {
    *output = out(LoraLinear::apply(in(input), frozen(weight), maybe(bias), in(a), in(b), scaling,
                                    maybe(keep), keep_scale));
  });
}

char* shim_frozen_linear(tensor input, const void* weight, tensor bias, tensor* output) {
  return guarded([&] {
    *output = out(FrozenLinear::apply(in(input), frozen(weight), maybe(bias)));
  });
}

char* shim_learning_linear(tensor input, tensor weight, tensor* output) {
  return guarded([&] { *output = out(LearningLinear::apply(in(input), in(weight))); });
}

char* shim_product(tensor left, tensor right, tensor* output) {
  return guarded([&] { *output = out(product(in(left), in(right))); });
}

char* shim_normal(void* generator, tensor into, double deviation) {
  return guarded([&] { in(into).normal_(0.0, deviation, *static_cast<at::Generator*>(generator)); });
}

char* shim_generator(uint64_t seed, void** generator) {
  return guarded([&] { *generator = new at::Generator(at::detail::createCPUGenerator(seed)); });
}

char* shim_uniform(void* generator, tensor into, double from, double to) {
  return guarded([&] { in(into).uniform_(from, to, *static_cast<at::Generator*>(generator)); });
}

void shim_generator_free(void* generator) { delete static_cast<at::Generator*>(generator); }

char* shim_gradients(tensor output, tensor seed, tensor* inputs, size_t count,
                     tensor* gradients) {
  return guarded([&] {
    variable_list wanted;
    wanted.reserve(count);
    for (size_t i = 0; i < count; ++i) wanted.push_back(in(inputs[i]));
    auto found = torch::autograd::grad({in(output)}, wanted, {in(seed)},
                                       /*retain_graph=*/false, /*create_graph=*/false,
                                       /*allow_unused=*/false);
    for (size_t i = 0; i < count; ++i) gradients[i] = out(found[i]);
  });
}
}
