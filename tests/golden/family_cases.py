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

YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
LONG = dict(type="longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.0, 2.5, 6.0])
EXPERTS = dict(num_local_experts=4, num_experts_per_tok=2, intermediate_size=24)
QWEN_EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, head_dim=12)
GEMMA = dict(head_dim=12, query_pre_attn_scalar=20, tie_word_embeddings=True)


def one_tensor_for_all_experts(tensors):
    """The names of a checkpoint that holds a layer's experts as transformers computes them."""
    kept, counts = [], {}
    for name, shape in tensors:
        if ".experts." not in name:
            kept.append((name.replace(".block_sparse_moe.", ".mlp."), shape))
            continue
        layer, rest = name.split(".block_sparse_moe.experts.")
        number, part = rest.split(".", 1)
        counts.setdefault(layer, {}).setdefault(part, []).append(shape)
    for layer, parts in counts.items():
        count = len(parts["w1.weight"])
        inner, hidden = parts["w1.weight"][0]
        kept.append((f"{layer}.mlp.experts.gate_up_proj", [count, 2 * inner, hidden]))
        kept.append((f"{layer}.mlp.experts.down_proj", [count, hidden, inner]))
    return kept


# Each is stored twice: as `families/<name>` in f32 and as `families/<name>_bf16`.
FAMILIES = {
    # config.json as before transformers 5, in a file of two parts, in f16, the head tied.
    "llama_old_layout": case(
        "llama", dict(tie_word_embeddings=True, rope_parameters={**LLAMA3_SCALING, "rope_theta": 50000.0}),
        dict(target_modules="all-linear"), stored="fp16", shards=2,
        written=dict(rope_parameters=None, rope_theta=50000.0, rope_scaling=LLAMA3_SCALING,
                     dtype=None, torch_dtype="float16")),
    # Samples longer than the model was made for, all of one length: the reference remembers the longest.
    "llama_dynamic": case(
        "llama", dict(max_position_embeddings=16,
                      rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0, factor=2.0)),
        dict(target_modules=["q_proj", "k_proj"], batch_size=1), lengths=[24, 24, 10, 24, 24, 12, 24, 24]),
    # A window shorter than the samples.
    "mistral_window": case("mistral", dict(sliding_window=6), dict(target_modules=["q_proj", "o_proj"])),
    # A window that is there and switched off; some samples are longer than it.
    "qwen2_window_off": case(
        "qwen2", dict(rope_parameters=YARN), dict(target_modules=["q_proj", "down_proj"]),
        written=dict(use_sliding_window=False, sliding_window=6, max_window_layers=1, layer_types=None)),
    # The same, switched on from the second layer on.
    "qwen2_window_on": case(
        "qwen2", dict(use_sliding_window=True, sliding_window=6, max_window_layers=1),
        dict(target_modules=["k_proj", "up_proj"])),
    "qwen3": case("qwen3", dict(head_dim=12, tie_word_embeddings=True),
                  dict(target_modules=["q_proj", "k_proj", "o_proj"])),
    # One layer with a window, one without; both soft caps bite.
    "gemma2": case(
        "gemma2", dict(**GEMMA, sliding_window=6, attn_logit_softcapping=3.0, final_logit_softcapping=8.0),
        dict(target_modules=["q_proj", "v_proj", "gate_proj"]), attention="eager"),
    # Rotary positions of their own with a window and without one, there stretched.
    "gemma3": case(
        "gemma3_text", dict(
            **GEMMA, sliding_window=6, layer_types=["sliding_attention", "full_attention"],
            rope_parameters=dict(
                full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
        dict(target_modules=["q_proj", "o_proj", "down_proj"])),
    # The same model as older checkpoints spell it.
    "gemma3_old_layout": case(
        "gemma3_text", dict(
            **GEMMA, sliding_window=6, layer_types=["sliding_attention", "full_attention"],
            rope_parameters=dict(
                full_attention=dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                sliding_attention=dict(rope_type="default", rope_theta=10000.0))),
        dict(target_modules=["v_proj", "up_proj"]),
        written=dict(rope_parameters=None, rope_theta=1000000.0, rope_local_base_freq=10000.0,
                     rope_scaling=dict(rope_type="linear", factor=8.0), layer_types=None,
                     sliding_window_pattern=2, _sliding_window_pattern=None, tie_word_embeddings=None)),
    # Three of four pairs of a head are turned; samples on both sides of the original length.
    "phi3_longrope": case(
        "phi3", dict(original_max_position_embeddings=12, rope_theta=10000.0, partial_rotary_factor=0.75,
                     rope_scaling=LONG),
        dict(target_modules="all-linear", batch_size=1)),
    "phi3_window": case("phi3", dict(sliding_window=6), dict(target_modules=["qkv_proj", "gate_up_proj"])),
    "mixtral": case("mixtral", EXPERTS, dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])),
    "mixtral_one_tensor": case("mixtral", {**EXPERTS, "sliding_window": 6},
                               dict(target_modules=["q_proj", "o_proj"]), layout=one_tensor_for_all_experts),
    # PEFT takes `all-linear` and names of the MLP as parameters of experts too: attention only.
    # The second layer has experts, the first has none.
    "qwen3_moe": case("qwen3_moe", {**QWEN_EXPERTS, "norm_topk_prob": True, "decoder_sparse_step": 2},
                      dict(target_modules=["q_proj", "v_proj"])),
    "qwen3_moe_unnormed": case("qwen3_moe", QWEN_EXPERTS, dict(target_modules=["q_proj", "k_proj", "o_proj"])),
    # No rotary positions in the second layer, which has a window for that; all defaults are the family's.
    "smollm3": case(
        "smollm3", dict(no_rope_layer_interval=2, use_sliding_window=True, sliding_window=6),
        dict(target_modules=["q_proj", "k_proj", "down_proj"]),
        written=dict(no_rope_layers=None, layer_types=None, rope_parameters=None, tie_word_embeddings=None)),
    # The same by lists: here the layer without rotary positions is the one without a window. With biases.
    "smollm3_lists": case(
        "smollm3", dict(
            no_rope_layers=[0, 1], layer_types=["full_attention", "sliding_attention"], use_sliding_window=True,
            sliding_window=6, attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
        dict(target_modules=["v_proj", "o_proj", "up_proj"])),
}

FAMILY_CASES = {}
for name, family in FAMILIES.items():
    FAMILY_CASES[f"families/{name}"] = family
    FAMILY_CASES[f"families/{name}_bf16"] = {
        **family, "precision": "bf16", "rows_of": f"families/{name}"}
