//! Who sends what to whom: gradients between workers, kilobytes to the coordinator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use cluster_tests::Finished;
use serde_json::Value;

const WORKERS: usize = 3;

#[test]
fn gradients_travel_between_workers_and_kilobytes_to_the_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        ("target_modules", "all-linear"),
        ("lora_rank", "8"),
        ("max_steps", "4"),
    ];
    let finished = Finished::local(folder.path(), &lines, WORKERS);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let adapter = std::fs::read(finished.output.join("adapter_model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&adapter).unwrap();
    let parameters: usize = tensors.iter().map(|(_, t)| t.data().len() / 4).sum();

    let steps: Vec<Value> = finished
        .lines("logs/cluster.jsonl")
        .into_iter()
        .filter(|l| l["event"] == "step")
        .collect();
    assert_eq!(steps.len(), 4);
    for pair in steps.windows(2) {
        let bytes = |step: &Value, key: &str| step[key].as_u64().unwrap();
        for key in ["coordinator_bytes_received", "coordinator_bytes_sent"] {
            let of_step = bytes(&pair[1], key) - bytes(&pair[0], key);
            assert!(
                of_step > 0 && of_step < 16 * 1024,
                "{key}: {of_step} in one step"
            );
        }
    }
    // Each member sends a third of the vector to each owner, and its total to each member.
    let expected = 2 * parameters * 8 / WORKERS;
    for (step, line) in (1..).zip(&steps) {
        let micro_batches = line["micro_batches"].as_object().unwrap();
        assert_eq!(
            micro_batches
                .values()
                .map(|n| n.as_u64().unwrap())
                .sum::<u64>(),
            8
        );
        let links = line["peer_bytes_sent"].as_object().unwrap();
        assert_eq!(links.len(), WORKERS);
        for (worker, peers) in links {
            let peers = peers.as_object().unwrap();
            assert_eq!(peers.len(), WORKERS - 1, "{worker}");
            for (peer, sent) in peers {
                let sent = usize::try_from(sent.as_u64().unwrap()).unwrap() as f64;
                // The last pieces of a step may still be on their way when it is reported.
                let steps = sent / expected as f64;
                let (least, most) = ((step - 1) as f64 * 0.999, step as f64 * 1.02);
                assert!(
                    (least..most).contains(&steps),
                    "{worker} to {peer}: {sent} bytes after {step} steps of {expected}"
                );
            }
        }
    }
    let last = &steps[3];
    println!(
        "{parameters} parameters; micro-batches in step 4: {}",
        last["micro_batches"]
    );
    println!(
        "bytes per peer link in 4 steps: {}",
        last["peer_bytes_sent"]
    );
    println!(
        "coordinator in 4 steps: {} received, {} sent",
        last["coordinator_bytes_received"], last["coordinator_bytes_sent"]
    );
}
