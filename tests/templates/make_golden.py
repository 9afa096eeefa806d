"""Writes tests/golden/data/views.json: rows of our own templates, from transformers' renderings (see battery.py)."""

import json
import pathlib
import tempfile

import battery
import own

OUT = pathlib.Path(__file__).parent.parent / "golden" / "data" / "views.json"


def main():
    templates = []
    for name, source in own.TEMPLATES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            special = battery.folder_of(source, folder)
            reference = battery.Reference(folder, special)
            vocabulary = reference.tokenizer.get_vocab()
            reference.tokenizer.all_special_ids_of_file = {vocabulary[token] for token in special}
            cases = []
            for title, conversation in own.CONVERSATIONS.items():
                try:
                    rows = reference.rows(conversation)
                    rows = [{"ids": ids, "learned": "".join(map(str, learned))} for ids, learned in rows]
                    cases.append({"name": title, "rows": rows})
                except battery.Refused as refused:
                    cases.append({"name": title, "refused": str(refused).split(":")[0]})
            templates.append(
                {
                    "name": name,
                    "template": source,
                    "tokenizer": json.loads((folder / "tokenizer.json").read_text()),
                    "config": json.loads((folder / "tokenizer_config.json").read_text()),
                    "cases": cases,
                }
            )
    golden = {"conversations": own.CONVERSATIONS, "templates": templates}
    OUT.write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")
    for template in templates:
        refused = sum("refused" in case for case in template["cases"])
        several = sum(len(case.get("rows", [])) > 1 for case in template["cases"])
        print(f"{template['name']}: {len(template['cases'])} cases, {refused} refused, {several} of several rows")


if __name__ == "__main__":
    main()
