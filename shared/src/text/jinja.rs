//! Filters, tests and globals that come out differently in jinja2, or that minijinja does not have.
//!
//! In: an environment. Out: the same one, for templates that were written for jinja2 3.1 as transformers sets it up.
//! Not here: Python's methods (`methods`), its printing (`python`), `tojson` (`json`).

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value};
use minijinja_contrib::{filters, globals};

use super::{functions, json, methods, python};

/// Adds everything that a chat template may expect.
pub(super) fn extend(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(methods::call);
    environment.set_formatter(python::write);
    environment.add_function("raise_exception", functions::raise_exception);
    environment.add_function("strftime_now", functions::strftime_now);
    environment.add_function("dict", dict);
    environment.add_function("cycler", |items: Rest<Value>| globals::cycler(items.0));
    environment.add_function("joiner", globals::joiner);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("string", python::string);
    environment.add_filter("int", int);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("striptags", filters::striptags);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("truncate", truncate);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    environment.add_test("sequence", is_sequence);
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
}

/// What has a length and is read by index: texts and maps too. An undefined value is one to jinja2.
fn is_sequence(value: &Value) -> bool {
    let kinds = [
        ValueKind::Seq,
        ValueKind::Map,
        ValueKind::String,
        ValueKind::Undefined,
    ];
    kinds.contains(&value.kind())
}

/// `dict` of pairs as well as of a map.
fn dict(value: Option<Value>, more: Kwargs) -> Result<Value, Error> {
    let value = match value {
        Some(pairs) if pairs.kind() == ValueKind::Seq => {
            let pair = |pair: Value| -> Result<(Value, Value), Error> {
                Ok((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?))
            };
            let pairs: Result<Vec<_>, Error> = pairs.try_iter()?.map(pair).collect();
            Some(Value::from_pairs(pairs?))
        }
        other => other,
    };
    minijinja::functions::dict(value, more)
}

/// A whole number, or the default, 0, for what is none.
fn int(
    state: &State,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    options: Kwargs,
) -> Result<Value, Error> {
    let named: Option<Value> = options.get("default")?;
    let default = default.or(named).unwrap_or_else(|| Value::from(0));
    minijinja::filters::int(state, value, Some(default), base, options)
}

/// HTML as markupsafe writes it, quotes by number.
fn escape(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut out = String::new();
    for letter in value.to_string().chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
    Value::from_safe_string(out)
}

/// Number of words: runs of letters, digits and underscores.
fn wordcount(text: &str) -> usize {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.filter(|word| !word.is_empty()).count()
}

/// The text cut to a length, at a space unless `killwords`, with `end` behind; a text that is `leeway` longer stays.
fn truncate(
    text: &str,
    length: Option<usize>,
    killwords: Option<bool>,
    end: Option<&str>,
    options: Kwargs,
) -> Result<String, Error> {
    let length = length.or(options.get("length")?).unwrap_or(255);
    let killwords = killwords.or(options.get("killwords")?).unwrap_or(false);
    let end = end.or(options.get("end")?).unwrap_or("...");
    let leeway = options.get::<Option<usize>>("leeway")?.unwrap_or(5);
    options.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept = length.saturating_sub(end.chars().count());
    let head: String = text.chars().take(kept).collect();
    let head = match head.rsplit_once(' ') {
        Some((head, _)) if !killwords => head,
        _ => head.as_str(),
    };
    Ok(format!("{head}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let mut environment = Environment::new();
        extend(&mut environment);
        let json = serde_json::json!({"text": " a", "map": {"a": 1}, "list": [1], "whole": 3});
        let context = super::super::functions::from_json(&json);
        let shown = environment.render_str(source, context);
        shown.map_err(|e| format!("{source}: {e:#}")).unwrap()
    }

    /// Expected texts: jinja2 3.1.6.
    #[test]
    fn tests_filters_and_globals_come_out_as_in_jinja2() {
        for (source, expected) in [
            (
                "{{ none is iterable }} {{ gone is iterable }} {{ whole is iterable }}",
                "False True False",
            ),
            (
                "{{ text is iterable }} {{ map is iterable }} {{ list is iterable }}",
                "True True True",
            ),
            (
                "{{ text is sequence }} {{ map is sequence }} {{ list is sequence }}",
                "True True True",
            ),
            (
                "{{ none is sequence }} {{ whole is sequence }}",
                "False False",
            ),
            (
                "{{ raise_exception is callable }} {{ text is callable }}",
                "True False",
            ),
            (
                "{{ 'x'|int }} {{ 'x'|int(7) }} {{ '42'|int + 1 }} {{ 'ff'|int(base=16) }} {{ 3.9|int }}",
                "0 7 43 255 3",
            ),
            (
                "{{ '<a>&\"\\''|e }} {{ '<a>'|safe|escape }}",
                "&lt;a&gt;&amp;&#34;&#39; <a>",
            ),
            (
                "{{ 1e-7|string }} {{ 25.0|string }} {{ none|string }} {{ [1.0, 'a']|string }} {{ text|string }}",
                "1e-07 25.0 None [1.0, 'a']  a",
            ),
            ("{{ 'a b, c'|wordcount }} {{ '<b>x</b>'|striptags }}", "3 x"),
            (
                "{{ 'hello world foo'|truncate(8) }} {{ 'hello world'|truncate(8) }}",
                "hello... hello world",
            ),
            (
                "{{ 'hello world foo'|truncate(9, true, '~', leeway=0) }}",
                "hello wo~",
            ),
            (
                "{{ dict([['a', 1]], b=2) }} {{ dict(map) }} {{ dict() }}",
                "{'a': 1, 'b': 2} {'a': 1} {}",
            ),
            (
                "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}",
                "aba",
            ),
            ("{% set j = joiner(',') %}{{ j() }}a{{ j() }}b", "a,b"),
            (
                "{{ (1, 2) }} {{ (1,) }} {{ () }} {{ map.items()|list }}",
                "(1, 2) (1,) () [('a', 1)]",
            ),
        ] {
            assert_eq!(shown(source), expected, "{source}");
        }
    }
}
