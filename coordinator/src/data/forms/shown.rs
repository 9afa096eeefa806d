//! The cells of a workbook as texts, as a person sees them there.
//!
//! Keeps: a number in a format that is not a usual one is written with all its digits, up to the 15 that
//! a spreadsheet keeps; dates are written by ISO 8601, whatever the country of the workbook.

use calamine::{Data, ExcelDateTime};

/// The text of a cell with this number format.
pub(super) fn cell(cell: &Data, format: Option<&str>) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Data::Int(value) => number(*value as f64, format),
        Data::Float(value) => number(*value, format),
        Data::DateTime(value) => date(value),
        Data::Error(error) => error.to_string(),
    }
}

/// Letters of a column, from 0.
pub(super) fn column(mut column: u32) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'A' + u8::try_from(column % 26).unwrap_or(0)));
        if column < 26 {
            return letters.iter().rev().collect();
        }
        column = column / 26 - 1;
    }
}

fn date(value: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = value.to_ymd_hms_milli();
    if value.is_duration() {
        let seconds = (value.as_f64() * 86_400.0).round() as i64;
        return format!(
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
    }
    let time = match (hour, minute, second) {
        (_, _, 0) => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    match value.as_f64() {
        // A time without a day.
        number if number < 1.0 => time,
        number if number.fract() == 0.0 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {time}"),
    }
}

/// A number in its format: decimals, groups of thousands, percent.
fn number(value: f64, format: Option<&str>) -> String {
    let Some(format) = format.and_then(Format::of) else {
        return general(value);
    };
    let scaled = if format.percent { value * 100.0 } else { value };
    let text = format!("{:.*}", format.decimals, scaled.abs());
    let (whole, part) = text
        .split_once('.')
        .map_or((text.as_str(), ""), |(w, p)| (w, p));
    let mut digits = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if format.groups && i > 0 && (whole.len() - i) % 3 == 0 {
            digits.push(',');
        }
        digits.push(digit);
    }
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if scaled < 0.0 && !zero { "-" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    let percent = if format.percent { "%" } else { "" };
    format!(
        "{sign}{}{digits}{point}{part}{percent}{}",
        format.before, format.behind
    )
}

/// Up to 15 digits, as spreadsheets keep them.
fn general(value: f64) -> String {
    let rounded: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    format!("{rounded}")
}

#[derive(Debug, PartialEq)]
struct Format {
    decimals: usize,
    groups: bool,
    percent: bool,
    /// Such as a sign of currency.
    before: String,
    behind: String,
}

impl Format {
    /// Only formats of plain digits; `None` of all others.
    fn of(code: &str) -> Option<Self> {
        let first = code.split(';').next()?;
        let mut format = Self {
            decimals: 0,
            groups: false,
            percent: false,
            before: String::new(),
            behind: String::new(),
        };
        let (mut digits, mut point) = (0, false);
        let mut letters = first.chars();
        while let Some(letter) = letters.next() {
            let literal = match letter {
                '0' if point => {
                    format.decimals += 1;
                    continue;
                }
                '#' if point => return None,
                '0' | '#' => {
                    digits += 1;
                    continue;
                }
                ',' if digits > 0 => {
                    format.groups = true;
                    continue;
                }
                '.' if digits > 0 && !point => {
                    point = true;
                    continue;
                }
                '%' => {
                    format.percent = true;
                    continue;
                }
                '"' => letters.by_ref().take_while(|c| *c != '"').collect(),
                '\\' => letters.next()?.to_string(),
                '¥' | '￥' | '$' | '€' | '£' | ' ' => letter.to_string(),
                // The width of a sign, which is not shown.
                '_' => {
                    letters.next();
                    continue;
                }
                _ => return None,
            };
            if digits > 0 {
                format.behind.push_str(&literal)
            } else {
                format.before.push_str(&literal)
            }
        }
        (digits > 0).then_some(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calamine::ExcelDateTimeType;

    #[test]
    fn numbers_are_texts_as_they_are_shown() {
        for (value, format, text) in [
            (12.5, Some("0.00"), "12.50"),
            (12.5, None, "12.5"),
            (12.5, Some("General"), "12.5"),
            (3.0, None, "3"),
            (0.1 + 0.2, None, "0.3"),
            (1_234_567.891, Some("#,##0.00"), "1,234,567.89"),
            (0.125, Some("0.0%"), "12.5%"),
            (-1234.0, Some("¥#,##0.00"), "-¥1,234.00"),
            (5.0, Some("0\"元\""), "5元"),
            (-0.001, Some("0.00"), "0.00"),
            (7.0, Some("@"), "7"),
            (13_800_138_000.0, None, "13800138000"),
        ] {
            assert_eq!(cell(&Data::Float(value), format), text);
        }
    }

    #[test]
    fn dates_are_iso_and_columns_have_letters() {
        let date = |value| {
            Data::DateTime(ExcelDateTime::new(
                value,
                ExcelDateTimeType::DateTime,
                false,
            ))
        };
        assert_eq!(cell(&date(46_082.0), None), "2026-03-01");
        assert_eq!(cell(&date(46_082.5), None), "2026-03-01 12:00");
        assert_eq!(cell(&date(0.25), None), "06:00");
        assert_eq!(
            [0, 25, 26, 701, 702].map(column),
            ["A", "Z", "AA", "ZZ", "AAA"]
        );
    }
}
