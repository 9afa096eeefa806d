//! Twenty thousand drawn dialogue files: each is read as it was meant, or refused.
//!
//! Every piece of text carries a mark of who says it: `问17`, `答17`, or `旁17` where it is somebody else's.
//! A learned turn that holds another mark than its own answers', a mark that is lost without a notice, or a
//! plain file that is refused is a failure. The seed of a file is its number; DIALOGUES says how many.

use std::path::Path;

use shared::config::Dialogue;

use super::parse;
use crate::data::files::SourceFile;
use crate::data::sample::Conversation;

/// A small generator of numbers (SplitMix64): the files depend on nothing else.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

const PAIRS: &[(&str, &str)] = &[
    ("用户", "律师"),
    ("患者", "医生"),
    ("客户", "客服"),
    ("问", "答"),
    ("Q", "A"),
    ("User", "Assistant"),
    ("Patient", "Dr. Lee"),
    ("当事人", "陈律师"),
    ("投保人", "理赔员"),
    ("Customer", "Support"),
    ("家属", "王医生"),
    ("咨询者", "法律顾问"),
    ("病人", "李主任"),
    ("Client", "Attorney Jones"),
    ("用戶", "律師"),
];
const QUOTED: &[&str] = &[
    "甲方：",
    "乙方：",
    "主诉：",
    "现病史：",
    "诊断：",
    "借款人：",
    "地址：",
    "Landlord: ",
    "Address: ",
    "第三条：",
    "事实与理由：",
];
const HEADINGS: &[&str] = &[
    "注意：",
    "建议：",
    "甲方：",
    "乙方：",
    "委托人：",
    "受托人：",
    "步骤：",
    "医嘱：",
    "Note: ",
    "第十条：",
    "10:30 ",
    "2024-05-06：",
    "https://a.example/x:",
    "原告：",
    "温馨提示：",
    "1、材料：",
    "**结论**：",
    "【依据】",
];
const BYSTANDERS: &[&str] = &[
    "小李",
    "张三",
    "王女士",
    "法官",
    "书记员",
    "证人",
    "Ms. Wang",
    "John Smith",
    "老王",
    "主持人",
    "审判长",
];
const LINE_ENDS: &[&str] = &["\n", "\r\n", "\r", "\u{2028}", "\u{b}", "\u{85}"];
const INVISIBLE: &[&str] = &[
    "\u{200b}", "\u{feff}", "\u{200e}", "\u{2060}", "\u{202a}", "\u{ad}",
];
const COLONS: &[&str] = &["：", ":", " : ", ": ", "∶", "﹕", "︰"];

/// What a file is made of, and what must come of it.
struct Drawn {
    text: String,
    /// Marks of the question and the answer of each sample.
    samples: Vec<(Vec<String>, Vec<String>)>,
    /// Nothing in it can be read in two ways.
    plain: bool,
}

/// The name as one line decorates it, with what divides it from the text.
fn spoken(dice: &mut Dice, name: &str, style: usize) -> String {
    let colon = dice.one(COLONS);
    match style {
        0 | 1 => format!("{name}{colon}"),
        2 => format!("**{name}**{colon}"),
        3 => format!("**{name}：** "),
        4 => format!("【{name}】{colon}"),
        5 => format!("【{name}】"),
        6 => format!("[{name}]{colon}"),
        7 => format!("- {name}{colon}"),
        8 => format!("{}. {name}{colon}", dice.below(90) + 1),
        9 => format!("> {name}{colon}"),
        10 => format!("### {name}{colon}"),
        11 => format!("（{}）{name}{colon}", dice.one(&["一", "二", "3"])),
        12 => format!(
            "[2026-03-0{} 1{}:3{}] {name}{colon}",
            dice.below(9) + 1,
            dice.below(9),
            dice.below(9)
        ),
        13 => format!("{name}{}{colon}", dice.below(30) + 1),
        14 => format!("`{name}`{colon}"),
        15 => format!("{name}(小号){colon}"),
        16 => format!("「{name}」{colon}"),
        _ => format!(
            "{}{name}{}{colon}",
            dice.one(INVISIBLE),
            dice.one(INVISIBLE)
        ),
    }
}

const STYLES: usize = 18;

struct Writer<'a> {
    dice: &'a mut Dice,
    text: String,
    end: &'static str,
    mark: usize,
    plain: bool,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        let end = if self.dice.chance(97) {
            self.end
        } else {
            self.dice.one(LINE_ENDS)
        };
        self.text.push_str(end);
    }

    fn mark(&mut self, who: &str) -> String {
        self.mark += 1;
        format!("{who}{}号", self.mark)
    }

    /// A turn's text: its first line behind the name, and lines below it that may look like anything.
    fn turn(&mut self, name: &str, style: usize, who: &str) -> Vec<String> {
        let mut marks = vec![self.mark(who)];
        let begin = spoken(self.dice, name, style);
        let ends = if who == "问" { "？" } else { "。" };
        if self.dice.chance(10) {
            self.line(&begin);
            self.line(&format!("{}{ends}", marks[0]));
        } else {
            self.line(&format!("{begin}{}{ends}", marks[0]));
        }
        for _ in 0..self.dice.below(4) {
            let mark = self.mark(who);
            let quoted = if who == "问" { QUOTED } else { HEADINGS };
            let line = match self.dice.below(6) {
                0 | 1 => format!("{}{mark}。", self.dice.one(quoted)),
                2 => format!("    {mark}，"),
                3 => {
                    self.line("");
                    format!("{mark}。")
                }
                4 => format!("{}、{mark}；", self.dice.below(9) + 1),
                _ => format!("{mark}。"),
            };
            marks.push(mark);
            self.line(&line);
        }
        marks
    }

    /// Something that a reader may take for a turn of somebody else, behind an answer.
    fn trap(&mut self, asker: &str, answerer: &str) {
        self.plain = false;
        let mark = self.mark("旁");
        let line = match self.dice.below(6) {
            0 => format!("{}：{mark}？", self.dice.one(BYSTANDERS)),
            1 => format!("{}：{mark}。", self.dice.one(BYSTANDERS)),
            2 => format!("{asker}\t{mark}？"),
            3 => format!("{asker}| {mark}？"),
            4 => format!("{asker} 14:30\u{20}\r{mark}？"),
            _ => {
                let nick = self.dice.one(&["阳光灿烂", "群友A", "Sunny", "夜猫子"]);
                let again = self.mark("旁");
                self.line(&format!("{nick}：{mark}。"));
                format!("{answerer}：{again}。")
            }
        };
        self.line(&line);
    }
}

fn draw(seed: u64) -> Drawn {
    let dice = &mut Dice(seed);
    let (asker, answerer) = PAIRS[dice.below(PAIRS.len())];
    let mixed = dice.chance(30);
    let style = dice.below(STYLES);
    let end = if dice.chance(60) {
        "\n"
    } else {
        LINE_ENDS[dice.below(3)]
    };
    let mut writer = Writer {
        dice,
        text: String::new(),
        end,
        mark: 0,
        plain: true,
    };
    let mut samples = Vec::new();
    let traps = writer.dice.chance(25);
    let second = writer
        .dice
        .chance(15)
        .then(|| writer.dice.one(&["客户", "患者", "委托人", "Caller"]));
    for _ in 0..writer.dice.below(6) + 1 {
        let styles = |writer: &mut Writer<'_>| {
            if mixed {
                writer.dice.below(STYLES)
            } else {
                style
            }
        };
        let name = match second.filter(|_| writer.dice.chance(40)) {
            Some(name) => {
                writer.plain = false;
                name
            }
            None => asker,
        };
        let of = styles(&mut writer);
        let asked = writer.turn(name, of, "问");
        let of = styles(&mut writer);
        let answered = writer.turn(answerer, of, "答");
        samples.push((asked, answered));
        if traps && writer.dice.chance(40) {
            writer.trap(asker, answerer);
        }
        for _ in 0..writer.dice.below(3) {
            writer.line("");
        }
    }
    Drawn {
        plain: writer.plain,
        text: writer.text,
        samples,
    }
}

/// Marks in a text, in order.
fn marks(text: &str) -> Vec<String> {
    let ends = text.match_indices('号').map(|(at, _)| at);
    let mark = |end: usize| {
        let from = text[..end].trim_end_matches(|c: char| c.is_ascii_digit());
        let who = from.chars().next_back().filter(|c| "问答旁".contains(*c))?;
        Some(text[from.len() - who.len_utf8()..end + '号'.len_utf8()].to_owned())
    };
    ends.filter_map(mark).collect()
}

/// What is wrong with the conversations of a file.
fn wrong(drawn: &Drawn, found: &[Conversation]) -> Option<String> {
    for conversation in found {
        for message in &conversation.messages {
            let foreign = |mark: &String| match message.role.as_str() {
                "assistant" => !mark.starts_with('答'),
                _ => mark.starts_with('答'),
            };
            if let Some(mark) = marks(&message.content).into_iter().find(foreign) {
                return Some(format!("{} says {mark}", message.role));
            }
        }
    }
    if !drawn.plain {
        return None;
    }
    let said = |role: &str, c: &Conversation| -> Vec<String> {
        let messages = c.messages.iter().filter(|m| m.role == role);
        messages.flat_map(|m| marks(&m.content)).collect()
    };
    let read: Vec<_> = found
        .iter()
        .map(|c| (said("user", c), said("assistant", c)))
        .collect();
    (read != drawn.samples).then(|| format!("read {read:?}, meant {:?}", drawn.samples))
}

#[test]
fn twenty_thousand_drawn_files_are_read_as_they_were_meant_or_refused() {
    let file = SourceFile::single(Path::new("drawn.txt"));
    let (mut read, mut refused, mut plain_refused) = (0, 0, Vec::new());
    let mut failures = Vec::new();
    let files = std::env::var("DIALOGUES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    for seed in 0..files {
        let drawn = draw(seed);
        match parse(&file, &drawn.text, Dialogue::Turns, &Default::default()) {
            Ok(found) => {
                read += 1;
                if let Some(why) = wrong(&drawn, &found.conversations) {
                    failures.push(format!("seed {seed}: {why}\n{}", drawn.text.escape_debug()));
                }
            }
            Err(error) => {
                refused += 1;
                if drawn.plain {
                    plain_refused.push(format!(
                        "seed {seed}: {error:?}\n{}",
                        drawn.text.escape_debug()
                    ));
                }
            }
        }
    }
    println!("{read} read as meant, {refused} refused");
    let few = |all: &[String]| all.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(
        failures.is_empty(),
        "{} files are misread:\n{}",
        failures.len(),
        few(&failures)
    );
    assert!(
        plain_refused.is_empty(),
        "{} plain files are refused:\n{}",
        plain_refused.len(),
        few(&plain_refused)
    );
    assert!(read * 2 > files, "most files can be read");
}
