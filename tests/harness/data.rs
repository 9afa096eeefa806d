//! Small training data of the tests' own.
//!
//! In: a folder. Out: what a configuration names as `train_data_dir`.

use std::path::Path;

use serde_json::json;

/// Twelve answers that say nothing about each other: they can only be learned by heart.
#[must_use]
pub fn by_heart(folder: &Path) -> String {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap_or_else(|e| panic!("{e}"));
    let answers = [
        "依据合同法。",
        "应当赔偿。",
        "可以起诉。",
        "不予支持。",
        "先行调解。",
        "申请仲裁。",
        "保存证据。",
        "及时报警。",
        "协商解决。",
        "依法解除。",
        "返还押金。",
        "补缴社保。",
    ];
    let rows: String = (0..12)
        .map(|i| {
            let row = json!({"messages": [
                {"role": "user", "content": format!("第{i}个问题怎么办？")},
                {"role": "assistant", "content": answers[i * 5 % 12]},
            ]});
            format!("{row}\n")
        })
        .collect();
    let file = data.join("train.jsonl");
    std::fs::write(&file, rows).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    data.display().to_string()
}

/// A run that learns them, is stopped by its patience, and whose best step is not its last.
pub const OVERFITS: &[(&str, &str)] = &[
    ("max_steps", "120"),
    ("learning_rate", "1e-2"),
    ("lora_rank", "16"),
    ("target_modules", "all-linear"),
    ("batch_size", "8"),
    ("save_steps", "1000"),
    ("save_total_limit", "1"),
    ("validation_split", "0.34"),
    ("eval_steps", "4"),
    ("early_stopping_patience", "3"),
];

/// Short rows, and one of about 3,500 tokens among them.
#[must_use]
pub fn one_long_row(folder: &Path) -> String {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap_or_else(|e| panic!("{e}"));
    let row = |question: usize, answer: String| {
        let row = json!({"messages": [
            {"role": "user", "content": format!("第{question}个问题怎么办？")},
            {"role": "assistant", "content": answer},
        ]});
        format!("{row}\n")
    };
    let clause = |i: usize| format!("第{i}条，应当按照约定履行；");
    let mut rows: String = (0..47).map(|i| row(i, clause(i * 7 % 47))).collect();
    rows.push_str(&row(47, (0..400).map(clause).collect()));
    let file = data.join("train.jsonl");
    std::fs::write(&file, rows).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    data.display().to_string()
}
