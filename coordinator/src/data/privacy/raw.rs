//! JSON in a text, token by token.
//!
//! In: a text that is one JSON object or list. Out: the same text, other in the tokens that were
//! replaced and nowhere else: white space, escapes and the spelling of numbers stay.

use super::texts::{FieldText, See, raw_or_text};

/// Whether a text is one JSON object or list.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde_json::Value>(text).is_ok()
}

/// Shows every value behind the name of its field, and each name; the text with what came back, or
/// `None` when nothing did. `field` is the name that the whole stands under.
pub(super) fn visit(text: &str, field: &str, see: &mut See<'_>) -> Option<String> {
    let mut walk = Walk {
        field: field.to_owned(),
        outer: Vec::new(),
        written: String::new(),
        kept: 0,
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'"' => string_end(bytes, at),
            b'-' | b'0'..=b'9' => number_end(bytes, at),
            b'{' | b'[' => {
                walk.outer.push(walk.field.clone());
                at + 1
            }
            b'}' | b']' => {
                walk.field = walk.outer.pop().unwrap_or_default();
                at + 1
            }
            _ => at + 1,
        };
        if *byte == b'"' {
            walk.string(text, at..end, see);
        } else if end > at + 1 || byte.is_ascii_digit() {
            let masked = see(&FieldText::new(&walk.field, &text[at..end]));
            walk.replace(text, at..end, masked);
        }
        at = end;
    }
    (walk.kept > 0).then(|| {
        walk.written.push_str(&text[walk.kept..]);
        walk.written
    })
}

/// Where the walk is.
struct Walk {
    /// Name of the field that the next value stands under.
    field: String,
    /// Names of the fields around it, the outermost first.
    outer: Vec<String>,
    /// The new text so far.
    written: String,
    /// Bytes of the old text that are in it.
    kept: usize,
}

impl Walk {
    fn string(&mut self, text: &str, span: std::ops::Range<usize>, see: &mut See<'_>) {
        let value: String = serde_json::from_str(&text[span.clone()]).unwrap_or_default();
        if text[span.end..].trim_start().starts_with(':') {
            let masked = see(&FieldText::new("", &value));
            self.replace(text, span, masked);
            self.field = value;
        } else {
            let masked = raw_or_text(&value, &self.field, see);
            self.replace(text, span, masked);
        }
    }

    fn replace(&mut self, text: &str, span: std::ops::Range<usize>, masked: Option<String>) {
        if let Some(masked) = masked {
            self.written.push_str(&text[self.kept..span.start]);
            self.written
                .push_str(&serde_json::Value::String(masked).to_string());
            self.kept = span.end;
        }
    }
}

/// Behind the quote that ends the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'"' => return end + 1,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    bytes.len()
}

fn number_end(bytes: &[u8], at: usize) -> usize {
    let part = |b: &&u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    at + bytes[at..].iter().take_while(part).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, hit: &str) -> (Vec<String>, Option<String>) {
        let mut seen = Vec::new();
        let out = visit(text, "", &mut |piece| {
            seen.push(piece.text.clone());
            (piece.value() == hit).then(|| "[X_1]".to_owned())
        });
        (seen, out)
    }

    #[test]
    fn fields_are_known_through_lists_and_back_out_of_objects() {
        let text = r#"{"a" : [1, {"b": "x\"y"}, -2.5e3], "c": null, "d":"{\"e\": 7}"}"#;
        let (seen, out) = masked(text, "nothing");
        assert_eq!(
            seen,
            [
                "a",
                "a: 1",
                "b",
                "b: x\"y",
                "a: -2.5e3",
                "c",
                "d",
                "e",
                "e: 7"
            ]
        );
        assert_eq!(out, None);
    }

    #[test]
    fn only_what_is_replaced_changes() {
        let text = "{ \"a\":\t1.50, \"b\": \"\\u674e\\n\", \"c\": [ 7 ] }\n";
        let (_, out) = masked(text, "李\n");
        assert_eq!(
            out.unwrap(),
            "{ \"a\":\t1.50, \"b\": \"[X_1]\", \"c\": [ 7 ] }\n"
        );
        let (_, out) = masked(text, "7");
        assert!(out.unwrap().ends_with("\"c\": [ \"[X_1]\" ] }\n"));
        let (_, out) = masked(r#"["{\"e\": 7}"]"#, "7");
        assert_eq!(out.unwrap(), r#"["{\"e\": \"[X_1]\"}"]"#);
    }

    #[test]
    fn json_is_an_object_or_a_list() {
        assert!(is_json(" {}\n") && is_json("[1]"));
        for text in ["", "1", "\"a\"", "[PHONE_1]", "{\"a\": [PHONE_1]}", "{} {}"] {
            assert!(!is_json(text), "{text}");
        }
    }
}
