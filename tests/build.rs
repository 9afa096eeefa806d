//! Points the tests that hold the worker's library at the real torch/lib, as the worker does.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let view = PathBuf::from(std::env::var("LIBTORCH")?);
    println!(
        "cargo:rerun-if-changed={}",
        view.join("build-version").display()
    );
    let library = std::fs::canonicalize(view.join("lib/libtorch_cpu.so"))?;
    let folder = library.parent().ok_or("libtorch_cpu.so has no folder")?;
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
    Ok(())
}
