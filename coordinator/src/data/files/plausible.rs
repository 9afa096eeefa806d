//! How much a text looks like one that somebody wrote, and not like bytes read in a wrong encoding.
//!
//! In: text as an encoding gives it. Out: about 1 for real text, well below for a misreading. What
//! speaks for it: frequent Chinese characters, kana among them, letters with accents inside of words,
//! Cyrillic and Hangul in words. What speaks against it: rare characters, letters of several scripts
//! in one word, signs that nobody types.

use encoding_rs::{BIG5, GBK};

/// The most frequent characters of Chinese, simplified and traditional: about half of any text.
const FREQUENT: &str = "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑性通目华报立马命张活难神数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台象记边共风战干接它许八特觉望直服毛林题建南度统色字请交爱让认算论百吃义科怎元社术结六功指思非流每青管夫连远资队跟带花快条院变联言权往展该领传近留红治决周保达办运武半候七必城父强步完革深区即求品士转量空甚众技轻程告江语英基派满式李息写呢识极令黄德收脸钱党倒未持取设始版双历越史商千片容研像找友孩站广改议形委早房音火际则首单据导影失拿网香似斯专石若兵弟谁校读志飞观争究包组造落视济喜离虽坏兴注试约号举限租赁违赔偿付款诉讼院律师合同劳动借条押退证据纠纷患者医生症状治疗药這個來說們為時會對後裡過還發當無開經頭動兩長樣現從將與進實點種聲話問機給幾業間電門東書風見員體場處總許張萬難數車應題愛讓認論義術結連遠資隊帶條變聯權領傳紅辦運強區轉眾輕語滿寫識極錢黨設雙歷廣議專據導單";

/// How plausible a text is; control characters and characters for private use are none.
pub(super) fn plausible(text: &str, ascii_counts: bool) -> f64 {
    let all: Vec<char> = text.chars().collect();
    let korean = all.iter().filter(|c| is_hangul(**c)).count();
    let chinese = all.iter().filter(|c| is_han(**c)).count();
    let (mut sum, mut count) = (0.0, 0_u32);
    for (i, &c) in all.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| all[i]);
        let after = all.get(i + 1).copied();
        let weight = match c {
            '\n' | '\r' | '\t' => continue,
            _ if c.is_control() => -2.0,
            _ if c.is_ascii() && ascii_counts => 1.0,
            _ if c.is_ascii() => continue,
            _ if is_han(c) => han(c, before, after),
            _ if is_hangul(c) => {
                if korean > 3 * chinese {
                    1.0
                } else {
                    0.2
                }
            }
            _ => other(c, before, after),
        };
        sum += weight;
        count += 1;
    }
    if count == 0 {
        0.0
    } else {
        sum / f64::from(count)
    }
}

fn is_han(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0x2_0000..=0x3_ffff)
}

fn is_hangul(c: char) -> bool {
    matches!(u32::from(c), 0xac00..=0xd7af)
}

/// A Chinese character between Latin letters is an accented letter and its neighbour, misread.
fn han(c: char, before: Option<char>, after: Option<char>) -> f64 {
    let small = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase());
    if small(before) || small(after) {
        0.0
    } else if FREQUENT.contains(c) {
        1.6
    } else if usual(c) {
        0.7
    } else {
        0.1
    }
}

/// Whether a character stands in the first level of GB 2312 or of Big5.
fn usual(c: char) -> bool {
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    let (gb, _, unknown) = GBK.encode(text);
    if !unknown && matches!(gb[..], [0xb0..=0xd7, 0xa1..=0xfe]) {
        return true;
    }
    let (big5, _, unknown) = BIG5.encode(text);
    !unknown && matches!(big5[..], [0xa4..=0xc6, _])
}

fn other(c: char, before: Option<char>, after: Option<char>) -> f64 {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    let latin = |c: Option<char>| c.is_some_and(|c| matches!(u32::from(c), 0xc0..=0x24f));
    let high = |c: Option<char>| c.is_some_and(|c| matches!(u32::from(c), 0x80..=0x2122));
    match u32::from(c) {
        // Hiragana, katakana, Chinese signs, full-width letters.
        0x3000..=0x30ff | 0xff01..=0xff5e => 1.0,
        // Signs of typography stand beside letters and blanks, not beside one another.
        0x2010..=0x2026 | 0x20ac if !high(before) && !high(after) => 1.0,
        // Half-width katakana: what single bytes become when read as Japanese.
        0xff61..=0xff9f => 0.1,
        0x400..=0x4ff => cyrillic(c, before, after),
        0xc0..=0x24f if c.is_alphabetic() => {
            let crowd = latin(before) || latin(after);
            // A capital letter inside of a word is none that somebody typed.
            let odd = c.is_uppercase() && before.is_some_and(|b| b.is_lowercase());
            if crowd || odd { 0.1 } else { 1.0 }
        }
        // A sign of Latin-1 inside of a word is a misread byte.
        0xa0..=0xbf | 0xd7 | 0xf7 => {
            if letter(before) && letter(after) || latin(before) || latin(after) {
                0.1
            } else {
                0.8
            }
        }
        0xe000..=0xf8ff | 0xfffd => -2.0,
        _ => 0.2,
    }
}

fn cyrillic(c: char, before: Option<char>, after: Option<char>) -> f64 {
    let same = |c: Option<char>| c.is_some_and(|c| matches!(u32::from(c), 0x400..=0x4ff));
    let odd = c.is_uppercase() && before.is_some_and(|b| b.is_lowercase());
    match same(before) || same(after) {
        true if !odd => 1.0,
        _ => 0.2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::{EUC_KR, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};

    #[test]
    fn text_is_more_plausible_than_the_same_bytes_in_another_encoding() {
        let all = [GBK, BIG5, SHIFT_JIS, EUC_KR, WINDOWS_1252, WINDOWS_1251];
        let texts = [
            (GBK, "合同没有约定违约金怎么办？可以要求赔偿实际损失。"),
            (BIG5, "房東不退押金怎麼辦？可以請求返還。"),
            (
                SHIFT_JIS,
                "敷金は返してもらえますか？契約書を確認してください。",
            ),
            (
                EUC_KR,
                "보증금을 돌려받을 수 있나요? 계약서를 확인하십시오.",
            ),
            (
                WINDOWS_1252,
                "Wie lange läuft der Vertrag? Über die vereinbarte Zeit; Kündigung möglich.",
            ),
            (
                WINDOWS_1252,
                "Le propriétaire a-t-il le droit de refuser ? Dépôt de garantie : 450 €.",
            ),
            (WINDOWS_1251, "Можно ли вернуть залог? Да, по договору."),
        ];
        for (own, text) in texts {
            let (bytes, _, lost) = own.encode(text);
            assert!(!lost, "{text}");
            let right = plausible(text, false);
            assert!(right > 0.75, "{text}: {right}");
            for other in all.iter().filter(|other| other.name() != own.name()) {
                let (read, failed) = other.decode_without_bom_handling(&bytes);
                let wrong = plausible(&read, false);
                assert!(
                    failed || wrong < right * 0.8,
                    "{text} as {}: {read} {wrong} of {right}",
                    other.name()
                );
            }
        }
    }
}
