//! The device class: under one fingerprint forward and backward give the same bits.
//!
//! Hardware model, driver and library version in one line. Two workers with different lines still
//! train correctly and agree on the adapter; another mix may give other bits.

use libloading::os::unix::Library;
use shared::error::Result;
use tch::Device;

use super::failed;
use super::shim::cpu_capability;

/// The version of libtorch this program was built for.
const TORCH: &str = "torch-2.11.0";

/// The fingerprint, such as `cpu x86_64 AVX512+avx512_bf16 AuthenticAMD/25/17 torch-2.11.0`.
///
/// # Errors
/// libtorch's.
pub fn device_class(device: Device) -> Result<String> {
    match device {
        Device::Cuda(index) => {
            let (name, capability) = cuda_model(index)
                .unwrap_or_else(|| ("unknown GPU".to_owned(), "unknown".to_owned()));
            let driver = cuda_driver().unwrap_or_else(|| "unknown".to_owned());
            Ok(format!(
                "cuda {name} sm{capability} driver-{driver} {TORCH}"
            ))
        }
        _ => {
            let capability = cpu_capability().map_err(failed("asking for the CPU's kernels"))?;
            let arch = std::env::consts::ARCH;
            let model = cpu_model();
            Ok(format!(
                "cpu {arch} {capability} {model} {TORCH}{}",
                told(|name| std::env::var(name).ok())
            ))
        }
    }
}

/// Variables by which MKL and oneDNN are told to choose other code than the processor's.
fn told(variable: impl Fn(&str) -> Option<String>) -> String {
    let names = [
        "MKL_CBWR",
        "MKL_ENABLE_INSTRUCTIONS",
        "ONEDNN_MAX_CPU_ISA",
        "DNNL_MAX_CPU_ISA",
    ];
    names
        .into_iter()
        .filter_map(|name| Some(format!(" {name}={}", variable(name)?)))
        .collect()
}

/// Vendor, family and model: libraries choose code by them.
fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        text.lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim() == key)
            .map_or("unknown", |(_, value)| value.trim())
            .replace(' ', "-")
    };
    format!(
        "{}/{}/{}",
        value("vendor_id"),
        value("cpu family"),
        value("model")
    )
}

/// Version of the kernel driver.
fn cuda_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().next()?;
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

/// Name and compute capability, asked from the driver's own library.
fn cuda_model(index: usize) -> Option<(String, String)> {
    type DeviceGet = unsafe extern "C" fn(*mut i32, i32) -> i32;
    type DeviceGetName = unsafe extern "C" fn(*mut u8, i32, i32) -> i32;
    type DeviceGetAttribute = unsafe extern "C" fn(*mut i32, i32, i32) -> i32;
    const MAJOR: i32 = 75;
    const MINOR: i32 = 76;
    let index = i32::try_from(index).ok()?;
    // SAFETY: the driver is already loaded by libtorch_cuda; the signatures are the driver API's,
    // and all memory they write to is ours and large enough.
    unsafe {
        let driver = Library::new("libcuda.so.1").ok()?;
        let device_get = driver.get::<DeviceGet>(b"cuDeviceGet\0").ok()?;
        let get_name = driver.get::<DeviceGetName>(b"cuDeviceGetName\0").ok()?;
        let attribute = driver
            .get::<DeviceGetAttribute>(b"cuDeviceGetAttribute\0")
            .ok()?;
        let (mut device, mut major, mut minor) = (0, 0, 0);
        let mut name = [0u8; 256];
        let ok = device_get(&raw mut device, index) == 0
            && get_name(name.as_mut_ptr(), 255, device) == 0
            && attribute(&raw mut major, MAJOR, device) == 0
            && attribute(&raw mut minor, MINOR, device) == 0;
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        ok.then(|| (name, format!("{major}{minor}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_mkl_choose_other_code_is_part_of_the_class() {
        let set = |name: &str| (name == "MKL_CBWR").then(|| "COMPATIBLE".to_owned());
        assert_eq!(told(set), " MKL_CBWR=COMPATIBLE");
        assert_eq!(told(|_| None), "");
    }

    #[test]
    fn the_class_of_the_cpu_names_kernels_and_library() {
        let class = device_class(Device::Cpu).unwrap();
        assert!(
            class.starts_with("cpu ") && class.ends_with(TORCH),
            "{class}"
        );
        assert_eq!(class, device_class(Device::Cpu).unwrap());
    }
}
