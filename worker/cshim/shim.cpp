#include "shim.h"

#include "guarded.h"
#include "kernels.h"
#include "product.h"
#include "region.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

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
    torch::autograd::variable_list wanted;
    wanted.reserve(count);
    for (size_t i = 0; i < count; ++i) wanted.push_back(in(inputs[i]));
    auto found = torch::autograd::grad({in(output)}, wanted, {in(seed)},
                                       /*retain_graph=*/false, /*create_graph=*/false,
                                       /*allow_unused=*/false);
    for (size_t i = 0; i < count; ++i) gradients[i] = out(found[i]);
  });
}
}
