//! CUDA on demand: one program for machines with and without it.
//!
//! The program links libtorch's CPU half only. Where libtorch_cuda.so lies beside it, opening it
//! registers CUDA with the half that is there. It is opened first of all and never closed.

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Whether libtorch's CUDA half is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CudaLibrary {
    /// Opened; a device may still be absent.
    Opened,
    /// Not there, with the loader's reason.
    Absent(String),
}

/// Opens libtorch_cuda.so once, first thing in the program.
pub fn load_cuda() -> &'static CudaLibrary {
    static STATE: OnceLock<CudaLibrary> = OnceLock::new();
    STATE.get_or_init(|| {
        // SAFETY: libtorch's own initialisers run, as they would if the program were linked with it; nothing else of it
        // is called.
        match unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => {
                std::mem::forget(library);
                CudaLibrary::Opened
            }
            Err(error) => CudaLibrary::Absent(format!("{error:?}")),
        }
    })
}
