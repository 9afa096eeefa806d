// Cross entropy of rows of logits, some rows at a time by each thread.
//
// loss = log(sum over v of exp(z_v)) - z_wanted of a row z; the gradient g of the loss gives z the gradient g
// (softmax(z) - one at wanted).
//
// Beside the logits one number per row is kept: the logarithm of the sum of their exponentials.
#include "guarded.h"
#include "region.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// C rows, V words.
struct CrossEntropy : public torch::autograd::Function<CrossEntropy> {
  static Variable forward(AutogradContext* ctx, const Variable& logits_CV, const Variable& wanted_C) {
    const auto rows = logits_CV.size(0);
    auto losses_C = at::empty({rows}, logits_CV.options());
    auto sums_C = at::empty({rows}, logits_CV.options());
    in_blocks(rows, rows_in_block(logits_CV.size(1)), [&](int64_t from, int64_t to) {
      const auto part = [&](const at::Tensor& all) { return all.narrow(0, from, to - from); };
      const auto logits = part(logits_CV);
      part(sums_C).copy_(at::logsumexp(logits, {1}));
      const auto of_wanted = logits.gather(1, part(wanted_C).unsqueeze(1)).squeeze(1);
      part(losses_C).copy_(part(sums_C).sub(of_wanted));
    });
    ctx->save_for_backward({logits_CV, wanted_C, sums_C});
    return losses_C;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto& logits_CV = saved[0];
    auto of_logits_CV = at::empty(logits_CV.sizes(), logits_CV.options());
    in_blocks(logits_CV.size(0), rows_in_block(logits_CV.size(1)), [&](int64_t from, int64_t to) {
      const auto part = [&](const at::Tensor& all) { return all.narrow(0, from, to - from); };
      const auto columns = [&](const at::Tensor& all_C) { return part(all_C).unsqueeze(1); };
      auto of_logits = part(of_logits_CV);
      at::sub_out(of_logits, part(logits_CV), columns(saved[2]));
      of_logits.exp_().mul_(columns(gradients[0]));
      of_logits.scatter_add_(1, columns(saved[1]), columns(gradients[0]).neg());
    });
    return {of_logits_CV, Variable()};
  }
};

}  // namespace

extern "C" {

char* shim_cross_entropy(tensor logits, tensor wanted, tensor* losses) {
  return guarded([&] {
    TORCH_CHECK(in(logits).is_cpu(), "cross entropy by rows is the CPU's");
    *losses = out(CrossEntropy::apply(in(logits), in(wanted)));
  });
}
}
