//! First values: drawn, and read from a folder.

use shared::config::{AdapterKind, BiasMode, TargetModules};
use shared::model::{AdapterShape, Part};

use super::*;

const MODULE: &str = "model.layers.0.self_attn.q_proj";

fn layout() -> AdapterLayout {
    let tensor = |end: &str, shape: [usize; 2], role| AdapterTensor {
        key: format!("base_model.model.{MODULE}.{end}.weight"),
        shape: shape.to_vec(),
        module: MODULE.into(),
        part: Part::Layer(0),
        role,
    };
    AdapterLayout::new(&AdapterShape {
        tensors: vec![
            tensor("lora_A", [2, 8], Role::LoraA),
            tensor("lora_B", [4, 2], Role::LoraB),
        ],
        adapted: Vec::new(),
    })
}

fn spec() -> AdapterSpec {
    AdapterSpec {
        kind: AdapterKind::Lora,
        use_dora: false,
        rank: 2,
        alpha: 4.0,
        use_rslora: false,
        rank_pattern: Vec::new(),
        alpha_pattern: Vec::new(),
        targets: TargetModules::Names(vec!["q_proj".into()]),
        layers: None,
        modules_to_save: Vec::new(),
        bias: BiasMode::None,
        feedforward: None,
    }
}

fn on_disk() -> PeftAdapter {
    let layout = layout();
    let tensors = layout
        .tensors
        .iter()
        .map(|t| (t.key.clone(), (t.shape.clone(), vec![0.5; t.elements()])));
    PeftAdapter {
        spec: spec(),
        tensors: tensors.collect(),
        file: "a".into(),
    }
}

#[test]
fn an_adapter_that_fits_is_taken_whole() {
    let values = from_peft(&on_disk(), &layout(), &spec()).unwrap();
    assert_eq!(values, vec![0.5; layout().len()]);
}

#[test]
fn an_adapter_that_does_not_fit_is_refused() {
    let code = |change: fn(&mut PeftAdapter)| {
        let mut adapter = on_disk();
        change(&mut adapter);
        from_peft(&adapter, &layout(), &spec()).unwrap_err().code
    };
    assert_eq!(code(|a| a.spec.rank = 4), Code::BadInitAdapter);
    assert_eq!(code(|a| a.spec.alpha = 2.0), Code::BadInitAdapter);
    assert_eq!(code(|a| a.spec.use_dora = true), Code::BadInitAdapter);
    assert_eq!(
        code(|a| a.spec.kind = AdapterKind::Ia3),
        Code::BadInitAdapter
    );
    assert_eq!(
        code(|a| a.spec.rank_pattern = vec![("q_proj".into(), 1)]),
        Code::BadInitAdapter
    );
    assert_eq!(code(|a| drop(a.tensors.pop_first())), Code::BadInitAdapter);
    assert_eq!(
        code(|a| drop(a.tensors.insert("more".into(), (vec![1], vec![0.0])))),
        Code::BadInitAdapter
    );
    assert_eq!(
        code(|a| a.tensors.values_mut().for_each(|t| t.0 = vec![1, 16])),
        Code::BadInitAdapter
    );
}

#[test]
fn a_saved_embedding_beside_its_pair_is_no_stranger() {
    let mut adapter = on_disk();
    let key = "base_model.model.model.embed_tokens.base_layer.weight";
    adapter.tensors.insert(key.into(), (vec![1], vec![0.0]));
    assert!(from_peft(&adapter, &layout(), &spec()).is_ok());
}
