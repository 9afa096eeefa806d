// What tch does not reach: a linear with LoRA and its hand-written backward, gradients that start
// from given values, and the deterministic switch.
//
// Every function returns null, or a message that the caller frees with shim_free. No exception
// leaves this library. Tensor pointers are `at::Tensor*`, as tch holds them; tensors that come out
// belong to the caller.

#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

using tensor = void*;

// Frees a message, or a text that a function below says is the caller's.
void shim_free(char* text);

// Deterministic kernels or an error, no TF32, no autotuning, no kernel that adds in any order.
char* shim_set_deterministic();

// Whether kernels of this program compute on a tensor's device, and that none does from here on (kernels.h).
int shim_has_kernels(tensor value);
void shim_only_operators();

// How many threads compute on the CPU; 0 is as many as libtorch would take.
void shim_set_threads(int threads);

// Whether OpenMP lets threads work together.
char* shim_check_threads();

// From here on tensors on the CPU lie in memory that can be used again when they are gone.
void shim_use_plain_allocator();

// Bytes that tensors on the CPU take now.
size_t shim_held_bytes();

// The most bytes that tensors on an accelerator took at once, and that were taken from its driver for them.
char* shim_device_peak(tensor value, size_t* in_use, size_t* reserved);

// "AVX512" and the like: which kernels libtorch picks on this CPU, and "+amx_bf16" or "+avx512_bf16" where it
// multiplies bf16 by instructions of its own. Freed with shim_free.
char* shim_cpu_capability(char** out);

// The LoRA linear: output [B, O] = input weight^T + bias + scaling ((keep_scale keep . input) a^T) b^T, input [B, I], a
// [R, I], b [O, R], bias [O]. `bias` and `keep` may be null; `weight` [O, I] is a frozen one (below); `keep` (1 or 0
// per element of the input) and `keep_scale` are dropout's.
char* shim_lora_linear(tensor input, const void* weight, tensor bias, tensor a, tensor b,
                       double scaling, tensor keep, double keep_scale, tensor* output);

// output [B, O] = input [B, I] weight^T + bias, of a frozen weight [O, I] without a pair. `bias` may be null.
char* shim_frozen_linear(tensor input, const void* weight, tensor bias, tensor* output);

// Attention softmax(scale query key^T) value, [B, T, N, D], of queries [B, N, T, D] over keys and values [B, K, S, D]
// on the CPU, with gradients. `seen` (booleans [T, S]) may be null; `causal` hides later positions.
char* shim_attention(tensor query, tensor key, tensor value, tensor seen, int causal, double scale,
                     tensor* output);

// losses [C] = log(sum of exp(logits)) - logit of the wanted word, of logits [C, V] in f32 and wanted words [C] on the
// CPU, with the gradient of the logits.
char* shim_cross_entropy(tensor logits, tensor wanted, tensor* losses);

// act(gate) * up on the CPU, both [P, I], with gradients; act is silu, or gelu in the form with tanh.
char* shim_gated(tensor gate, tensor up, int gelu_tanh, tensor* output);

// input / sqrt(mean(input^2) + eps) * weight, of rows [P, H] and a weight [H] that is frozen, on the CPU, with a
// gradient. Rounded to the rows' type before it is weighed, or after where the weight has another.
char* shim_normed(tensor input, tensor weight, double eps, tensor* output);

// Heads [B, T, N, D] turned by the cosines and sines of their positions, [T, 1, R] in the same type, on the CPU, with a
// gradient; elements of a head beyond R, which is even, stay.
char* shim_rotated(tensor heads, tensor cos, tensor sin, tensor* output);

// A function of rows: writes a new tensor, or a message and returns another number than 0. Inputs are its own.
using row_rule = int (*)(void* data, tensor* inputs, size_t count, tensor* output, char* message, size_t room);

// The function on blocks of rows of the first `cut` inputs, of at most three, with gradients. `release` is called with
// `data` once, whatever happens, when nothing needs the function any more.
char* shim_by_rows(row_rule rule, void* data, void (*release)(void* data), const tensor* inputs, size_t count,
                   size_t cut, tensor* output);

// output [B, O] = input [B, I] weight^T, weight [O, I], both with a gradient.
char* shim_learning_linear(tensor input, tensor weight, tensor* output);

// output [M, N] = left [M, K] right [K, N], without a graph.
char* shim_product(tensor left, tensor right, tensor* output);

// A generator of torch's CPU kind with its own state, and draws from it into a tensor.
char* shim_generator(uint64_t seed, void** out);
char* shim_uniform(void* generator, tensor into, double from, double to);
char* shim_normal(void* generator, tensor into, double deviation);
void shim_generator_free(void* generator);

// Gradients of sum(output * seed) with respect to the inputs; frees the graph.
char* shim_gradients(tensor output, tensor seed, tensor* inputs, size_t count, tensor* gradients);

// Frozen weights, dense or quantized (quantized.h); made by one of three and freed by shim_frozen_free.
char* shim_frozen_dense(tensor weight, void** out);
struct nf4_parts {
  int64_t rows;
  int64_t columns;
  tensor packed;
  tensor scales;
  int64_t block;
  // Null where the scales are f32.
  tensor nested_scales;
  tensor nested_map;
  int64_t nested_block;
  float offset;
  // torch's numbers of types: the weight's before it was quantized, and that of compute.
  int rounded;
  int compute;
};
char* shim_frozen_nf4(const nf4_parts* parts, void** out);
char* shim_frozen_int8(tensor codes, tensor scales, int compute, void** out);
// The weight in the type of compute.
char* shim_frozen_value(const void* weight, tensor* out);
// The weight as a device without a kernel of this program computes it.
char* shim_frozen_by_operators(const void* weight, tensor* out);
void shim_frozen_free(void* weight);

// bitsandbytes' codes of a contiguous weight [O, I] on the CPU, the same for any number of threads. `finite`
// is 0 where a value is not a finite number. `nested_scales` is null where scales stay f32.
char* shim_nf4_quantize(tensor weight, int nested, int* finite, tensor* packed, tensor* scales,
                        tensor* nested_scales, float* offset);
char* shim_int8_quantize(tensor weight, int* finite, tensor* codes, tensor* scales);
// The values of the 8-bit codes of nested scales, [256].
char* shim_nested_map(tensor* out);
}
