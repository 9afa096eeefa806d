"""Makes the table of English words that a capital does not make a name: words that are mostly written in lower case.

They are counted in the documentation of packages that lie on the machine (`.md`, `.rst`, `.txt`, comments of
sources): counts are facts, no text of theirs is kept. The folders are the arguments.
"""

import collections
import pathlib
import re
import sys
import textwrap

LEAST = 3
MOST = 14_000
WORD = re.compile(r"(?<![\w`'./:@-])([A-Z]?[a-z]{2,})(?![\w`/:@-])")
# Of law, medicine, trade and everyday life, which documentation of programs hardly speaks of.
MORE = """merry happy success team teams human resources payment dynamics acute chronic deep vein court courts judge jury plaintiff defendant tenant landlord lease invoice attorney counsel clerk sheriff
verdict appeal appeals hearing trial motion statute amendment constitution supreme superior circuit chancery
municipal civil criminal juvenile probate bankruptcy mortgage deed trust estate will testament executor heir
patient patients surgery surgeon nurse clinic hospital emergency oncology cardiology pediatric pediatrics dental
disease syndrome fever cough cancer tumor insulin aspirin vaccine therapy vitamin calcium iron blood heart kidney
liver lung brain spine knee bone skin eye ear nose throat pharmacy prescription ward intensive palliative mental
bank savings checking credit debit loan loans fund funds stock bond bonds equity capital venture treasury federal
reserve revenue income tax taxes audit insurance premium pension retirement annuity dividend broker brokerage
premium support gift galaxy science sciences maple cedar oak elm pine birch willow chestnut walnut spruce aspen
zoo lake river creek canyon desert island beach ocean sea gulf bay cape coast shore mountain valley meadow prairie
brown green white black gray blue red orange purple pink gold silver bronze copper crystal diamond
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september
october november december spring summer autumn winter christmas easter thanksgiving halloween
english spanish french german italian chinese japanese korean russian arabic american british canadian mexican
european asian african indian australian irish scottish jewish muslim catholic christian buddhist hindu
president minister senator governor mayor congress senate parliament ministry embassy consulate council county
police army navy fire airport station railway hotel restaurant cafe kitchen garden theater museum library gallery
university college school academy institute campus street avenue road boulevard square plaza tower center
business company corporation partners brothers sons group holdings enterprises industries logistics properties
prime minister fair housing labor standard standards royal national international global united northern southern
eastern western central upper lower grand great old new big little sweet rapid quick bright happy lucky golden
windows apple amazon google microsoft facebook samsung sony nokia oracle intel tesla toyota honda ford nissan
messenger browser keyboard laptop router printer modem charger battery headset camera monitor speaker
macbook iphone ipad android""".split()
ENDINGS = {".md", ".rst", ".txt", ".py", ".rs"}


def main():
    lower, upper = collections.Counter(), collections.Counter()
    seen = set()
    for folder in map(pathlib.Path, sys.argv[1:]):
        for path in folder.rglob("*"):
            if path.suffix not in ENDINGS or not path.is_file() or path.stat().st_size > 400_000:
                continue
            text = path.read_text(encoding="utf-8", errors="ignore")
            if path.suffix in {".py", ".rs"}:
                text = "\n".join(line for line in text.split("\n") if line.lstrip().startswith(("///", "//!", "#")))
            for line in text.split("\n"):
                if line in seen or len(line) < 40:
                    continue
                seen.add(line)
                words = WORD.findall(line)
                if len(words) < 6:
                    continue
                for word in words[1:]:
                    (lower if word.islower() else upper)[word.lower()] += 1
    words = [w for w, n in lower.items() if n >= LEAST and n > 3 * upper[w] / 4]
    words.sort(key=lambda w: (-lower[w], w))
    target = pathlib.Path(__file__).parents[2] / "coordinator/src/data/privacy/tables/english_words.txt"
    target.write_text(textwrap.fill(" ".join(sorted(set(words[:MOST] + MORE))), 118) + "\n")
    print(len(words), file=sys.stderr)


if __name__ == "__main__":
    main()
