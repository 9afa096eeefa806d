//! Python's methods of texts, lists and maps, as far as templates call them.
//!
//! In: a value, the name of a method, its arguments. Out: what CPython's method returns. What is not here is
//! minijinja's own.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Calls a method of a value that the engine does not know by itself.
pub(super) fn call(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => of_text(value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq => of_list(value, method, args)?,
        ValueKind::Map => of_map(value, method, args)?,
        _ => None,
    };
    own.map_or_else(|| unknown_method_callback(state, value, method, args), Ok)
}

/// What Python strips and splits at where nothing is named.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// Where Python ends a line.
fn ends_line(letter: char) -> bool {
    matches!(
        letter,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

fn texts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Value {
    parts.into_iter().map(Value::from).collect()
}

fn tuple(parts: [&str; 3]) -> Value {
    Value::from(Tuple::new(parts.into_iter().map(Value::from).collect()))
}

/// `None` for a method that is not here.
fn of_text(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match parts(text, method, args)? {
        None => written_anew(text, method, args),
        found => Ok(found),
    }
}

/// Methods that find or take out parts of a text.
fn parts(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value = match method {
        "strip" | "lstrip" | "rstrip" if args.iter().all(Value::is_none) => {
            Value::from(match method {
                "strip" => text.trim_matches(is_space),
                "lstrip" => text.trim_start_matches(is_space),
                _ => text.trim_end_matches(is_space),
            })
        }
        "split" | "rsplit" if args.first().is_none_or(Value::is_none) => {
            let most: Option<i64> = from_args::<(Option<Value>, Option<i64>)>(args)?.1;
            at_spaces(text, most, method == "rsplit")
        }
        "rsplit" => {
            let (separator, most): (&str, Option<i64>) = from_args(args)?;
            let mut parts: Vec<&str> = match most.and_then(|most| usize::try_from(most).ok()) {
                Some(most) => text.rsplitn(most.saturating_add(1), separator).collect(),
                None => text.rsplit(separator).collect(),
            };
            parts.reverse();
            texts(parts)
        }
        "splitlines" => {
            let (ends,): (Option<bool>,) = from_args(args)?;
            texts(lines(text, ends.unwrap_or(false)))
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            tuple(match text.split_once(separator) {
                Some((before, after)) => [before, separator, after],
                None => [text, "", ""],
            })
        }
        "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            tuple(match text.rsplit_once(separator) {
                Some((before, after)) => [before, separator, after],
                None => ["", "", text],
            })
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let found = match method {
                "index" => text.find(part),
                _ => text.rfind(part),
            };
            let at = found.ok_or_else(|| invalid("substring not found"))?;
            Value::from(text[..at].chars().count())
        }
        "removeprefix" => {
            let (part,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(part).unwrap_or(text))
        }
        "removesuffix" => {
            let (part,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(part).unwrap_or(text))
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

/// Methods that write a text in another way.
fn written_anew(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let value = match method {
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => text.split_at(text.len() - digits.len()),
                None => ("", text),
            };
            let missing = padding(text, width)?;
            Value::from(format!("{sign}{}{digits}", "0".repeat(missing)))
        }
        "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<char>) = from_args(args)?;
            let missing = padding(text, width)?;
            let left = match method {
                "ljust" => 0,
                "rjust" => missing,
                // CPython puts the odd one on the left of an odd width.
                _ => missing / 2 + (missing & width & 1),
            };
            let fill = |count: usize| fill.unwrap_or(' ').to_string().repeat(count);
            Value::from(format!("{}{text}{}", fill(left), fill(missing - left)))
        }
        "swapcase" => {
            let swapped = text.chars().flat_map(|letter| {
                let (lower, upper) = (letter.is_lowercase(), letter.is_uppercase());
                let up = lower.then(|| letter.to_uppercase()).into_iter().flatten();
                let down = upper.then(|| letter.to_lowercase()).into_iter().flatten();
                let same = (!lower && !upper).then_some(letter);
                up.chain(down).chain(same)
            });
            Value::from(swapped.collect::<String>())
        }
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "title" => Value::from(title(text)),
        "expandtabs" => {
            let (size,): (Option<usize>,) = from_args(args)?;
            Value::from(tabs_expanded(text, size.unwrap_or(8))?)
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn of_list(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(match method {
        "copy" => Some(list.try_iter()?.collect()),
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            let at = list.try_iter()?.position(|item| item == *wanted);
            Some(Value::from(at.ok_or_else(|| invalid("is not in list"))?))
        }
        _ => None,
    })
}

fn of_map(map: &Value, method: &str, _: &[Value]) -> Result<Option<Value>, Error> {
    if method != "copy" {
        return Ok(None);
    }
    let pair = |key: Value| map.get_item(&key).map(|value| (key, value));
    let pairs: Result<Vec<_>, Error> = map.try_iter()?.map(pair).collect();
    Ok(Some(Value::from_pairs(pairs?)))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

/// Letters that a text lacks to a width. A width that no text needs is refused, as it would fill the memory.
fn padding(text: &str, width: usize) -> Result<usize, Error> {
    const WIDEST: usize = 1 << 20;
    if width > WIDEST {
        return Err(invalid("the width is too large"));
    }
    Ok(width.saturating_sub(text.chars().count()))
}

/// Parts between runs of spaces, at most so many cuts, from the end where `last` says so.
fn at_spaces(text: &str, most: Option<i64>, last: bool) -> Value {
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else {
        return texts(text.split(is_space).filter(|part| !part.is_empty()));
    };
    let trim = |text| match last {
        false => str::trim_start_matches(text, is_space),
        true => str::trim_end_matches(text, is_space),
    };
    let mut parts = Vec::new();
    let mut rest = trim(text);
    while parts.len() < most {
        let cut = match last {
            false => rest.split_once(is_space),
            true => rest.rsplit_once(is_space).map(|(rest, part)| (part, rest)),
        };
        let Some((part, more)) = cut else { break };
        parts.push(part);
        rest = trim(more);
    }
    // What is left keeps the spaces of its other end.
    if !rest.is_empty() {
        parts.push(rest);
    }
    if last {
        parts.reverse();
    }
    texts(parts)
}

fn lines(text: &str, ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends_line) {
        let after = rest[at..].chars().next().map_or(0, char::len_utf8);
        let after = if rest[at..].starts_with("\r\n") {
            2
        } else {
            after
        };
        lines.push(&rest[..if ends { at + after } else { at }]);
        rest = &rest[at + after..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Each letter behind one that has no case is a capital, all others are small: `it's` becomes `It'S`.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = false;
    for letter in text.chars() {
        if within {
            out.extend(letter.to_lowercase());
        } else {
            out.extend(letter.to_uppercase());
        }
        within = letter.is_lowercase() || letter.is_uppercase();
    }
    out
}

fn tabs_expanded(text: &str, size: usize) -> Result<String, Error> {
    padding("", size)?;
    let mut out = String::new();
    let mut column = 0;
    for letter in text.chars() {
        match letter {
            '\t' if size > 0 => {
                let count = size - column % size;
                out.push_str(&" ".repeat(count));
                column += count;
            }
            '\t' => {}
            letter => {
                out.push(letter);
                column = if matches!(letter, '\n' | '\r') {
                    0
                } else {
                    column + 1
                };
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(expression: &str) -> String {
        let mut environment = minijinja::Environment::new();
        environment.set_unknown_method_callback(call);
        environment.set_formatter(super::super::python::write);
        let source = format!("{{{{ {expression} }}}}");
        environment.render_str(&source, ()).unwrap()
    }

    /// Expected texts: `str()` of CPython 3.
    #[test]
    fn methods_return_what_pythons_return() {
        for (expression, expected) in [
            ("'a-b-c'.rsplit('-', 1)", "['a-b', 'c']"),
            ("' a  b c '.split()", "['a', 'b', 'c']"),
            ("' a  b c '.split(none, 1)", "['a', 'b c ']"),
            ("' a b '.rsplit(none, 1)", "[' a', 'b']"),
            ("'a b  c'.rsplit(none, 1)", "['a b', 'c']"),
            ("'a=b=c'.partition('=')", "('a', '=', 'b=c')"),
            ("'a=b=c'.rpartition('=')", "('a=b', '=', 'c')"),
            ("'abc'.partition('-')", "('abc', '', '')"),
            ("'hello'.index('l')", "2"),
            ("'héllo'.rindex('l')", "3"),
            ("'abcabc'.removeprefix('abc')", "abc"),
            ("'abcabc'.removesuffix('bc')", "abca"),
            ("'-5'.zfill(4)", "-005"),
            (
                "'a'.ljust(3, '.') + 'a'.rjust(3) + 'a'.center(4, '-')",
                "a..  a-a--",
            ),
            ("'ab'.center(5, '-')", "--ab-"),
            ("'aB'.swapcase()", "Ab"),
            ("'ẞß'.casefold()", "ssss"),
            ("'it\\'s a WORLD'.title()", "It'S A World"),
            ("'a\\tb'.expandtabs(4)", "a   b"),
            (
                "'a\\r\\nb\\u000bc\\u2028d'.splitlines()",
                "['a', 'b', 'c', 'd']",
            ),
            ("'\\u001ca\\u0085'.strip()|length", "1"),
            ("[1, 2, 1].index(2)", "1"),
            ("[1].copy()", "[1]"),
            ("{'a': 1}.copy()", "{'a': 1}"),
        ] {
            assert_eq!(shown(expression), expected, "{expression}");
        }
    }

    #[test]
    fn what_python_raises_is_refused() {
        let environment = || {
            let mut environment = minijinja::Environment::new();
            environment.set_unknown_method_callback(call);
            environment
        };
        for expression in [
            "'a'.index('b')",
            "[1].index(2)",
            "'a'.ljust(99999999)",
            "'a'.nothing()",
        ] {
            let source = format!("{{{{ {expression} }}}}");
            assert!(
                environment().render_str(&source, ()).is_err(),
                "{expression}"
            );
        }
    }
}
