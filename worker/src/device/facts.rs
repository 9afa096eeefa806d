//! What this machine is, as far as it decides the bits: gathered, not judged (see `class`).
//!
//! In: /proc, the libraries that libtorch has loaded. Out: the facts of a device class. Keeps: nothing is loaded that
//! is not there already; what cannot be learned is nothing, never a guess.

use std::ffi::c_char;

use libloading::os::unix::{Library, RTLD_NOW};
use shared::error::Result;
use tch::Device;

use super::class::{Facts, Gpu, Hardware};
use super::failed;
use super::shim::cpu_capability;

/// Sonames of cuBLAS and cuDNN, newest first.
const CUBLAS: &[&str] = &["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"];
const CUDNN: &[&str] = &["libcudnn.so.9", "libcudnn.so.8"];

/// The facts of a device on this machine.
pub(super) fn gathered(device: Device) -> Result<Facts> {
    let (hardware, library) = match device {
        Device::Cuda(index) => {
            let libraries = [
                cublas().map(|version| format!("cublas-{version}")),
                cudnn().map(|version| format!("cudnn-{version}")),
            ];
            let hardware = Hardware::Cuda {
                model: gpu(index),
                driver: cuda_driver(),
                libraries: libraries.into_iter().flatten().collect(),
            };
            (hardware, "libtorch_cuda.so")
        }
        _ => {
            let capability = cpu_capability().map_err(failed("asking for the CPU's kernels"))?;
            let hardware = Hardware::Cpu {
                arch: std::env::consts::ARCH,
                capability,
                cpuinfo: std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            };
            (hardware, "libtorch_cpu.so")
        }
    };
    Ok(Facts {
        hardware,
        torch: torch(),
        torch_bytes: loaded_bytes(library),
        mkl: mkl(),
        program: env!("CARGO_PKG_VERSION"),
    })
}

/// The version that libtorch itself says, from its interface for programs that were built for another one.
fn torch() -> Option<String> {
    type AbiVersion = unsafe extern "C" fn() -> u64;
    // SAFETY: `aoti_torch_abi_version` takes nothing and returns a u64, in every libtorch that has it.
    let version = unsafe {
        let library = Library::this();
        library
            .get::<AbiVersion>(b"aoti_torch_abi_version\0")
            .ok()?()
    };
    let [major, minor, patch, ..] = version.to_be_bytes();
    Some(format!("{major}.{minor}.{patch}"))
}

/// Size of the file that a library was loaded from.
fn loaded_bytes(name: &str) -> Option<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.ends_with(&format!("/{name}")).then_some(path)
    })?;
    Some(std::fs::metadata(path).ok()?.len())
}

/// Version of the MKL within libtorch; nothing in a build without it.
fn mkl() -> Option<String> {
    type VersionString = unsafe extern "C" fn(*mut c_char, i32);
    let mut text = [0u8; 200];
    // SAFETY: MKL writes at most the 199 bytes it is told of, and the buffer has 200 that are zero: a zero ends the
    // text.
    unsafe {
        let library = Library::this();
        let write = library.get::<VersionString>(b"MKL_Get_Version_String\0");
        write.ok()?(text.as_mut_ptr().cast(), 199);
    }
    let text = String::from_utf8_lossy(&text);
    let version = text.split("Version ").nth(1)?;
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
    Some(version[..end.unwrap_or(version.len())].to_owned())
}

/// Version of the kernel driver.
fn cuda_driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let line = text.lines().next()?;
    let is_version =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(is_version).map(str::to_owned)
}

/// A library that is loaded already, under the first of these names that it has.
fn already_loaded(names: &[&str]) -> Option<Library> {
    names.iter().find_map(|name| {
        // SAFETY: RTLD_NOLOAD opens only what is loaded already, so no initialiser runs.
        unsafe { Library::open(Some(*name), RTLD_NOW | libc::RTLD_NOLOAD) }.ok()
    })
}

fn cublas() -> Option<String> {
    type GetProperty = unsafe extern "C" fn(i32, *mut i32) -> i32;
    let library = already_loaded(CUBLAS)?;
    // SAFETY: the signature is that of `cublasGetProperty`; it writes one number, which is a place of this call.
    unsafe {
        let get = library.get::<GetProperty>(b"cublasGetProperty\0").ok()?;
        let part = |which: i32| {
            let mut value = 0;
            (get(which, &raw mut value) == 0).then_some(value)
        };
        Some(format!("{}.{}.{}", part(0)?, part(1)?, part(2)?))
    }
}

fn cudnn() -> Option<String> {
    type GetVersion = unsafe extern "C" fn() -> usize;
    let library = already_loaded(CUDNN)?;
    // SAFETY: the signature is that of `cudnnGetVersion`, which takes nothing.
    let version = unsafe { library.get::<GetVersion>(b"cudnnGetVersion\0").ok()?() };
    Some(version.to_string())
}

/// Model of a GPU, asked from the driver's own library.
fn gpu(index: usize) -> Option<Gpu> {
    type DeviceGet = unsafe extern "C" fn(*mut i32, i32) -> i32;
    type DeviceGetName = unsafe extern "C" fn(*mut u8, i32, i32) -> i32;
    type DeviceGetAttribute = unsafe extern "C" fn(*mut i32, i32, i32) -> i32;
    const PROCESSORS: i32 = 16;
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
        let mut device = 0;
        let mut name = [0u8; 256];
        if device_get(&raw mut device, index) != 0 || get_name(name.as_mut_ptr(), 255, device) != 0
        {
            return None;
        }
        let asked = |which: i32| {
            let mut value = 0;
            (attribute(&raw mut value, which, device) == 0).then_some(value)
        };
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
        Some(Gpu {
            name: String::from_utf8_lossy(&name[..end]).into_owned(),
            capability: (asked(MAJOR)?, asked(MINOR)?),
            processors: asked(PROCESSORS)?,
        })
    }
}
