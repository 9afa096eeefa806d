//! Doc comments of one or two words, which satisfy a lint and tell a reader nothing.

/// A short doc comment.
pub struct ShortDoc {
    /// The line, counted from 1.
    pub line: usize,
    /// The comment without its slashes.
    pub text: String,
}

/// The `///` comments of at most two words. It reads lines and not syntax, so that it also sees
/// the comments inside macro calls; lines side by side are one comment.
pub fn short_docs(text: &str) -> Vec<ShortDoc> {
    let mut found: Vec<ShortDoc> = Vec::new();
    let mut open: Option<ShortDoc> = None;
    for (index, line) in text.lines().enumerate() {
        let doc = line.trim_start().strip_prefix("///");
        match (doc.filter(|rest| !rest.starts_with('/')), &mut open) {
            (Some(rest), Some(comment)) => {
                comment.text.push(' ');
                comment.text.push_str(rest.trim());
            }
            (Some(rest), None) => {
                open = Some(ShortDoc {
                    line: index + 1,
                    text: rest.trim().to_owned(),
                });
            }
            (None, _) => found.extend(open.take()),
        }
    }
    found.extend(open);
    found.retain(|comment| words(&comment.text) <= 2);
    found
}

fn words(text: &str) -> usize {
    let word = |part: &&str| part.contains(char::is_alphanumeric);
    text.split_whitespace().filter(word).count()
}
