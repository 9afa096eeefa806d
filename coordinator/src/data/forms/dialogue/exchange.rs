//! Turns of a dialogue to conversations.
//!
//! In: lines and who speaks. Out: turns with their whole texts, cut into conversations. Keeps: within a
//! turn, lines, blank lines and indentation stay as they are written; what several speakers of one side say
//! in a row is joined, and the names of those behind the first stay in the text.

use shared::config::Dialogue;

use super::cast::Cast;
use super::lines::{Line, is_space};
use super::roles::{Part, Roles};
use super::speaker_line::Mark;

/// What one speaker says before another does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub part: Part,
    pub name: usize,
    /// Number of its first line.
    pub line: u64,
    /// Index of its first line.
    pub at: usize,
    pub text: String,
    pub after_blank: bool,
    /// How its first line reads in the text of another turn.
    spelled: String,
}

impl Turn {
    fn asks(&self) -> bool {
        self.part == Part::Asks
    }

    /// Takes in what the same side says behind it.
    fn join(&mut self, next: &Self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        if next.name != self.name {
            self.text.push_str(&next.spelled);
        }
        self.text.push_str(&next.text);
    }
}

/// The turns of one conversation.
pub(super) type Exchange = Vec<Turn>;

/// What was cut, and what belongs to no conversation.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub exchanges: Vec<Exchange>,
    /// Answers before the first question of a conversation.
    pub openings: Vec<Turn>,
    /// Questions at the end of a chat export that nobody answers.
    pub unanswered: Vec<Turn>,
    /// Instructions with no question behind them.
    pub stray: Option<Turn>,
}

/// All turns of a file; lines before the first belong to none.
pub(super) fn turns(lines: &[Line<'_>], cast: &Cast<'_>, roles: &Roles) -> Vec<Turn> {
    let mut events = cast
        .events
        .iter()
        .filter_map(|e| Some((e, roles.part(e.name)?)))
        .peekable();
    let mut turns: Vec<Turn> = Vec::new();
    let mut texts: Vec<Vec<&str>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some((event, part)) = events.next_if(|(e, _)| e.at == at) {
            let name = &cast.names[event.name].shown;
            let spelled = match event.line.mark {
                _ if event.line.stamped => format!("{}：", event.line.name),
                Mark::Bracket | Mark::Header => format!("【{}】", event.line.name),
                Mark::Colon => spelled(line.text(), event.line.text, name),
            };
            turns.push(Turn {
                part,
                name: event.name,
                line: line.number,
                at,
                text: String::new(),
                after_blank: line.after_blank,
                spelled,
            });
            texts.push(vec![event.line.text]);
        } else if let Some(text) = texts.last_mut() {
            text.push(line.raw);
        }
    }
    for (turn, text) in turns.iter_mut().zip(texts) {
        turn.text = whole(&text);
    }
    turns
}

/// What stands before the text of a line.
fn spelled(line: &str, text: &str, name: &str) -> String {
    match line.strip_suffix(text).filter(|_| !text.is_empty()) {
        Some(before) => before.to_owned(),
        None if text.is_empty() => line.to_owned(),
        None => format!("{name}："),
    }
}

/// The text of a turn: without blank lines at its ends, and without the indentation that all lines below
/// the first share.
fn whole(lines: &[&str]) -> String {
    let Some((first, below)) = lines.split_first() else {
        return String::new();
    };
    let mut indent: Option<&str> = None;
    for line in below.iter().filter(|line| !line.is_empty()) {
        let own = &line[..line.len() - line.trim_start_matches(is_space).len()];
        indent = Some(match indent {
            None => own,
            Some(shared) => common(shared, own),
        });
    }
    let indent = indent.unwrap_or_default();
    let mut all = vec![*first];
    all.extend(
        below
            .iter()
            .map(|line| line.strip_prefix(indent).unwrap_or(line)),
    );
    let begin = all
        .iter()
        .position(|line| !line.is_empty())
        .unwrap_or(all.len());
    let end = all
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(begin, |at| at + 1);
    all[begin..end].join("\n")
}

fn common<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one
        .char_indices()
        .zip(other.chars())
        .find(|((_, a), b)| a != b);
    let end = same.map_or(one.len().min(other.len()), |((at, _), _)| at);
    &one[..end]
}

/// Cuts turns into conversations.
pub(super) fn cut(turns: Vec<Turn>, mode: Dialogue, stamped: bool) -> Cut {
    let mut cut = match mode {
        Dialogue::Turns => by_question(turns, stamped),
        Dialogue::Blocks => by_block(turns),
    };
    if stamped
        && let Some(last) = cut
            .exchanges
            .pop_if(|e| !e.iter().any(|t| t.part == Part::Answers))
    {
        cut.unanswered = last;
    }
    cut
}

/// Each turn of the asking side begins a conversation, but for one that another asker adds to, and in
/// a chat export any that has no answer yet.
fn by_question(turns: Vec<Turn>, stamped: bool) -> Cut {
    let mut cut = Cut::default();
    let mut system: Option<Turn> = None;
    let mut turns = turns.into_iter().peekable();
    while let Some(turn) = turns.next() {
        let asked = turns
            .peek()
            .is_some_and(|next| next.asks() && !next.after_blank);
        let open = cut.exchanges.last_mut();
        let last = open.and_then(|exchange: &mut Exchange| exchange.last_mut());
        match (turn.part, last) {
            (Part::System, _) if system.is_some() => cut.stray = system.replace(turn),
            (Part::System, _) => system = Some(turn),
            (Part::Answers, None) => cut.openings.push(turn),
            // Behind a blank line, and before a question: the opening words of another conversation.
            (Part::Answers, Some(last))
                if last.part == Part::Answers && turn.after_blank && asked =>
            {
                cut.openings.push(turn);
            }
            (Part::Answers, Some(last)) if last.part == Part::Answers => last.join(&turn),
            (Part::Answers, Some(_)) => {
                if let Some(exchange) = cut.exchanges.last_mut() {
                    exchange.push(turn);
                }
            }
            (Part::Asks, Some(last)) if last.asks() && (stamped || last.name != turn.name) => {
                last.join(&turn)
            }
            (Part::Asks, _) => cut
                .exchanges
                .push(system.take().into_iter().chain([turn]).collect()),
        }
    }
    cut.stray = cut.stray.or(system);
    cut
}

/// The turns between blank lines are one conversation.
fn by_block(turns: Vec<Turn>) -> Cut {
    let mut cut = Cut::default();
    for turn in turns {
        match cut.exchanges.last_mut() {
            Some(exchange) if !turn.after_blank => match exchange.last_mut() {
                Some(last) if last.part == turn.part => last.join(&turn),
                _ => exchange.push(turn),
            },
            _ => cut.exchanges.push(vec![turn]),
        }
    }
    let late = |exchange: &Exchange| {
        exchange
            .iter()
            .skip(1)
            .find(|t| t.part == Part::System)
            .cloned()
    };
    cut.stray = cut.exchanges.iter().find_map(late);
    let mut before_answers = true;
    for exchange in &mut cut.exchanges {
        let asks = exchange.iter().position(Turn::asks);
        let opens = exchange.first().is_some_and(|t| t.part == Part::Answers);
        // An answer that stands alone belongs to the block before it: that is refused later.
        if let Some(first) = asks.filter(|_| opens && before_answers) {
            cut.openings.extend(exchange.drain(..first));
        }
        before_answers = exchange.last().is_some_and(|t| t.part == Part::Answers);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_blank_lines_and_what_indents_it() {
        assert_eq!(
            whole(&["可以：", "", "  def f():", "      return 0", ""]),
            "可以：\n\ndef f():\n    return 0"
        );
        assert_eq!(whole(&["", "", "a", "  b"]), "a\n  b");
        assert_eq!(whole(&["a", "　　b", "　　c"]), "a\nb\nc");
        assert_eq!(whole(&["a", "  b", "c"]), "a\n  b\nc");
        assert_eq!(whole(&["", ""]), "");
    }
}
