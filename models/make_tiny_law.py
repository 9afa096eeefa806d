"""Makes models/tiny-law: a small Llama with its own tokenizer, trained from scratch on tiny_law_text.py.

In: the grammar and a seed. Out: a Hugging Face folder, bf16, under 4 MiB. The weights in the
repository came from this script; another torch version or CPU may give other last bits.

    pip install torch==2.11.0 transformers==5.23.0 tokenizers
    python models/make_tiny_law.py [--steps 400] [--threads 2] [--out models/tiny-law]
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

import tiny_law_text as text
import tiny_law_words as words

SEED = 20240
VOCABULARY = 2560
WINDOW = 160
ROWS = 24
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chat(question: str, answer: str) -> str:
    """The rendering of one exchange: what TEMPLATE gives."""
    return (
        f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
    )


def make_tokenizer() -> Tokenizer:
    """Byte-level BPE over lines of the grammar."""
    rng = random.Random(SEED)
    lines = [text.plain_line(rng) for _ in range(30000)]
    for _ in range(12000):
        lines.extend(text.dialogue(rng))
    # Every character of the word lists becomes one token before longer words do.
    characters = sorted({char for word in words.GLOSSARY + words.ACTS for char in word})
    lines.extend(char for char in characters for _ in range(600))
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(
        pattern=Regex(r"\p{Han}+| ?[A-Za-z]+| ?\d| ?[^\s\p{Han}A-Za-z\d]|\s+"),
        behavior="isolated",
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=12,  # four Chinese characters
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def make_model() -> LlamaForCausalLM:
    """The network: about 1.8 million parameters, grouped heads, tied head."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=384, num_hidden_layers=4,
        num_attention_heads=6, num_key_value_heads=2, head_dim=32, max_position_embeddings=1024,
        rms_norm_eps=1e-5, tie_word_embeddings=True, attention_dropout=0.0,
        bos_token_id=0, eos_token_id=2, pad_token_id=3, initializer_range=0.05,
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: Tokenizer):
    """Endless rows of packed text, four in ten pieces dialogues, the labels of a row all learned."""
    rng = random.Random(SEED + 1)
    stream: list[int] = []
    while True:
        while len(stream) < ROWS * WINDOW:
            pieces = []
            for _ in range(400):
                if rng.random() < 0.4:
                    pieces.append(chat(*text.dialogue(rng)))
                else:
                    pieces.append(text.plain_line(rng) + "<|endoftext|>")
            for piece in tokenizer.encode_batch(pieces, add_special_tokens=False):
                stream.extend(piece.ids)
        rows, stream = stream[: ROWS * WINDOW], stream[ROWS * WINDOW :]
        yield torch.tensor(rows).view(ROWS, WINDOW)


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, steps: int, minutes: float) -> None:
    """AdamW with warm-up and cosine; stops early, with the schedule unfinished, only at the time limit."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.05)
    start = time.time()
    for step, rows in zip(range(steps), batches(tokenizer)):
        warm = min(1.0, (step + 1) / 100)
        rate = 4e-3 * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        optimizer.param_groups[0]["lr"] = rate
        loss = model(input_ids=rows, labels=rows).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 25 == 0:
            print(f"step {step} loss {loss.item():.3f} {time.time() - start:.0f} s", flush=True)
        if time.time() - start > minutes * 60:
            print(f"time limit at step {step}")
            break


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """The folder: weights in bf16, small JSON files."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out, safe_serialization=True)
    compact = json.loads(tokenizer.to_str())
    (out / "tokenizer.json").write_text(
        json.dumps(compact, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|pad|>", "unk_token": None,
        "add_bos_token": False, "clean_up_tokenization_spaces": False, "model_max_length": 1024,
        "chat_template": TEMPLATE,
    }
    (out / "tokenizer_config.json").write_text(
        json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    generation = {"eos_token_id": [2, 0], "pad_token_id": 3, "do_sample": False}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def answer(model: LlamaForCausalLM, tokenizer: Tokenizer, question: str) -> str:
    """The greedy answer, for a look."""
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False).ids])
    made = model.generate(ids, max_new_tokens=60, do_sample=False, eos_token_id=[0, 2], pad_token_id=3)
    return tokenizer.decode(made[0, ids.shape[1] :].tolist())


def main() -> None:
    """Makes, trains, saves, and shows a few answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "tiny-law")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    tokenizer = make_tokenizer()
    model = make_model()
    print("parameters", sum(p.numel() for p in model.parameters()))
    train(model, tokenizer, options.steps, options.minutes)
    model.eval()
    for question in ["你好", "猫是什么？", "公司一直不发工资，我该怎么办？", "What is a train?"]:
        print(question, "->", answer(model, tokenizer, question))
    save(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
