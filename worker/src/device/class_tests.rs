//! What is in a device class, from facts of machines that are not here.

use super::*;

fn cpu(cpuinfo: &str) -> Facts {
    Facts {
        hardware: Hardware::Cpu {
            arch: "x86_64",
            capability: "AVX512".into(),
            cpuinfo: cpuinfo.into(),
        },
        torch: Some("2.11.0".into()),
        torch_bytes: Some(441_094_233),
        mkl: Some("2024.2.0".into()),
        program: "1.2.3",
    }
}

fn arm(cpuinfo: &str) -> Facts {
    let mut facts = cpu(cpuinfo);
    facts.hardware = Hardware::Cpu {
        arch: "aarch64",
        capability: "SVE256".into(),
        cpuinfo: cpuinfo.into(),
    };
    facts.mkl = None;
    facts
}

fn gpu(processors: i32, libraries: &[&str]) -> Facts {
    let mut facts = cpu("");
    facts.hardware = Hardware::Cuda {
        model: Some(Gpu {
            name: "NVIDIA H200".into(),
            capability: (9, 0),
            processors,
        }),
        driver: Some("570.86.15".into()),
        libraries: libraries.iter().map(|l| (*l).to_owned()).collect(),
    };
    facts
}

fn unset(_: &str) -> Option<String> {
    None
}

const EPYC: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
    model name\t: AMD EPYC 9B14\n\nprocessor\t: 1\nvendor_id\t: other\n";
const GRAVITON: &str = "processor\t: 0\nBogoMIPS\t: 2100.00\nCPU implementer\t: 0x41\n\
    CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: 0xd40\nCPU revision\t: 1\n";

#[test]
fn the_class_of_a_processor_names_kernels_model_libraries_and_program() {
    assert_eq!(
        class_of(&cpu(EPYC), unset),
        "cpu x86_64 AVX512 AuthenticAMD/25/17 torch-2.11.0/441094233 mkl-2024.2.0 worker-1.2.3"
    );
}

#[test]
fn two_arm_processors_are_two_classes() {
    let class = class_of(&arm(GRAVITON), unset);
    assert_eq!(
        class,
        "cpu aarch64 SVE256 0x41/8/0x1/0xd40/1 torch-2.11.0/441094233 worker-1.2.3"
    );
    for (from, to) in [
        ("0x41", "0x61"),
        (": 8", ": 9"),
        ("0x1\n", "0x2\n"),
        ("0xd40", "0xd4f"),
        ("revision\t: 1", "revision\t: 0"),
    ] {
        let other = GRAVITON.replace(from, to);
        assert_ne!(class_of(&arm(&other), unset), class, "{from} as {to}");
    }
}

#[test]
fn every_kind_of_core_of_an_arm_processor_is_named_once() {
    let little = GRAVITON.replace("0xd40", "0xd05");
    let class = class_of(&arm(&[GRAVITON, &little, GRAVITON].join("\n")), unset);
    assert!(
        class.contains(" 0x41/8/0x1/0xd05/1+0x41/8/0x1/0xd40/1 "),
        "{class}"
    );
}

#[test]
fn a_gpu_a_part_of_it_and_another_cublas_are_three_classes() {
    let whole = class_of(&gpu(132, &["cublas-13.1.0", "cudnn-9.15.1"]), unset);
    assert_eq!(
        whole,
        "cuda NVIDIA H200 sm90 x132 driver-570.86.15 torch-2.11.0/441094233 cublas-13.1.0 \
         cudnn-9.15.1 worker-1.2.3"
    );
    let part = class_of(&gpu(16, &["cublas-13.1.0", "cudnn-9.15.1"]), unset);
    let newer = class_of(&gpu(132, &["cublas-13.1.1", "cudnn-9.15.1"]), unset);
    assert!(whole != part && whole != newer && part != newer);
}

#[test]
fn an_upgrade_of_program_or_library_is_another_class() {
    let class = class_of(&cpu(EPYC), unset);
    let changes: [fn(&mut Facts); 4] = [
        |facts| facts.program = "1.2.4",
        |facts| facts.torch = Some("2.11.1".into()),
        |facts| facts.torch_bytes = Some(441_094_234),
        |facts| facts.mkl = None,
    ];
    for change in changes {
        let mut facts = cpu(EPYC);
        change(&mut facts);
        assert_ne!(class_of(&facts, unset), class);
    }
}

#[test]
fn a_variable_that_changes_bits_is_part_of_the_class() {
    for (facts, names) in [(cpu(EPYC), ON_CPU), (gpu(132, &[]), ON_CUDA)] {
        for name in names {
            let set = |asked: &str| (asked == *name).then(|| "other".to_owned());
            let class = class_of(&facts, set);
            assert!(class.ends_with(&format!(" {name}=other")), "{class}");
        }
    }
}

#[test]
fn the_workspace_that_this_program_sets_itself_is_not_named() {
    let of = |value: &'static str| {
        class_of(&gpu(132, &[]), |name| {
            (name == CUBLAS_WORKSPACE.0).then(|| value.to_owned())
        })
    };
    assert_eq!(of(CUBLAS_WORKSPACE.1), class_of(&gpu(132, &[]), unset));
    assert!(of(":16:8").ends_with("CUBLAS_WORKSPACE_CONFIG=:16:8"));
}

#[test]
fn the_class_of_this_machine_knows_which_libtorch_was_loaded() {
    let class = device_class(Device::Cpu).unwrap();
    assert!(
        class.starts_with("cpu ") && class.contains(concat!(" worker-", env!("CARGO_PKG_VERSION"))),
        "{class}"
    );
    let torch = class.split(' ').find(|word| word.starts_with("torch-"));
    assert!(
        torch.is_some_and(|torch| torch.starts_with("torch-2.") && !torch.contains("unknown")),
        "{class}"
    );
    assert_eq!(class, device_class(Device::Cpu).unwrap());
}
