//! Checksums and dates: what tells an identity number or a bank card from any other digits.
//!
//! In: ASCII digits. Out: yes or no. Resident numbers follow GB 11643-1999 (weights of ISO 7064
//! MOD 11-2), cards ISO/IEC 7812-1 (Luhn).

/// First two digits of a resident number: provinces, then Taiwan, Hong Kong, Macau.
const REGIONS: &[u8] = &[
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52,
    53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
];
/// Years of birth that a living person's number can have; not a clock, so that no day changes it.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=2049;

/// 18 characters: region, date and check character hold.
pub(super) fn is_resident_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let body = bytes.get(..17).unwrap_or_default();
    if bytes.len() != 18 || !body.iter().all(u8::is_ascii_digit) {
        return false;
    }
    is_region(text) && is_date(number(&text[6..10]), &text[10..14]) && {
        let expected = check_character(body);
        bytes[17].to_ascii_uppercase() == expected
    }
}

/// 15 digits of the form used until 1999: region and date hold; there is no check digit.
pub(super) fn is_old_resident_id(text: &str) -> bool {
    text.len() == 15
        && text.bytes().all(|b| b.is_ascii_digit())
        && is_region(text)
        && is_date(1900 + number(&text[6..8]), &text[8..12])
}

/// The eighteenth character for the first seventeen digits.
fn check_character(digits: &[u8]) -> u8 {
    let mut weight = 1;
    let mut sum = 0;
    for digit in digits.iter().rev() {
        weight = weight * 2 % 11;
        sum += weight * u32::from(digit - b'0');
    }
    match (12 - sum % 11) % 11 {
        10 => b'X',
        value => b'0' + u8::try_from(value).unwrap_or_default(),
    }
}

/// The digits satisfy Luhn's sum.
pub(super) fn luhn(digits: &str) -> bool {
    let mut sum = 0;
    for (place, byte) in digits.bytes().rev().enumerate() {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        sum += match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        };
    }
    sum % 10 == 0 && digits.bytes().any(|b| b != b'0')
}

fn is_region(text: &str) -> bool {
    u8::try_from(number(&text[..2])).is_ok_and(|region| REGIONS.contains(&region))
}

fn is_date(year: u32, month_day: &str) -> bool {
    let (month, day) = (number(&month_day[..2]), number(&month_day[2..]));
    let leap = (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    YEARS.contains(&year) && (1..=days).contains(&day)
}

fn number(digits: &str) -> u32 {
    digits.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two numbers printed as examples in GB 11643-1999; one of them is of a birth in 1880.
    #[test]
    fn the_examples_of_the_standard_hold() {
        assert!(is_resident_id("11010519491231002X"));
        assert!(is_resident_id("11010519491231002x"));
        assert_eq!(check_character(b"44052418800101001"), b'4');
        assert_eq!(check_character(b"11010519491231002"), b'X');
    }

    #[test]
    fn one_wrong_digit_is_always_seen() {
        let right = "11010519491231002X";
        for place in 0..17 {
            for digit in b'0'..=b'9' {
                let mut wrong = right.as_bytes().to_vec();
                if wrong[place] != digit {
                    wrong[place] = digit;
                    assert!(!is_resident_id(std::str::from_utf8(&wrong).unwrap()));
                }
            }
        }
    }

    #[test]
    fn region_and_date_must_exist() {
        for body in [
            "99010519491231002",
            "11010519490229002",
            "11010519491331002",
            "11010520500101002",
        ] {
            let whole = format!("{body}{}", char::from(check_character(body.as_bytes())));
            assert!(!is_resident_id(&whole), "{whole}");
        }
        assert!(is_old_resident_id("110105491231002"));
        assert!(!is_old_resident_id("110105491331002"));
        assert!(!is_old_resident_id("100105491231002"));
    }

    /// Numbers that the card schemes publish for tests, and the example of ISO/IEC 7812-1.
    #[test]
    fn published_card_numbers_satisfy_luhn_and_altered_ones_do_not() {
        for card in [
            "79927398713",
            "4111111111111111",
            "5555555555554444",
            "378282246310005",
            "3530111333300000",
            "6200000000000005",
        ] {
            assert!(luhn(card), "{card}");
            for other in 1..10 {
                let (head, last) = card.split_at(card.len() - 1);
                let last = (number(last) + other) % 10;
                assert!(!luhn(&format!("{head}{last}")), "{card} {other}");
            }
        }
        assert!(!luhn("0000000000000000"));
    }
}
