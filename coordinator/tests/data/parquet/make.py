"""Writes the Parquet fixtures with pyarrow, as a user's tools would (pyarrow 26).

    python make.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
PAIRS = [("加班费怎么算？", "依据《劳动法》。"), ("试用期多久？", "最长六个月。"), ("押金退吗？", "应当退还。")]


def write(name, table, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)


def pairs(question="question", answer="answer"):
    return {question: [q for q, _ in PAIRS], answer: [a for _, a in PAIRS]}


def main():
    for compression in ["none", "snappy", "gzip", "zstd"]:
        write(f"pairs_{compression}", pa.table(pairs()), compression=compression)
    # Two row groups, dictionary and plain pages of the newer kind, a key nobody needs, a null.
    more = pairs("instruction", "output") | {"input": ["", None, "一千元"], "id": [1, 2, 3]}
    write("alpaca_groups", pa.table(more), row_group_size=2, data_page_version="2.0", version="2.6")
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    turns = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in PAIRS]
    write("messages", pa.table({"messages": pa.array(turns, pa.list_(turn))}))
    write("other_names", pa.table(pairs("frage", "antwort")))
    # Texts that are not marked as such.
    raw = {name: pa.array([t.encode() for t in texts], pa.binary()) for name, texts in pairs().items()}
    write("bytes", pa.table(raw))
    write("a_null", pa.table({"question": ["a", None], "answer": ["b", "c"]}))
    write("unknown", pa.table(pairs("a", "b")))
    write("empty", pa.table({"question": pa.array([], pa.string()), "answer": pa.array([], pa.string())}))
    whole = (HERE / "pairs_zstd.parquet").read_bytes()
    (HERE / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    # A byte of the first page of the first column: past the magic and the page's header.
    broken = bytearray((HERE / "pairs_snappy.parquet").read_bytes())
    for at in range(4, 40):
        broken[at] ^= 0xFF
    (HERE / "broken_page.parquet").write_bytes(broken)


if __name__ == "__main__":
    main()
