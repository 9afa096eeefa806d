// Attention with one thread to a head, so that its bits do not depend on the number of threads.
#include "guarded.h"
#include "region.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <vector>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// B rows, N heads of queries, K of keys and values, T positions of queries, S of keys, D elements. One head of one row,
// with both dimensions kept.
at::Tensor head(const at::Tensor& all_BNTD, int64_t row, int64_t number) {
  return all_BNTD.narrow(0, row, 1).narrow(1, number, 1);
}

// One head of one row in f32: libtorch's kernel would ask oneDNN for each small product of halves, and threads would
// wait for each other there.
at::Tensor widened(const at::Tensor& all_BNTD, int64_t row, int64_t number) {
  return head(all_BNTD, row, number).to(at::kFloat);
}

// Each head of each row.
void each_head(int64_t rows, int64_t heads, const std::function<void(int64_t, int64_t)>& body) {
  in_blocks(rows * heads, 1, [&](int64_t one, int64_t) { body(one / heads, one % heads); });
}

// libtorch's own kernel, head by head. Queries' heads share keys and values in groups of equal size.
struct Attention : public torch::autograd::Function<Attention> {
  static Variable forward(AutogradContext* ctx, const Variable& query_BNTD,
                          const Variable& key_BKSD, const Variable& value_BKSD,
                          const std::optional<Variable>& mask_TS, bool causal, double scale) {
    const auto rows = query_BNTD.size(0);
    const auto heads = query_BNTD.size(1);
    const auto length = query_BNTD.size(2);
    const auto each = heads / key_BKSD.size(1);
    auto mixed_BTND =
        at::empty({rows, length, heads, query_BNTD.size(3)}, query_BNTD.options());
    auto sums_BNT = at::empty({rows, heads, length}, query_BNTD.options().dtype(at::kFloat));
    each_head(rows, heads, [&](int64_t row, int64_t number) {
      auto [mixed, sums] = at::_scaled_dot_product_flash_attention_for_cpu(
          widened(query_BNTD, row, number), widened(key_BKSD, row, number / each),
          widened(value_BKSD, row, number / each), 0.0, causal, mask_TS, scale);
      mixed_BTND.select(0, row).select(1, number).copy_(mixed.view({length, -1}));
      sums_BNT.select(0, row).select(0, number).copy_(sums.reshape({length}));
    });
    ctx->save_for_backward({query_BNTD, key_BKSD, value_BKSD, mixed_BTND, sums_BNT,
                            mask_TS.value_or(Variable())});
    ctx->saved_data["causal"] = causal;
    ctx->saved_data["scale"] = scale;
    return mixed_BTND;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto& query_BNTD = saved[0];
    const auto& key_BKSD = saved[1];
    const auto& value_BKSD = saved[2];
    const auto mixed_BNTD = saved[3].transpose(1, 2);
    const auto& sums_BNT = saved[4];
    std::optional<at::Tensor> mask_TS;
    if (saved[5].defined()) mask_TS = saved[5];
    const bool causal = ctx->saved_data["causal"].toBool();
    const double scale = ctx->saved_data["scale"].toDouble();
    const auto gradient_BNTD = gradients[0].transpose(1, 2);

    const auto rows = query_BNTD.size(0);
    const auto heads = query_BNTD.size(1);
    const auto groups = key_BKSD.size(1);
    const auto each = heads / groups;
    auto of_query_BNTD = at::empty(query_BNTD.sizes(), query_BNTD.options());
    auto of_key_BKSD = at::empty(key_BKSD.sizes(), key_BKSD.options());
    auto of_value_BKSD = at::empty(value_BKSD.sizes(), value_BKSD.options());
    // What the heads of a group give to its keys and values, until they are added in their order.
    auto wide = key_BKSD.sizes().vec();
    wide[1] = heads;
    auto for_key_BNSD = at::empty(wide, key_BKSD.options());
    wide[3] = value_BKSD.size(3);
    auto for_value_BNSD = at::empty(wide, value_BKSD.options());
    each_head(rows, heads, [&](int64_t row, int64_t number) {
      auto [of_query, for_key, for_value] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          widened(gradient_BNTD, row, number), widened(query_BNTD, row, number),
          widened(key_BKSD, row, number / each), widened(value_BKSD, row, number / each),
          widened(mixed_BNTD, row, number), head(sums_BNT, row, number), 0.0, causal, mask_TS, scale);
      head(of_query_BNTD, row, number).copy_(of_query);
      head(for_key_BNSD, row, number).copy_(for_key);
      head(for_value_BNSD, row, number).copy_(for_value);
    });
    if (each == 1) {
      return {of_query_BNTD, for_key_BNSD, for_value_BNSD, Variable(), Variable(), Variable()};
    }
    each_head(rows, groups, [&](int64_t row, int64_t number) {
      const auto sum = [&](const at::Tensor& from, at::Tensor& into) {
        auto all = from.select(0, row).narrow(0, number * each, each);
        into.select(0, row).select(0, number).copy_(all.sum(0));
      };
      sum(for_key_BNSD, of_key_BKSD);
      sum(for_value_BNSD, of_value_BKSD);
    });
    return {of_query_BNTD, of_key_BKSD, of_value_BKSD, Variable(), Variable(), Variable()};
  }
};

// The mask that is added to scores: 0 where a key is seen, minus infinity where it is not.
at::Tensor added(const at::Tensor& seen) {
  auto made = at::zeros(seen.sizes(), at::kFloat);
  return made.masked_fill_(seen.logical_not(), -std::numeric_limits<double>::infinity());
}

}  // namespace

extern "C" {

char* shim_attention(tensor query, tensor key, tensor value, tensor seen, int causal, double scale,
                     tensor* output) {
  return guarded([&] {
    TORCH_CHECK(in(query).is_cpu(), "attention by head is the CPU's");
    auto mask = maybe(seen);
    if (mask) mask = added(*mask);
    *output = out(Attention::apply(in(query), in(key), in(value), mask, causal != 0, scale));
  });
}
}
