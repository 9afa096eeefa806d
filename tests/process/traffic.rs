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
    let expected = (WORKERS - 1) * 2 * parameters * 8 / WORKERS;
    for line in &steps {
        let micro_batches = line["micro_batches"].as_object().unwrap();
        assert_eq!(
            micro_batches
                .values()
                .map(|n| n.as_u64().unwrap())
                .sum::<u64>(),
            8
        );
        let sent = line["bytes_sent"].as_object().unwrap();
        assert_eq!(sent.len(), WORKERS);
    }
    for worker in steps[0]["bytes_sent"].as_object().unwrap().keys() {
        let sent = steps
            .iter()
            .map(|l| l["bytes_sent"][worker].as_u64().unwrap());
        let sent = usize::try_from(sent.sum::<u64>()).unwrap() as f64;
        // The last pieces of a step may still be on their way when it is reported.
        let whole = sent / expected as f64;
        let (least, most) = ((steps.len() - 1) as f64 * 0.999, steps.len() as f64 * 1.02);
        assert!(
            (least..most).contains(&whole),
            "{worker}: {sent} bytes in {} steps of {expected}",
            steps.len()
        );
    }
    let last = &steps[3];
    println!(
        "{parameters} parameters; micro-batches in step 4: {}",
        last["micro_batches"]
    );
    println!(
        "bytes sent by each worker in step 4: {}",
        last["bytes_sent"]
    );
    println!(
        "coordinator in 4 steps: {} received, {} sent",
        last["coordinator_bytes_received"], last["coordinator_bytes_sent"]
    );
}
