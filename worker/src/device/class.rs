//! The device class: under one fingerprint forward and backward give the same bits.
//!
//! In: facts about hardware, driver, libraries and environment (`facts` gathers them). Out: one line. Two workers with
//! different lines still train correctly and agree on the adapter; another mix may give other bits.
//! Keeps: pure; whatever is known to change a bit is in the line, and what could not be learned says `unknown`.

use std::collections::BTreeSet;

use shared::error::Result;
use tch::Device;

use super::environment::CUBLAS_WORKSPACE;
use super::facts;

/// Variables by which libtorch, MKL, oneDNN and OpenBLAS choose other code than the processor's, or another precision.
const ON_CPU: &[&str] = &[
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
];

/// Variables by which NVIDIA's libraries choose another precision or another algorithm.
const ON_CUDA: &[&str] = &[
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
];

/// The hardware that computes, CPU or GPU.
#[derive(Clone, Debug)]
pub(super) enum Hardware {
    /// A CPU, by its instruction set and its cpuinfo.
    Cpu {
        /// Instruction set of the CPU, such as `x86_64`.
        arch: &'static str,
        /// The kernels that libtorch picks there.
        capability: String,
        /// The content of /proc/cpuinfo.
        cpuinfo: String,
    },
    /// A GPU, by its model, driver and libraries.
    Cuda {
        /// What the driver's library says; nothing where it cannot be asked.
        model: Option<Gpu>,
        /// Version of the kernel driver.
        driver: Option<String>,
        /// Versions of the libraries that are loaded, such as `cublas-13.1.0`.
        libraries: Vec<String>,
    },
}

/// A model of GPU, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Gpu {
    /// Name of the model as the driver gives it.
    pub(super) name: String,
    /// Compute capability, major and minor.
    pub(super) capability: (i32, i32),
    /// Streaming multiprocessors: fewer in a part of a GPU, and libraries cut their sums by them.
    pub(super) processors: i32,
}

/// All that decides the bits.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// The CPU or GPU that computes.
    pub(super) hardware: Hardware,
    /// Version of the libtorch that is loaded.
    pub(super) torch: Option<String>,
    /// Size of the file it was loaded from: builds of one version differ in it.
    pub(super) torch_bytes: Option<u64>,
    /// Version of the MKL in it.
    pub(super) mkl: Option<String>,
    /// Version of this program: its own kernels may change with it.
    pub(super) program: &'static str,
}

/// The fingerprint, such as
/// `cpu x86_64 AVX512+avx512_bf16 AuthenticAMD/25/17 torch-2.11.0/441094233 mkl-2024.2.0 worker-0.1.0`.
///
/// # Errors
/// libtorch's.
pub fn device_class(device: Device) -> Result<String> {
    let facts = facts::gathered(device)?;
    Ok(class_of(&facts, |name| std::env::var(name).ok()))
}

/// The line of these facts, with the variables that are set.
fn class_of(facts: &Facts, variable: impl Fn(&str) -> Option<String>) -> String {
    let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".to_owned());
    let bytes = facts.torch_bytes.map(|bytes| bytes.to_string());
    let torch = format!("torch-{}/{}", known(&facts.torch), known(&bytes));
    let mut words = match &facts.hardware {
        Hardware::Cpu {
            arch,
            capability,
            cpuinfo,
        } => {
            let mut words = vec!["cpu".to_owned(), (*arch).to_owned(), capability.clone()];
            words.extend([cpu_model(cpuinfo), torch]);
            words.extend(facts.mkl.iter().map(|version| format!("mkl-{version}")));
            words
        }
        Hardware::Cuda {
            model,
            driver,
            libraries,
        } => {
            let model = model.as_ref().map(|gpu| {
                let (major, minor) = gpu.capability;
                format!("{} sm{major}{minor} x{}", gpu.name, gpu.processors)
            });
            let driver = format!("driver-{}", known(driver));
            let mut words = vec!["cuda".to_owned(), known(&model), driver, torch];
            words.extend(libraries.iter().cloned());
            words
        }
    };
    words.push(format!("worker-{}", facts.program));
    let names = match facts.hardware {
        Hardware::Cpu { .. } => ON_CPU,
        Hardware::Cuda { .. } => ON_CUDA,
    };
    for name in names {
        let value = variable(name).filter(|value| !value.is_empty());
        // What this program sets itself is in its version.
        let value = value.filter(|value| (*name, value.as_str()) != CUBLAS_WORKSPACE);
        words.extend(value.map(|value| format!("{name}={value}")));
    }
    words.join(" ")
}

/// What libraries choose code by: vendor, family and model, or what an ARM processor says in their place.
fn cpu_model(cpuinfo: &str) -> String {
    if let Some(cores) = arm_cores(cpuinfo) {
        return cores;
    }
    let value = |key: &str| field(first_block(cpuinfo), key).unwrap_or("unknown".to_owned());
    let [vendor, family, model] = ["vendor_id", "cpu family", "model"].map(value);
    format!("{vendor}/{family}/{model}")
}

/// Implementer, architecture, variant, part and revision of each kind of core: a thread may run on any.
fn arm_cores(cpuinfo: &str) -> Option<String> {
    let cores: BTreeSet<String> = cpuinfo
        .split("\n\n")
        .filter_map(|block| {
            let value = |key: &str| field(block, key).unwrap_or("unknown".to_owned());
            field(block, "CPU implementer")?;
            let names = ["implementer", "architecture", "variant", "part", "revision"];
            Some(names.map(|name| value(&format!("CPU {name}"))).join("/"))
        })
        .collect();
    let cores: Vec<String> = cores.into_iter().collect();
    (!cores.is_empty()).then(|| cores.join("+"))
}

fn first_block(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or_default()
}

fn field(block: &str, key: &str) -> Option<String> {
    let pairs = block.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.into_iter().find(|(name, _)| name.trim() == key);
    found.map(|(_, value)| value.trim().replace(' ', "-"))
}

#[cfg(test)]
#[path = "class_tests.rs"]
mod tests;
