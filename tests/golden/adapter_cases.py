"""Golden cases of the kinds of adapter, for make_golden.py: one small Llama, each in f32 and bf16."""

from family_cases import RUN, SHAPE


def case(peft=None, config=None, model=None, **more):
    return dict(model_type="llama", model={**SHAPE, **(model or {})}, rows=(8, 5, 18), labels="all",
                config={**RUN, **(config or {})}, peft=peft or {}, **more)


BIASED = dict(attention_bias=True, mlp_bias=True)

# Each is stored twice: as `adapters/<name>` in f32 and as `adapters/<name>_bf16`.
ADAPTERS = {
    "dora": case(dict(use_dora=True)),
    "dora_biased_rslora": case(dict(use_dora=True), dict(use_rslora=True, target_modules=["q_proj", "down_proj"]),
                               BIASED),
    "ia3": case(dict(feedforward_modules=["down_proj"]),
                dict(target_modules=["k_proj", "v_proj", "down_proj"], learning_rate=5e-2),
                peft_class="IA3Config"),
    "ia3_biased": case(dict(feedforward_modules=["up_proj"]),
                       dict(target_modules=["q_proj", "o_proj", "up_proj"], learning_rate=5e-2), BIASED,
                       peft_class="IA3Config"),
    "patterns": case(dict(rank_pattern={"v_proj": 3, "0.self_attn.q_proj": 1}, alpha_pattern={"q_proj": 7})),
    "one_layer": case(dict(layers_to_transform=[1]), dict(target_modules=["k_proj", "gate_proj"])),
    "expression": case(None, dict(target_modules=r".*\.0\..*(q|down)_proj")),
    "gaussian": case(dict(init_lora_weights="gaussian")),
    "pissa": case(dict(init_lora_weights="pissa"), dict(learning_rate=1e-3)),
    "head_and_norms_whole": case(dict(modules_to_save=["lm_head", "norm", "input_layernorm"])),
    "embedding_and_linear_whole": case(dict(modules_to_save=["embed_tokens", "o_proj"]), None, BIASED),
    # Narrow, so that logits stay small: PEFT's whole modules learn in bf16, and its updates round.
    "tied_head_whole": case(dict(modules_to_save=["lm_head"]), None,
                            dict(tie_word_embeddings=True, hidden_size=8, num_attention_heads=2,
                                 num_key_value_heads=1)),
    "bias_of_adapted": case(dict(bias="lora_only"), None, BIASED),
    "bias_of_all": case(dict(bias="all"), dict(weight_decay=0.1), BIASED),
    "embedding_and_head": case(None, dict(target_modules=["embed_tokens", "q_proj", "lm_head"])),
    "loraplus": case(None, dict(loraplus_lr_ratio=16.0, weight_decay=0.1, learning_rate=2e-3)),
    "loraplus_embedding": case(None, dict(loraplus_lr_ratio=4.0, loraplus_lr_embedding=1e-3,
                                          target_modules=["embed_tokens", "v_proj"])),
}

ADAPTER_CASES = {}
for name, adapter in ADAPTERS.items():
    ADAPTER_CASES[f"adapters/{name}"] = adapter
    ADAPTER_CASES[f"adapters/{name}_bf16"] = {
        **adapter, "precision": "bf16", "rows_of": f"adapters/{name}"}
