//! Names of other languages written in Chinese characters: `玛丽亚·冈萨雷斯`, `古丽米热`.
//!
//! In: folded text. Out: spans. Such names are spelt with few characters. A point between the parts gives them
//! away; without one, pieces that names of Uyghur, Mongolian and Tibetan people are made of do.

use std::ops::Range;

use regex::Regex;

use super::context::is_han;
use super::words::cut;

/// Characters that foreign names are spelt with.
const SPELLING: &str = "保福豪弥迦妲姬荷塞韵阿艾埃爱奥巴白拜贝本比彼宾波伯布查车达戴德登迪蒂丁杜多额恩尔法菲费夫弗福盖戈哥格古哈海汉赫亨胡华惠霍基吉加贾杰金卡凯坎康柯科克肯库拉莱兰劳勒雷里丽利莉列林琳伦罗洛马玛迈麦曼梅门蒙米密莫姆穆娜纳奈南内尼妮诺努欧帕潘佩皮平普齐奇乔切琴琼丘茹瑞若萨赛桑瑟森沙莎山尚史舍什斯丝苏索塔泰坦汤唐特提田廷图托瓦旺威韦维温文沃乌西希锡夏香肖谢辛休许雪雅亚扬杨耶叶伊依英尤约泽扎詹珍治朱兹卓佐娃吾木江汗买热逊孜则翰冈卜不合力丹云仁其再吐增央措日旦明次玉班甫祖素衣都青高";
/// Characters of names without a point.
const STEPPE: &str = "不丹丽乌买云亚仁伊依克其再则力努勒卓卜古合吉吐吾哈图增夏多央姆娃娜孜尔尼山巴帕平库扎拉措提斯日旦明木格桑森次汗江沙洛热玉玛班琴瓦甫白祖米素艾苏莱萨衣西赛达迪逊都金阿雅青高麦";
const PIECES: &str = "古丽|买提|木江|阿依|阿不都|阿卜杜|阿布都|吐尔逊|吐尔|热依|努尔|迪丽|米热|木拉提|艾尼|艾山|艾力|玉素甫|依明|哈丽|再努|祖丽|其其格|巴图|格日勒|乌云|萨仁|娜仁|扎西|卓玛|次仁|尼玛|达瓦|格桑|旦增|平措|央金|洛桑|丹增|多吉|仁青|拉姆|白玛|帕提|苏莱|斯琴|高娃|热娜|阿力木|玛依拉|哈斯|图雅|艾则孜|麦麦提";
const POINTS: [char; 2] = ['·', '•'];
/// Most characters of one part of a name.
const PART: usize = 7;

/// Finds names of other languages.
pub(super) struct Foreign(Regex);

impl Foreign {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Regex::new(PIECES).map(Self)
    }

    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = pointed(text);
        found.extend(self.pointless(text));
        found
    }

    /// Names without a point: long enough, and with a piece that only names have.
    fn pointless(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(piece) = self.0.find_at(text, at) {
            let before = text[at..piece.start()]
                .chars()
                .rev()
                .take_while(|c| STEPPE.contains(*c));
            let start = piece.start() - before.map(char::len_utf8).sum::<usize>();
            let after = text[start..].chars().take_while(|c| STEPPE.contains(*c));
            let end = start + after.map(char::len_utf8).sum::<usize>();
            let name = &text[start..end];
            let pieces: usize = self
                .0
                .find_iter(name)
                .map(|piece| piece.as_str().chars().count())
                .sum();
            let length = name.chars().count();
            if (3..=8).contains(&length) && (pieces >= 3 || length >= 4) {
                found.push(start..end);
            }
            at = end.max(piece.end());
        }
        found
    }
}

/// Parts with a point between them.
fn pointed(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (point, mark) in text.match_indices(POINTS) {
        let after = point + mark.len();
        let end = after + spelt(&text[after..]);
        let left = text[..point]
            .chars()
            .rev()
            .take(PART)
            .take_while(|c| SPELLING.contains(*c));
        let start = point - left.map(char::len_utf8).sum::<usize>();
        if end == after {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end >= start && last.end <= point => last.end = end,
            _ if start < point => found.push(start..end),
            _ => {}
        }
    }
    found
}

/// Bytes of the part that begins here. A word that begins with a character of names and goes on with others is
/// none of its own: in `杜邦因病`, 因 is no part of the name.
fn spelt(rest: &str) -> usize {
    let run: usize = rest
        .chars()
        .take(PART)
        .take_while(|c| SPELLING.contains(*c))
        .map(char::len_utf8)
        .sum();
    if !rest[run..].starts_with(is_han) {
        return run;
    }
    let far = rest
        .char_indices()
        .nth(PART + 4)
        .map_or(rest.len(), |(at, _)| at);
    let words = cut(&rest[..far]);
    let over = words
        .iter()
        .find(|word| word.start < run && run < word.end());
    over.map_or(run, |word| if word.start > 0 { word.start } else { run })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&str> {
        Foreign::new()
            .unwrap()
            .find(text)
            .into_iter()
            .map(|span| &text[span])
            .collect()
    }

    #[test]
    fn a_point_or_a_piece_gives_a_name_away() {
        assert_eq!(names("原告玛丽亚·冈萨雷斯预订了房间"), ["玛丽亚·冈萨雷斯"]);
        assert_eq!(names("让-保罗·德·拉图尔的签证"), ["保罗·德·拉图尔"]);
        assert_eq!(names("请古丽米热女士签收"), ["古丽米热"]);
        assert!(names("第一章·总则").is_empty());
        assert!(names("巴图的书、阿姆斯特丹的花").is_empty());
    }
}
