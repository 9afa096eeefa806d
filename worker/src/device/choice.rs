//! Device strings, and the device they mean on this machine.
//!
//! `auto` takes CUDA when it is there. Asking for CUDA where there is none is an error that names
//! the alternative, never a silent fall back.

use std::fmt;
use std::str::FromStr;

use shared::error::{Code, Error, Result};
use tch::{Cuda, Device};

use super::environment::CUBLAS_WORKSPACE;
use super::libraries::{CudaLibrary, load_cuda};
use super::shim::{check_threads, use_plain_allocator};
use super::{failed, set_deterministic, set_threads};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceRequest {
    /// CUDA when it is there, else CPU.
    Auto,
    /// The CPU, also where a GPU is there.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

impl FromStr for DeviceRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| {
                    Error::new(Code::OutOfRange, format!("device `{text}` is not known"))
                        .fix("write auto, cpu, cuda or cuda:N")
                }),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Opens the device, sets the number of threads (0 leaves libtorch's) and determinism.
///
/// # Errors
/// [`Code::NoDevice`] when it is not there, [`Code::NoLibtorch`] when OpenMP gives no threads.
pub fn open(request: DeviceRequest, threads: usize) -> Result<Device> {
    let device = match request {
        DeviceRequest::Cpu => Device::Cpu,
        DeviceRequest::Auto => {
            if cuda_devices().is_ok_and(|count| count > 0) {
                Device::Cuda(0)
            } else {
                Device::Cpu
            }
        }
        DeviceRequest::Cuda(index) => cuda(index)?,
    };
    set_threads(threads);
    check_threads().map_err(|error| {
        Error::new(Code::NoLibtorch, "threads cannot work together here")
            .why(error.to_string())
            .fix("unset OMP_THREAD_LIMIT and OMP_MAX_ACTIVE_LEVELS")
    })?;
    use_plain_allocator();
    set_deterministic().map_err(failed("setting deterministic kernels"))?;
    Ok(device)
}

fn cuda(index: usize) -> Result<Device> {
    let missing = |why: String| {
        Error::new(
            Code::NoDevice,
            format!("there is no device cuda:{index} here"),
        )
        .why(why)
        .fix("set device: cpu in the configuration, or --set device=cpu")
        .fix("or start the worker on a machine with a GPU and a full torch 2.11.0")
    };
    let count = cuda_devices().map_err(missing)?;
    if index >= count {
        let why = match count {
            0 => "CUDA finds no GPU or no driver".to_owned(),
            n => format!("CUDA finds {n} device(s), cuda:0 to cuda:{}", n - 1),
        };
        return Err(missing(why));
    }
    // cuBLAS reads it at its first call; without it deterministic kernels refuse to run.
    if std::env::var_os(CUBLAS_WORKSPACE.0).is_none() {
        return Err(Error::new(
            Code::Internal,
            "cuBLAS is not set up for deterministic kernels",
        )
        .fix(format!("set {}={}", CUBLAS_WORKSPACE.0, CUBLAS_WORKSPACE.1)));
    }
    Ok(Device::Cuda(index))
}

/// How many CUDA devices there are, or why CUDA cannot be used.
fn cuda_devices() -> std::result::Result<usize, String> {
    match load_cuda() {
        CudaLibrary::Absent(why) => Err(format!("libtorch_cuda.so cannot be opened: {why}")),
        CudaLibrary::Opened if !Cuda::is_available() => Ok(0),
        CudaLibrary::Opened => Ok(usize::try_from(Cuda::device_count()).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_strings_are_read_and_written_back() {
        for (text, request) in [
            ("auto", DeviceRequest::Auto),
            ("cpu", DeviceRequest::Cpu),
            ("cuda:3", DeviceRequest::Cuda(3)),
        ] {
            assert_eq!(text.parse::<DeviceRequest>().unwrap(), request);
            assert_eq!(request.to_string(), text);
        }
        assert_eq!(
            "cuda".parse::<DeviceRequest>().unwrap(),
            DeviceRequest::Cuda(0)
        );
        for text in ["gpu", "cuda:", "cuda:x", "CPU", "cuda:-1", ""] {
            assert_eq!(
                text.parse::<DeviceRequest>().unwrap_err().code,
                Code::OutOfRange
            );
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_names_the_alternative() {
        let error = open(DeviceRequest::Cuda(99), 1).unwrap_err();
        assert_eq!(error.code, Code::NoDevice);
        assert!(error.fix.concat().contains("device=cpu"), "{error:?}");
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(open(DeviceRequest::Cpu, 1).unwrap(), Device::Cpu);
    }
}
