//! Mistakes between the processes.

use std::net::TcpListener;
use std::path::Path;

use cluster_tests::{Run, skipped};
use shared::net::session_endpoint;
use shared::security::PLAIN;
use shared::wire::message::{Envelope, FromWorker, Hello, PROTOCOL, ToWorker};
use shared::wire::session::session_client::SessionClient;

use crate::scene::{Scene, refused};

#[test]
fn a_port_in_use_is_named() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut outcome = Scene::new().up(&[], &["--listen", &address]);
    outcome.message = outcome.message.replace(&address, "[address]");
    refused!(outcome, 5);
}

#[test]
fn cuda_without_a_gpu_names_the_alternative() {
    if Path::new("/dev/nvidiactl").exists() {
        skipped("this machine has a GPU");
        return;
    }
    let scene = Scene::new();
    let config = Run::config(scene.path(), &[("device", "cuda")]);
    let finished = Run::start(scene.path(), &config, &["--local-workers", "1"]).finish();
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let error = finished.events("error")[0];
    assert_eq!(error["code"], "E0401");
    let said = scene.anonymous(&finished.stderr);
    let message = &said[said.rfind("E0401").unwrap()..];
    assert_eq!(said.matches("\nE0401").count(), 1, "said once: {said}");
    insta::with_settings!({filters => [("  libtorch_cuda.so .*", "  [the loader's reason]")]}, {
        insta::assert_snapshot!(message);
    });
    assert!(!finished.output.join("adapter_model.safetensors").exists());
}

#[test]
fn an_openmp_that_gives_one_thread_is_refused() {
    let output = cluster_tests::worker()
        .args(["generate", "--base", "nowhere", "--prompt", "hello"])
        .env("OMP_THREAD_LIMIT", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn a_worker_with_another_base_model_is_refused() {
    let scene = Scene::new();
    let config = Run::config(scene.path(), &[]);
    let other = scene.base();
    let file = other.join("config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n")).unwrap();
    let run = Run::start(scene.path(), &config, &["--wait-workers", "2"]);
    let (code, said) = run
        .worker(&["--base-model", &other.display().to_string()])
        .finish();
    assert_eq!(code, Some(2), "{said}");
    let said = scene.anonymous(&said);
    insta::with_settings!({filters => [("[0-9a-f]{64}", "[digest]")]}, {
        insta::assert_snapshot!(said);
    });
}

#[test]
fn a_device_that_contradicts_the_configuration_is_refused() {
    let scene = Scene::new();
    let config = Run::config(scene.path(), &[("device", "cpu")]);
    let run = Run::start(scene.path(), &config, &["--wait-workers", "2"]);
    let (code, said) = run.worker(&["--device", "cuda:0"]).finish();
    assert_eq!(code, Some(2), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn a_worker_of_another_version_is_refused_in_words() {
    let scene = Scene::new();
    let config = Run::config(scene.path(), &[]);
    let run = Run::start(scene.path(), &config, &["--wait-workers", "2"]);
    let hello = Hello {
        version: "0.0.0".into(),
        protocol: PROTOCOL,
        ..Hello::default()
    };
    let first = Envelope {
        identity: Default::default(),
        body: FromWorker::Hello(hello),
    };
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let endpoint = session_endpoint(&PLAIN, &run.address).unwrap();
        let mut client = SessionClient::new(endpoint.connect().await.unwrap());
        let first = tokio_stream::iter([first.into()]);
        let mut answers = client.open(first).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap()
    });
    let answer = Envelope::<ToWorker>::try_from(answer).unwrap();
    let ToWorker::Refused(error) = answer.body else {
        panic!("not refused: {answer:?}")
    };
    // The words are looked at; which protocol is the newest is said in one place.
    let said = format!("the worker speaks protocol {PROTOCOL}, the coordinator {PROTOCOL}");
    let shown = shared::error::render(&error).replace(&said, "(both protocols)");
    insta::assert_snapshot!(shown);
    assert_eq!(error.exit_code() as u8, 2);
}

#[test]
fn a_second_coordinator_in_the_same_output_folder_is_refused() {
    let scene = Scene::new();
    let config = Run::config(scene.path(), &[]);
    let mut run = Run::start(scene.path(), &config, &["--wait-workers", "2"]);
    // It has nothing more to write down until somebody comes.
    run.told("0 of 2 ready");
    let outcome = scene.up_file(&config, &[]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.message);
    insta::with_settings!({filters => [(r"process \d+", "process [id]")]}, {
        insta::assert_snapshot!(outcome.message);
    });
}
