//! How much memory this process may still take, and how much of a GPU's it took.
//!
//! In: /proc/meminfo and the control group's limits. Out: bytes, the smaller of the two; nothing where
//! neither says. What a GPU has left is known by trying; what was taken, libtorch counts.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::shim::device_peak;
use super::torch::TorchResult;

/// The most of a GPU's memory that tensors needed at once, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePeak {
    /// Bytes that tensors needed at most at once.
    pub in_use: u64,
    /// Bytes that were taken from the driver for tensors at most; context and libraries come on top.
    pub reserved: u64,
}

impl DevicePeak {
    /// On this device since the process started; nothing on the CPU.
    ///
    /// # Errors
    /// libtorch's.
    pub fn of(device: Device) -> TorchResult<Option<Self>> {
        if !device.is_cuda() {
            return Ok(None);
        }
        let (in_use, reserved) = device_peak(&Tensor::f_empty([0], (Kind::Float, device))?)?;
        Ok(Some(Self { in_use, reserved }))
    }
}

/// Bytes that can be taken without swapping and within the control group's limit.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| of_machine(&text));
    let group = read("/proc/self/cgroup").and_then(|text| {
        let path = text
            .lines()
            .find_map(|line| line.strip_prefix("0::"))?
            .to_owned();
        let folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
        let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
        of_group(&number("memory.max")?, &number("memory.current")?)
    });
    machine.into_iter().chain(group).min()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `max` is a number of bytes, or the word for no limit.
fn of_group(max: &str, current: &str) -> Option<u64> {
    let (max, current) = (
        max.trim().parse::<u64>().ok()?,
        current.trim().parse().ok()?,
    );
    Some(max.saturating_sub(current))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accelerator_counts() {
        assert_eq!(DevicePeak::of(Device::Cpu).unwrap(), None);
        let error = device_peak(&Tensor::f_empty([0], (Kind::Float, Device::Cpu)).unwrap());
        assert!(error.unwrap_err().to_string().contains("CPU device type"));
    }

    #[test]
    fn the_machine_and_its_group_say_it_in_their_own_units() {
        let text = "MemTotal:  100 kB\nMemAvailable:   24 kB\n";
        assert_eq!(of_machine(text), Some(24 * 1024));
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        assert_eq!(of_group("1000\n", "400\n"), Some(600));
        assert_eq!(of_group("max\n", "400\n"), None);
        assert!(available_memory().is_some_and(|bytes| bytes > 0));
    }
}
