"""Personal data in labelled sentences: what the coordinator finds, and what others find, in one run.

Chinese names are held against `jieba.posseg` (words tagged nr, nrt and nrfg), everything in English and the other
kinds of both languages against `presidio-analyzer` with a spaCy model for English. Needs a Python with jieba,
presidio-analyzer and a package of `en_core_web_sm`; its name is given with --model.

A mark is found when a finding of its kind has the same ends; of an address, when it lies inside one. For the others
a title at the end of a name is cut off first, and neighbouring places are joined to one address: that favours them.
With --redrawn names are replaced by names drawn from the package faker, which whoever wrote the rules never chose.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import time

HERE = pathlib.Path(__file__).parent
MARK = re.compile(r"\{([A-Z]+):([^}]*)\}|([^{]+)")
TITLES = "先生|女士|小姐|律师|医生|大夫|主任|法官|老师|教授|同学|经理|师傅|护士"
# A kind of presidio's, and ours.
ENTITIES = {
    "PERSON": "NAME",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "US_PASSPORT": "PASSPORT",
    "MEDICAL_LICENSE": "RECORD",
    "US_SSN": "ID",
    "LOCATION": "ADDRESS",
}


def sentences(path):
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith("#"):
            language, marked = line.split("\t")
            text, marks = "", []
            for kind, value, plain in MARK.findall(marked):
                if kind:
                    marks.append((kind, len(text), len(text) + len(value)))
                text += value or plain
            yield language, text, marks


def redrawn(path, seed):
    """The same sentences with other names: full ones are drawn anew, parts of names stay."""
    from faker import Faker

    Faker.seed(seed)
    draw = random.Random(seed)
    chinese = Faker("zh_CN")
    locales = ["en_US", "en_GB", "en_IN", "de_DE", "fr_FR", "es_MX", "it_IT", "en_NZ", "pl_PL", "en_NG", "en_KE"]
    locales = [name for name in locales if is_locale(name)]
    others = [Faker(name) for name in locales]

    def other(match):
        value = match[1]
        if re.fullmatch(r"[\u4e00-\u9fff]{3,4}", value):
            return "{NAME:%s}" % chinese.name()
        if re.fullmatch(r"[A-Z][\w'-]+ [A-Z][\w'-]+", value):
            faker = draw.choice(others)
            return "{NAME:%s %s}" % (faker.first_name(), faker.last_name())
        return match[0]

    lines = path.read_text(encoding="utf-8").split("\n")
    out = path.with_name("redrawn.txt")
    head = "# The sentences of heldout.txt with names drawn from the package faker. All of it is invented.\n"
    kept = [line for line in lines if line and not line.startswith("#")]
    out.write_text(head + "\n".join(re.sub(r"\{NAME:([^}]*)\}", other, line) for line in kept) + "\n", encoding="utf-8")
    return out


def is_locale(name):
    from faker.config import AVAILABLE_LOCALES

    return name in AVAILABLE_LOCALES


def ours(program, texts):
    ran = subprocess.run([program], input="\n".join(texts) + "\n", capture_output=True, text=True, check=True)
    found = [[tuple(f) for f in json.loads(line)] for line in ran.stdout.split("\n") if line]
    return found, json.loads(ran.stderr.strip().split("\n")[-1])


def by_jieba(texts):
    import jieba.posseg

    list(jieba.posseg.cut("预热"))
    start, found = time.perf_counter(), []
    for text in texts:
        at, names = 0, []
        for word, flag in jieba.posseg.cut(text):
            if flag in ("nr", "nrt", "nrfg"):
                if names and names[-1][2] == at:
                    names[-1] = ("NAME", names[-1][1], at + len(word))
                else:
                    names.append(("NAME", at, at + len(word)))
            at += len(word)
        found.append([trimmed(text, name) for name in names])
    return found, time.perf_counter() - start


def trimmed(text, name):
    kind, start, end = name
    title = re.search(f"(?:{TITLES})$", text[start:end])
    return (kind, start, end - len(title[0])) if title else name


def by_presidio(model, texts):
    import logging

    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    models = [{"lang_code": "en", "model_name": model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    start, found = time.perf_counter(), []
    for text in texts:
        results = sorted(analyzer.analyze(text=text, language="en"), key=lambda r: r.start)
        spans = [(ENTITIES[r.entity_type], r.start, r.end) for r in results if r.entity_type in ENTITIES]
        found.append(joined(text, spans))
    return found, time.perf_counter() - start


def joined(text, spans):
    """Places next to one another, with nothing but commas, spaces and numbers between, as one address."""
    out = []
    for kind, start, end in spans:
        if kind == "NAME":
            end -= len(re.search(r"(?:'s|’s)?$", text[start:end])[0])
        if kind == "ADDRESS" and out and out[-1][0] == kind and re.fullmatch(r"[\s,0-9]*", text[out[-1][2] : start]):
            out[-1] = (kind, out[-1][1], end)
        else:
            out.append((kind, start, end))
    return out


def fits(kind, mark, span):
    return mark == span or (kind == "ADDRESS" and span[0] <= mark[0] and mark[1] <= span[1])


def score(rows, found):
    scores = {}
    for (language, _, marks), findings in zip(rows, found):
        for kind, start, end in marks:
            hit = any(k == kind and fits(kind, (start, end), (s, e)) for k, s, e in findings)
            line = scores.setdefault((language, kind), [0, 0, 0, 0])
            line[0] += 1
            line[1] += hit
        for kind, start, end in findings:
            right = any(k == kind and fits(kind, (s, e), (start, end)) for k, s, e in marks)
            line = scores.setdefault((language, kind), [0, 0, 0, 0])
            line[2 if right else 3] += 1
    return scores


def ratio(part, whole):
    return f"{part / whole:.3f}" if whole else "-"


def shown(line):
    marked, found, right, wrong = line
    return f"{ratio(found, marked)} | {ratio(right, right + wrong)}"


def table(rows, args):
    texts = [text for _, text, _ in rows]
    found, speed = ours(args.program, texts)
    own = score(rows, found)
    names, jieba_seconds = by_jieba([t for l, t, _ in rows if l == "zh"])
    peer = score([r for r in rows if r[0] == "zh"], names)
    others, presidio_seconds = by_presidio(args.model, texts)
    for key, line in score(rows, others).items():
        if key != ("zh", "NAME"):
            peer[key] = line
    print("| | kind | marked | ours: recall | precision | peer: recall | precision | peer |\n|---|---|---|---|---|---|---|---|")
    for key in sorted(set(own) | {key for key in peer if key[1] in ENTITIES.values()}):
        line, other = own.get(key, [0, 0, 0, 0]), peer.get(key, [0, 0, 0, 0])
        other[0] = other[0] or line[0]
        if line[0] == 0 and line[3] == 0 and other[3] == 0:
            continue
        name = "jieba" if key == ("zh", "NAME") else "presidio"
        print(f"| {key[0]} | {key[1]} | {line[0]} | {shown(line)} | {shown(other)} | {name} |")
    print(f"\nours {speed}, jieba {jieba_seconds:.2f} s for the Chinese, presidio {presidio_seconds:.2f} s for all\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the built example find_personal_data")
    parser.add_argument("--model", default="en_core_web_sm")
    parser.add_argument("--redrawn", type=int, help="a seed: draw the names of the sentences anew and write redrawn.txt")
    args = parser.parse_args()
    if args.redrawn is not None:
        redrawn(HERE / "heldout.txt", args.redrawn)
    for name in ["heldout.txt", "redrawn.txt"]:
        print(name)
        table(list(sentences(HERE / name)), args)


if __name__ == "__main__":
    main()
