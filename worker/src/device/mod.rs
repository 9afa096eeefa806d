//! libtorch as a device: opened, chosen, made deterministic, described.
//!
//! `libraries` CUDA on demand · `choice` device strings · `environment` what must be set before the process starts ·
//! `class` the fingerprint under which equal bits are promised, from `facts` · `torch` libtorch's failures as coded
//! ones · `memory` what the machine has left and a GPU took · `host` vectors to and from a device · `rows` what is
//! computed row by row · `backend` parts of the model that have a kernel of this program: `kernels` these,
//! `operators` libtorch's · `lora_linear` the LoRA linear of `cshim/lora_linear.cpp` · `shim` what tch does not reach · `frozen`
//! weights that never learn, dense or quantized.

mod backend;
mod choice;
mod class;
mod environment;
mod facts;
mod frozen;
mod host;
mod kernels;
mod libraries;
mod lora_linear;
mod memory;
mod operators;
mod rows;
mod shim;
mod torch;

pub use backend::Backend;
pub use choice::{DeviceRequest, open};
pub use class::device_class;
pub use environment::reexec_with_environment;
pub use frozen::{FrozenWeight, Int8, Nested, Nf4, nested_map, quantize_int8, quantize_nf4};
pub use host::{copy_in, copy_out};
pub use kernels::only_operators;
pub use libraries::{CudaLibrary, load_cuda};
pub use lora_linear::{Dropout, LoraWeights, lora_linear};
pub use memory::{DevicePeak, available_memory};
pub use rows::by_rows;
pub use shim::{
    Generator, frozen_linear, frozen_product, gradients, held_bytes, learning_linear, product,
    set_deterministic, set_threads,
};
pub use torch::{TorchResult, caught, failed};

pub use tch::Device;
