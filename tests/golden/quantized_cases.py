"""Golden cases over a base model that bitsandbytes quantizes at load, for make_golden.py."""

import torch
from transformers import BitsAndBytesConfig

# Rows of a matrix are no multiple of a block: blocks run over their ends.
MODEL = dict(
    vocab_size=48, hidden_size=48, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=12, max_position_embeddings=128, rms_norm_eps=1e-5,
    tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
)


def nf4(double, compute=torch.float32):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                bnb_4bit_use_double_quant=double, bnb_4bit_compute_dtype=compute)
    return dict(quantization="nf4", quantization_double=double,
                load=dict(quantization_config=config, device_map="cpu"))


def int8():
    return dict(quantization="int8",
                load=dict(quantization_config=BitsAndBytesConfig(load_in_8bit=True), device_map="cpu"))


def case(**more):
    return dict(model=MODEL, rows=(12, 8, 20), labels="all", rows_of="quantized",
                config=dict(target_modules="all-linear", epochs=2), **more)


QUANTIZED_CASES = {
    "quantized/nf4": case(**nf4(True)),
    "quantized/nf4_single": case(**nf4(False)),
    "quantized/nf4_bf16": case(precision="bf16", **nf4(True, torch.bfloat16)),
    "quantized/int8": case(**int8()),
}
