#!/usr/bin/env python3
"""One small file for every form that the data room reads; see formats.rs and docs/reference/data.md.

Needs pyarrow. Compressed and Parquet files are made here, and so are the texts, so that all lie in
one place.
"""

import gzip
import json
import pathlib
import subprocess
import zipfile

import pyarrow
import pyarrow.ipc
import pyarrow.parquet

HERE = pathlib.Path(__file__).resolve().parent
ASKED = ["加班费怎么算？", "试用期多久？", "押金退吗？"]
ANSWERED = ["依据《劳动法》。", "最长六个月。", "应当退还。"]
PAIRS = list(zip(ASKED, ANSWERED))
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{\"no\": 3}"}}
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def text(name, content, encoding="utf-8"):
    (HERE / name).write_bytes(content.encode(encoding))


def lines(name, objects):
    text(name, "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects))


def dialogue(asks, answers, colon="："):
    return "".join(f"{asks}{colon}{q}\n{answers}{colon}{a}\n" for q, a in PAIRS)


def turns(pairs, role="role", content="content", user="user", assistant="assistant"):
    return [{role: who, content: said} for q, a in pairs for who, said in ((user, q), (assistant, a))]


def parquet(name, rows):
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, HERE / name, compression="zstd")


def arrow(name, rows):
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.OSFile(str(HERE / name), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def archive(name, parts):
    with zipfile.ZipFile(HERE / name, "w") as file:
        for path, content in parts.items():
            file.writestr(zipfile.ZipInfo(path), content)


def xlsx(name, sheets):
    """A workbook: each sheet a list of rows, a cell a text, a number with its style, or nothing."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"

    def cell(place, value):
        if value is None:
            return ""
        if isinstance(value, tuple):
            return f'<c r="{place}" s="{value[1]}"><v>{value[0]}</v></c>'
        if value.startswith("#"):
            return f'<c r="{place}" t="e"><v>{value}</v></c>'
        return f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'

    def sheet(rows, merged):
        body = "".join(
            f'<row r="{r}">' + "".join(cell(f"{'ABCDEFG'[c]}{r}", v) for c, v in enumerate(row)) + "</row>"
            for r, row in enumerate(rows, 1))
        merge = f'<mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>' if merged else ""
        return f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData>{merge}</worksheet>'

    numbers = range(1, len(sheets) + 1)
    overrides = "".join(f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{kind}.worksheet+xml"/>' for n in numbers)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/>{overrides}</Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in zip(numbers, sheets))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers)
        + f'<Relationship Id="r0" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><numFmts count="1"><numFmt numFmtId="164" formatCode="#,##0.00"/></numFmts>'
        '<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>'
        '<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="164" '
        'applyNumberFormat="1"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
    }
    for n, (rows, merged) in zip(numbers, sheets.values()):
        parts[f"xl/worksheets/sheet{n}.xml"] = sheet(rows, merged)
    archive(name, parts)


def ods(name, rows):
    text, table = "urn:oasis:names:tc:opendocument:xmlns:text:1.0", "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    mime = "application/vnd.oasis.opendocument.spreadsheet"
    cells = "".join(
        "<table:table-row>" + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row)
        + "</table:table-row>" for row in rows)
    content = (f'<office:document-content xmlns:office="{office}" xmlns:table="{table}" xmlns:text="{text}"><office:body>'
               f'<office:spreadsheet><table:table table:name="Fragen">{cells}</table:table></office:spreadsheet></office:body>'
               "</office:document-content>")
    manifest = ('<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
                f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{mime}"/></manifest:manifest>')
    archive(name, {"mimetype": mime, "content.xml": content, "META-INF/manifest.xml": manifest})


def main():
    text("dialogue.txt", dialogue("用户", "律师"))
    text("windows.txt", "\ufeff" + dialogue("Client", "Lawyer", ": ").replace("\n", "\r\n"))
    text("unknown_names.txt", dialogue("甲", "乙"))
    text("chat_export.txt", "".join(
        f"{who} 2026-03-0{day} 14:3{minute}:05\n{said}\n\n"
        for day, (q, a) in enumerate(PAIRS, 1) for minute, who, said in ((0, "王小明", q), (4, "陈律师", a))))
    names = (("【客户】", "【客服】"), ("**客户**：", "**客服：** "), ("3、客户：", "- 客服："))
    text("decorated.txt", "".join(f"{asks}{q}\n{answers}{a}\n" for (asks, answers), (q, a) in zip(names, PAIRS)))
    text("named_roles.txt", dialogue("丙", "丁").replace("六个月", "六个月\n注：见法条"))
    text("blocks.txt", "用户：问一\n律师：答一\n用户：问二\n律师：答二\n\n用户：问三\n律师：答三\n")
    (HERE / "dialogue.txt.gz").write_bytes(gzip.compress(dialogue("用户", "律师").encode(), mtime=0))
    lines("alpaca.jsonl", [{"instruction": q, "input": "", "output": a} for q, a in PAIRS])
    lines("alpaca_more.jsonl", [{"system": "依法回答。", "instruction": q, "input": "（工资五千）", "output": a,
                                 "history": [["你好", "您好。"]]} for q, a in PAIRS])
    text("sharegpt.json", json.dumps([{"conversations": turns([p], "from", "value", "human", "gpt")} for p in PAIRS],
                                     ensure_ascii=False, indent=1))
    part = lambda key, said: {"type": "text", key: said}
    lines("parts.jsonl", [
        {"messages": [{"role": "user", "content": [part("text", "试用期"), part("text", "多久？")]},
                      {"role": "assistant", "content": [part("text", "最长六个月。")]}]},
        {"messages": [{"role": "user", "content": [part("value", "押金退吗？")], "loss_weight": 0.0},
                      {"role": "assistant", "content": [part("value", "应当退还。")], "loss_weight": 1.0}]}])
    lines("preference.jsonl", [{"prompt": "试用期多久？", "chosen": "最长六个月。", "rejected": "随便。"},
                               {"prompt": "押金退吗？", "chosen": "应当退还。", "rejected": "不退。"}])
    lines("labels.jsonl", [{"prompt": "试用期多久？", "completion": "最长六个月。", "label": True},
                           {"prompt": "押金退吗？", "completion": "不退。", "label": False}])
    system = [{"role": "system", "content": "依法回答。"}]
    lines("messages.jsonl", [{"messages": system + turns(PAIRS)}, {"messages": turns(PAIRS[:1])}])
    calls = [{"role": "user", "content": "查第三条"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
             {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "第三条"},
             {"role": "assistant", "content": "找到了。"}]
    lines("tools.jsonl", [{"tools": [TOOL], "messages": calls}])
    weighted = turns(PAIRS[:2])
    weighted[1]["weight"] = 0
    lines("weights.jsonl", [{"messages": weighted}])
    lines("pairs.jsonl", [{"问题": q, "回答": a} for q, a in PAIRS])
    lines("pairs_more.jsonl", [{"question": q, "answer": a, "id": i} for i, (q, a) in enumerate(PAIRS)])
    text("one_object.json", json.dumps({"messages": turns(PAIRS)}, ensure_ascii=False, indent=2))
    lines("lines.json", [{"prompt": q, "response": a} for q, a in PAIRS])
    lines("mixed.jsonl", [{"question": ASKED[0], "answer": ANSWERED[0]}, {"messages": turns(PAIRS[1:2])}])
    table = "编号,问题,回答\n" + "".join(f'{i},"{q}",{a}\n' for i, (q, a) in enumerate(PAIRS))
    text("table.csv", table)
    text("table.tsv", "prompt\tresponse\n" + "".join(f"{q}\t{a}\n" for q, a in PAIRS))
    subprocess.run(["zstd", "-q", "-f", "--no-check", str(HERE / "table.csv"), "-o", str(HERE / "table.csv.zst")], check=True)
    text("named_columns.csv", "frage,antwort\n" + "".join(f"{q},{a}\n" for q, a in PAIRS))
    lines("named_columns.jsonl", [{"frage": q, "antwort": a, "answer": "nicht das"} for q, a in PAIRS])
    lines("named_turns.jsonl", [{"dialog": turns([p], "who", "said", "丙", "丁")} for p in PAIRS])
    parquet("pairs.parquet", [{"question": q, "answer": a} for q, a in PAIRS])
    parquet("messages.parquet", [{"messages": turns([p])} for p in PAIRS])
    parquet("named_columns.parquet", [{"frage": q, "antwort": a} for q, a in PAIRS])
    parquet("tools.parquet", [{"tools": [{"type": "function", "function": {"name": "find"}}],
                               "messages": [{**{"tool_calls": None, "tool_call_id": None}, **m} for m in calls]}])
    arrow("pairs.arrow", [{"question": q, "answer": a, "id": i} for i, (q, a) in enumerate(PAIRS)])
    arrow("messages.arrow", [{"messages": turns([p])} for p in PAIRS])
    rows = [["问题", "回答"]] + [list(p) for p in PAIRS]
    xlsx("sheet.xlsx", {"问答": (rows, None), "空": ([], None)})
    xlsx("sheets.xlsx", {"2025": (rows[:2], None), "2026": ([["劳动法问答 2026"], [None, None], *rows], "A1:B1"), "注": ([["来源"]], None)})
    ods("sheet.ods", rows)
    text("separated.csv", "sep=;\nquestion;answer\n" + "".join(f"{q};{a}\n" for q, a in PAIRS))
    (HERE / "gbk.csv").write_bytes(table.encode("gb18030"))
    tokens = [{"input_ids": [5, 6, 7, 8], "labels": [-100, -100, 7, 8]}, {"input_ids": [9, 10], "labels": [-100, 10]}]
    lines("tokens.jsonl", tokens)
    padded = [{"input_ids": [0, 5, 6, 7], "attention_mask": [0, 1, 1, 1], "labels": [-100, -100, 6, 7]}]
    lines("tokens_padded.jsonl", padded)
    lines("tokens_all.jsonl", [{"input_ids": [5, 6, 7]}])
    parquet("tokens.parquet", tokens)


main()
