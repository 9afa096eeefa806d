//! Points the programs and tests of this crate at the real torch/lib, and compiles the C++ shim.
//!
//! The loader does not resolve the view folder's links, and libtorch finds its own companions
//! relative to where it really lies.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=cshim");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir("cshim")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cpp") {
            sources.push(path);
        }
    }
    // One order on every machine, for the same library.
    sources.sort();
    let view = PathBuf::from(std::env::var("LIBTORCH")?);
    // The set-up writes this file anew whenever the view changes.
    println!(
        "cargo:rerun-if-changed={}",
        view.join("build-version").display()
    );
    let library = std::fs::canonicalize(view.join("lib/libtorch_cpu.so"))?;
    let folder = library.parent().ok_or("libtorch_cpu.so has no folder")?;
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());

    let include = view.join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        // libtorch's headers warn a lot; ours are few lines.
        .flag("-isystem")
        .flag(include.display().to_string())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").display().to_string())
        .flag("-Wall")
        .flag("-Wextra")
        // A product and a sum are rounded one after the other on every processor.
        .flag("-ffp-contract=off")
        .files(sources)
        .try_compile("lora_shim")?;
    println!(
        "cargo:rustc-link-search=native={}",
        view.join("lib").display()
    );
    println!("cargo:rustc-link-lib=dylib=torch_cpu");
    println!("cargo:rustc-link-lib=dylib=c10");
    Ok(())
}
