"""Golden cases of the model families, for make_golden.py: tiny models, few steps, each in f32 and bf16."""

SHAPE = dict(
    vocab_size=48, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
    pad_token_id=0,
)
RUN = dict(lora_rank=2, lora_alpha=4.0, epochs=1)


def case(model_type, model, config=None, **more):
    return dict(model_type=model_type, model={**SHAPE, **model}, rows=(8, 5, 18), labels="all",
                config={**RUN, **(config or {})}, **more)


LLAMA3_SCALING = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                      original_max_position_embeddings=16)

# Each is stored twice: as `families/<name>` in f32 and as `families/<name>_bf16`.
FAMILIES = {
    # config.json as before transformers 5, in a file of two parts, in f16, the head tied.
    "llama_old_layout": case(
        "llama", dict(tie_word_embeddings=True, rope_parameters={**LLAMA3_SCALING, "rope_theta": 50000.0}),
        dict(target_modules="all-linear"), stored="fp16", shards=2,
        written=dict(rope_parameters=None, rope_theta=50000.0, rope_scaling=LLAMA3_SCALING,
                     dtype=None, torch_dtype="float16")),
}

FAMILY_CASES = {}
for name, family in FAMILIES.items():
    FAMILY_CASES[f"families/{name}"] = family
    FAMILY_CASES[f"families/{name}_bf16"] = {
        **family, "precision": "bf16", "rows_of": f"families/{name}"}
