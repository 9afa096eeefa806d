// The gate of the feed-forward part, some rows at a time by each thread: what it lets pass, and the way back.
//
// libtorch's own operators in the order in which it would call them; what is computed goes where it stays.
#include "guarded.h"
#include "region.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

void activate(at::Tensor& into, const at::Tensor& gate, bool gelu_tanh) {
  gelu_tanh ? at::gelu_out(into, gate, "tanh") : at::silu_out(into, gate);
}

// P positions, I elements.
struct Gated : public torch::autograd::Function<Gated> {
  static Variable forward(AutogradContext* ctx, const Variable& gate_PI, const Variable& up_PI, bool gelu_tanh) {
    auto passed_PI = at::empty(gate_PI.sizes(), gate_PI.options());
    in_blocks(gate_PI.size(0), rows_in_block(gate_PI.size(1)), [&](int64_t from, int64_t to) {
      const auto part = [&](const at::Tensor& all) { return all.narrow(0, from, to - from); };
      auto passed = part(passed_PI);
      activate(passed, part(gate_PI), gelu_tanh);
      passed.mul_(part(up_PI));
    });
    ctx->save_for_backward({gate_PI, up_PI});
    ctx->saved_data["gelu_tanh"] = gelu_tanh;
    return passed_PI;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto& gate_PI = saved[0];
    const auto& up_PI = saved[1];
    const bool gelu_tanh = ctx->saved_data["gelu_tanh"].toBool();
    auto of_gate_PI = at::empty(gate_PI.sizes(), gate_PI.options());
    auto of_up_PI = at::empty(up_PI.sizes(), up_PI.options());
    in_blocks(gate_PI.size(0), rows_in_block(gate_PI.size(1)), [&](int64_t from, int64_t to) {
      const auto part = [&](const at::Tensor& all) { return all.narrow(0, from, to - from); };
      const auto gate = part(gate_PI);
      const auto gradient = part(gradients[0]);
      auto of_up = part(of_up_PI);
      activate(of_up, gate, gelu_tanh);
      of_up.mul_(gradient);
      const auto of_activated = gradient.mul(part(up_PI));
      auto of_gate = part(of_gate_PI);
      if (gelu_tanh) {
        at::gelu_backward_out(of_gate, of_activated, gate, "tanh");
      } else {
        at::silu_backward_out(of_gate, of_activated, gate);
      }
    });
    return {of_gate_PI, of_up_PI, Variable()};
  }
};

}  // namespace

extern "C" {

char* shim_gated(tensor gate, tensor up, int gelu_tanh, tensor* output) {
  return guarded([&] {
    TORCH_CHECK(in(gate).is_cpu() && in(gate).dim() == 2, "rows of gates are the CPU's");
    TORCH_CHECK(in(gate).sizes() == in(up).sizes(), "gates ", in(gate).sizes(), " for ", in(up).sizes());
    *output = out(Gated::apply(in(gate), in(up), gelu_tanh != 0));
  });
}
}
