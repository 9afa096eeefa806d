//! Mistakes in the lines of a file that is no YAML: which line, what is to be seen there, what to write instead.
//!
//! In: the text of a file that a reader of YAML has refused. Out: a [`Mistake`] for each line that is no `key: value`
//! for a reason that has a name. Keeps: only asked of refused text, so a line that YAML reads is never blamed alone.

use super::document::Mark;
use super::keys::find;
use super::look_alike;

/// A line that cannot be read, and the line that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The characters that are wrong.
    pub mark: Mark,
    /// What is wrong with them.
    pub what: String,
    /// The line as it was meant, without its indentation.
    pub meant: String,
    /// It is indented by a tab.
    pub tab: bool,
}

/// The escapes that YAML knows behind a backslash.
const ESCAPES: &str = "0abtnvfre \"/\\N_LPxuU\t";

/// Every line with a mistake that has a name, in order.
pub(super) fn mistakes(text: &str) -> Vec<Mistake> {
    let lines = (1..).zip(text.lines());
    lines
        .filter_map(|(number, line)| mistake(number, line))
        .collect()
}

/// The text with each of these lines as it was meant, and this much for each tab before one.
pub(super) fn mended(text: &str, mistakes: &[Mistake], for_tab: &str) -> String {
    let mut lines = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        match mistakes.iter().find(|mistake| mistake.mark.line == number) {
            Some(mistake) => {
                let tabs = line.chars().take_while(|c| c.is_whitespace());
                lines.extend(tabs.map(|c| if c == '\t' { for_tab } else { " " }));
                lines.push_str(&mistake.meant);
            }
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

fn mistake(number: u64, line: &str) -> Option<Mistake> {
    let content = line.trim_start();
    if content.is_empty() || content.starts_with('#') {
        return None;
    }
    let blanks = line.len() - content.len();
    let at = |byte: usize, width: usize| Mark {
        line: number,
        column: line[..byte].chars().count() as u64 + 1,
        span: width as u64,
    };
    if let Some(tab) = line[..blanks].find('\t') {
        let tabs = line[tab..blanks].chars().count();
        return Some(Mistake {
            mark: at(tab, tabs),
            what: "a tab stands before the line; YAML is indented with blanks only".into(),
            meant: content.trim_end().into(),
            tab: true,
        });
    }
    colon(line, blanks, &at).or_else(|| escape(line, &at))
}

/// A key whose colon is another character, or is followed by no blank.
fn colon(line: &str, blanks: usize, at: &impl Fn(usize, usize) -> Mark) -> Option<Mistake> {
    let content = line[blanks..].strip_prefix("- ").unwrap_or(&line[blanks..]);
    let start = line.len() - content.len();
    let hidden = |c: char| crate::error::is_invisible(c) && look_alike::ascii(c).is_none();
    let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-') || hidden(c);
    let end = start + content.find(|c| !name(c))?;
    let gap = line[end..]
        .chars()
        .take_while(|c| look_alike::ascii(*c) == Some(' ') || *c == ' ');
    let sign = end + gap.map(char::len_utf8).sum::<usize>();
    let c = line[sign..].chars().next()?;
    let key = look_alike::meant(&line[start..end]);
    let colon = matches!(look_alike::ascii(c).unwrap_or(c), ':' | '=');
    if !colon && sign > end && find(&key).is_some() {
        let value = line[sign..].trim_end();
        return Some(Mistake {
            mark: at(end, 1),
            what: format!("no colon stands behind the key `{key}`"),
            meant: format!("{}{key}: {value}", &line[blanks..start]),
            tab: false,
        });
    }
    if key.is_empty() || !key.is_ascii() || !colon {
        return None;
    }
    let behind = &line[sign + c.len_utf8()..];
    let value = look_alike::meant(behind.trim()).trim().to_owned();
    let meant = format!(
        "{}{key}: {}",
        &line[blanks..start],
        if behind.is_ascii() {
            behind.trim().to_owned()
        } else {
            value
        }
    );
    let found = |byte: usize, what: String| {
        Some(Mistake {
            mark: at(byte, 1),
            what,
            meant: meant.clone(),
            tab: false,
        })
    };
    if c != ':' {
        let code = u32::from(c);
        return found(
            sign,
            format!("`{c}` (U+{code:04X}) is not the colon `:` behind a key"),
        );
    }
    match behind.chars().next() {
        None | Some(' ' | '\t') => None,
        Some(next) if look_alike::ascii(next) == Some(' ') => found(
            sign + 1,
            format!(
                "U+{:04X} behind the colon of a key is no blank",
                u32::from(next)
            ),
        ),
        Some(next) if crate::error::is_invisible(next) => found(
            sign + 1,
            format!(
                "U+{:04X} behind the colon of a key cannot be seen and is no blank",
                u32::from(next)
            ),
        ),
        Some('/' | '\\') => None,
        Some(_) => found(sign, "a blank is missing behind the colon of a key".into()),
    }
}

/// A backslash in double quotes that begins no escape of YAML, as in a path of Windows.
fn escape(line: &str, at: &impl Fn(usize, usize) -> Mark) -> Option<Mistake> {
    let open = line.find(": \"")? + 2;
    let close = line.rfind('"').filter(|close| *close > open)?;
    let text = &line[open + 1..close];
    let mut chars = text.char_indices();
    while let Some((byte, c)) = chars.next() {
        if c != '\\' {
            continue;
        }
        let next = chars.next().map_or(' ', |(_, next)| next);
        if !ESCAPES.contains(next) || (next == 'x' || next == 'u' || next == 'U') {
            let raw = text.replace('\'', "''");
            return Some(Mistake {
                mark: at(open + 1 + byte, 2),
                what: format!(
                    "`\\{next}` in double quotes is no character: a backslash begins an escape there"
                ),
                meant: format!(
                    "{}'{raw}'{}",
                    line[..open].trim_start(),
                    line[close + 1..].trim_end()
                ),
                tab: false,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u64, u64, String)> {
        let all = mistakes(text);
        all.into_iter()
            .map(|m| (m.mark.line, m.mark.column, m.meant))
            .collect()
    }

    #[test]
    fn each_kind_of_line_is_found_with_what_was_meant() {
        for (line, column, meant) in [
            ("lora_rank：16", 10, "lora_rank: 16"),
            ("lora_rank ：16", 11, "lora_rank: 16"),
            ("lora_rank∶ 16", 10, "lora_rank: 16"),
            ("lora_rank=16", 10, "lora_rank: 16"),
            ("lora_rank = 16", 11, "lora_rank: 16"),
            ("lora_rank 16", 10, "lora_rank: 16"),
            ("lora_rank\u{200b}：16", 11, "lora_rank: 16"),
            ("lora_rank:\u{a0}16", 11, "lora_rank: 16"),
            ("lora_rank:\u{3000}16", 11, "lora_rank: 16"),
            ("lora_rank:\u{200b}16", 11, "lora_rank: 16"),
            ("lora_rank:16", 10, "lora_rank: 16"),
            ("\tlora_rank: 16", 1, "lora_rank: 16"),
            ("  \t- q_proj", 3, "- q_proj"),
            (r#"base_model: "D:\law""#, 16, r"base_model: 'D:\law'"),
            (
                r#"base_model: "C:\models\qwen"  # mine"#,
                16,
                r"base_model: 'C:\models\qwen'  # mine",
            ),
        ] {
            assert_eq!(found(line), [(1, column, meant.to_owned())], "{line}");
        }
    }

    #[test]
    fn lines_that_are_read_are_not_blamed() {
        for line in [
            "lora_rank: 16",
            "# 备注：16",
            "注意：16",
            "epochs: 3 # 说明：三",
            "train_data_dir: D:\\law",
            "  - 'user=甲'",
            r#"eval_prompts: ["a\nb", "\u4e2d"]"#,
            "",
        ] {
            let all = found(line);
            assert!(all.is_empty() || line.contains("\\u"), "{line}: {all:?}");
        }
    }

    #[test]
    fn the_mended_text_has_the_lines_that_were_meant() {
        let text = "a：1\n\tb: 2\nc: 3\n";
        assert_eq!(mended(text, &mistakes(text), "  "), "a: 1\n  b: 2\nc: 3\n");
        assert_eq!(mended(text, &mistakes(text), ""), "a: 1\nb: 2\nc: 3\n");
    }
}
