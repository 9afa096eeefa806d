// What is computed row by row, some rows at a time by each thread.
//
// Where libtorch's threads would meet shows in the last bits, because what is left of a vector's width is
// computed by other code. Here the shape alone says where blocks of rows begin. Only inputs are kept:
// on the way back a block is computed again.
#include "guarded.h"
#include "region.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <mutex>
#include <vector>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A function of rows with the data it was made with, which is released with it.
struct Rule : public torch::CustomClassHolder {
  row_rule body;
  void* data;
  void (*release)(void*);

  Rule(row_rule body, void* data, void (*release)(void*))
      : body(body), data(data), release(release) {}
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;
  ~Rule() override { release(data); }

  at::Tensor operator()(const variable_list& inputs) const {
    std::vector<tensor> pointers;
    for (const auto& input : inputs) pointers.push_back(out(input));
    std::array<char, 1024> message{};
    tensor output = nullptr;
    TORCH_CHECK(body(data, pointers.data(), pointers.size(), &output, message.data(), message.size()) == 0,
                message.data());
    at::Tensor found = in(output);
    delete static_cast<at::Tensor*>(output);
    return found;
  }
};

using RulePointer = c10::intrusive_ptr<Rule>;

// The inputs that are cut, then those that every block sees whole.
struct Inputs {
  variable_list all;
  int64_t cut;

  int64_t rows() const { return all[0].size(0); }

  int64_t block() const { return rows_in_block(all[0].numel() / std::max<int64_t>(1, rows())); }

  variable_list part(int64_t from, int64_t to) const {
    variable_list found;
    for (int64_t i = 0; i < static_cast<int64_t>(all.size()); ++i) {
      found.push_back(i < cut ? all[i].narrow(0, from, to - from) : all[i]);
    }
    return found;
  }
};

// As `share`, on this thread alone where there is only one block.
void each_block(const Inputs& inputs, const std::function<void(int64_t, int64_t)>& body) {
  if (inputs.rows() <= inputs.block()) return body(0, inputs.rows());
  share(inputs.rows(), inputs.block(), body);
}

at::Tensor forward_by_rows(const Rule& rule, const Inputs& inputs) {
  at::Tensor output;
  std::once_flag made;
  each_block(inputs, [&](int64_t from, int64_t to) {
    at::NoGradGuard no_gradients;
    auto part = rule(inputs.part(from, to));
    std::call_once(made, [&] {
      auto shape = part.sizes().vec();
      shape[0] = inputs.rows();
      output = at::empty(shape, part.options());
    });
    output.narrow(0, from, to - from).copy_(part);
  });
  return output;
}

struct ByRows : public torch::autograd::Function<ByRows> {
  static Variable forward(AutogradContext* ctx, const RulePointer& rule, int64_t cut,
                          const Variable& first, const std::optional<Variable>& second,
                          const std::optional<Variable>& third) {
    Inputs inputs{{first}, cut};
    if (second) inputs.all.push_back(*second);
    if (third) inputs.all.push_back(*third);
    ctx->save_for_backward(inputs.all);
    ctx->saved_data["rule"] = c10::IValue::make_capsule(rule);
    ctx->saved_data["cut"] = cut;
    return forward_by_rows(*rule, inputs);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const Inputs inputs{ctx->get_saved_variables(), ctx->saved_data["cut"].toInt()};
    const auto rule = ctx->saved_data["rule"].toCapsule();
    const auto count = inputs.all.size();
    const auto gradient = gradients[0].contiguous();
    variable_list found(count);
    std::vector<variable_list> wholes(count);
    const auto block = inputs.block();
    for (size_t i = 0; i < count; ++i) {
      if (!ctx->needs_input_grad(i)) continue;
      const auto& input = inputs.all[i];
      if (static_cast<int64_t>(i) < inputs.cut) {
        found[i] = at::empty(input.sizes(), input.options());
      } else {
        wholes[i].resize((inputs.rows() + block - 1) / block);
      }
    }
    each_block(inputs, [&](int64_t from, int64_t to) {
      at::AutoGradMode with_gradients(true);
      auto part = inputs.part(from, to);
      variable_list wanted;
      for (size_t i = 0; i < count; ++i) {
        part[i] = part[i].detach();
        if (found[i].defined() || !wholes[i].empty()) wanted.push_back(part[i].requires_grad_(true));
      }
      const auto output = static_cast<const Rule&>(*rule)(part);
      const auto of_block = torch::autograd::grad({output}, wanted, {gradient.narrow(0, from, to - from)});
      at::NoGradGuard no_gradients;
      size_t next = 0;
      for (size_t i = 0; i < count; ++i) {
        if (found[i].defined()) found[i].narrow(0, from, to - from).copy_(of_block[next++]);
        else if (!wholes[i].empty()) wholes[i][from / block] = of_block[next++];
      }
    });
    for (size_t i = 0; i < count; ++i) {
      for (const auto& one : wholes[i]) {
        found[i] = found[i].defined() ? found[i].add_(one) : one.clone();
      }
    }
    found.resize(3);
    return {Variable(), Variable(), found[0], found[1], found[2]};
  }
};

}  // namespace

extern "C" {

char* shim_by_rows(row_rule rule, void* data, void (*release)(void* data), const tensor* inputs, size_t count,
                   size_t cut, tensor* output) {
  return guarded([&] {
    auto held = c10::make_intrusive<Rule>(rule, data, release);
    TORCH_CHECK(count >= 1 && count <= 3 && cut >= 1, count, " inputs");
    const auto optional = [&](size_t i) { return i < count ? maybe(inputs[i]) : std::nullopt; };
    *output = out(ByRows::apply(held, static_cast<int64_t>(cut), in(inputs[0]), optional(1), optional(2)));
  });
}
}
