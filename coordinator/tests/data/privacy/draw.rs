//! Made-up values, drawn from a seed: right checksums, nobody's data.
//!
//! Checksums are computed here from the standards' own formulas, by another way than the program's.

/// SplitMix64.
pub struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most as u64) as usize
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b'0' + self.below(10) as u8))
            .collect()
    }

    pub fn full_width(&mut self, text: String) -> String {
        if self.below(10) > 0 {
            return text;
        }
        let wide = |c: char| match c {
            '0'..='9' | 'A'..='Z' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
            c => c,
        };
        text.chars().map(wide).collect()
    }

    fn date(&mut self) -> String {
        let year = 1942 + self.below(70);
        format!("{year}{:02}{:02}", 1 + self.below(12), 1 + self.below(28))
    }

    pub fn id(&mut self) -> String {
        let region = self.one(&[
            "110105", "310104", "440305", "510107", "330106", "420111", "610113", "230102",
            "650104", "500112",
        ]);
        let body = format!("{region}{}{}", self.date(), self.digits(3));
        let last = id_check(&body);
        let (r, d, s) = (&body[..6], &body[6..14], &body[14..]);
        match self.below(8) {
            0 => format!("{r} {d} {s}{last}"),
            1 if last == 'X' => format!("{body}x"),
            _ => format!("{body}{last}"),
        }
    }

    pub fn old_id(&mut self) -> String {
        let region = self.one(&["110105", "310104", "440305", "320106"]);
        format!("{region}{}{}", &self.date()[2..], self.digits(3))
    }

    pub fn card(&mut self) -> String {
        let (prefix, length) = self.one(&[
            ("622202", 19),
            ("621700", 19),
            ("622848", 19),
            ("621226", 19),
            ("622588", 16),
            ("625955", 16),
            ("436742", 16),
            ("411123", 16),
            ("521899", 16),
            ("356833", 16),
            ("374238", 15),
            ("601382", 16),
        ]);
        let number = with_luhn(&format!(
            "{prefix}{}",
            self.digits(length - 1 - prefix.len())
        ));
        let groups = |mark: &str| {
            let parts: Vec<&str> = number
                .as_bytes()
                .chunks(4)
                .map(|c| std::str::from_utf8(c).unwrap())
                .collect();
            parts.join(mark)
        };
        match self.below(5) {
            0 if length != 15 => groups(" "),
            1 if length != 15 => groups("-"),
            _ => number,
        }
    }

    pub fn phone(&mut self) -> String {
        let mobile = format!(
            "1{}{}",
            self.one(&["38", "59", "86", "33", "77", "91", "50"]),
            self.digits(8)
        );
        let (a, b, c) = (&mobile[..3], &mobile[3..7], &mobile[7..]);
        let local = format!("{}{}", 2 + self.below(7), self.digits(7));
        match self.below(14) {
            0 => format!("{a}-{b}-{c}"),
            1 => format!("{a} {b} {c}"),
            2 => format!("+86{mobile}"),
            3 => format!("+86 {a} {b} {c}"),
            4 => format!("0086-{mobile}"),
            5 => format!("010-{local}"),
            6 => format!("（021）{local}"),
            7 => format!("0755-{local}"),
            8 => format!("0571 {local}"),
            _ => mobile,
        }
    }

    pub fn abroad(&mut self) -> String {
        let (a, b) = (200 + self.below(700), 200 + self.below(700));
        let four = self.digits(4);
        match self.below(7) {
            0 => format!("+1 ({a}) {b}-{four}"),
            1 => format!("({a}) {b}-{four}"),
            2 => format!("{a}-{b}-{four}"),
            3 => format!("+44 20 7{} {four}", self.digits(3)),
            4 => format!("+852 9{} {four}", self.digits(3)),
            5 => format!("+1-{a}-{b}-{four}"),
            _ => format!("+65 8{} {four}", self.digits(3)),
        }
    }

    pub fn email(&mut self) -> String {
        let who = self.one(&[
            "zhangw",
            "li.na",
            "wang_qiang88",
            "chen-jie",
            "Sunny.Zhao",
            "law2020",
            "j.smith",
            "m.o.brown",
            "hr+cv",
            "x1990",
        ]);
        let host = self.one(&[
            "163.com",
            "qq.com",
            "126.com",
            "gmail.com",
            "outlook.com",
            "sina.com.cn",
            "mail.example.org",
            "firm-law.cn",
            "uni.ac.uk",
        ]);
        let number = self.below(1000);
        format!("{who}{number}@{host}")
    }

    pub fn plate(&mut self) -> String {
        let province = self.one(&[
            "京", "沪", "粤", "苏", "浙", "川", "鲁", "冀", "鄂", "陕", "黑", "渝",
        ]);
        let city = self.one(&["A", "B", "C", "E", "F", "H"]);
        let mark = self.one(&["", "", "·", " "]);
        let letter = self.one(&["K", "Q", "M", "8", "3", "T"]);
        let tail = match self.below(4) {
            0 => format!("{}{}", self.one(&["D", "F"]), self.digits(5)),
            1 => format!("{}{letter}{}", self.digits(2), self.digits(2)),
            2 => format!("{letter}{}{}", self.digits(3), self.one(&["7", "L", "挂"])),
            _ => self.digits(5),
        };
        format!("{province}{city}{mark}{tail}")
    }

    pub fn passport(&mut self) -> String {
        match self.below(4) {
            0 => format!("E{}{}", self.one(&["A", "J", "K", "B"]), self.digits(7)),
            1 => format!("G{}", self.digits(8)),
            2 => format!("5{}", self.digits(8)),
            _ => format!("E{}", self.digits(8)),
        }
    }

    pub fn record(&mut self) -> String {
        match self.below(4) {
            0 => format!("ZY{}", self.digits(8)),
            1 => format!("{}-{}", self.digits(6), self.digits(2)),
            2 => self.digits(6),
            _ => format!("2{}", self.digits(9)),
        }
    }

    pub fn chinese_name(&mut self) -> String {
        let family = self.one(&[
            "王", "李", "张", "刘", "陈", "杨", "黄", "赵", "吴", "周", "徐", "孙", "马", "朱",
            "胡", "郭", "何", "林", "高", "罗", "郑", "梁", "谢", "宋", "唐", "许", "韩", "邓",
            "冯", "曹", "方", "于", "任", "常", "欧阳", "诸葛",
        ]);
        let given = self.one(&[
            "伟", "芳", "秀英", "娜", "敏", "静", "丽华", "建国", "强", "磊", "洋", "艳", "勇",
            "志明", "杰", "桂兰", "涛", "子涵", "浩然", "晓东", "雪梅", "国庆", "海燕", "文静",
            "一鸣", "雨桐", "向东", "和平", "春来", "思远",
        ]);
        format!("{family}{given}")
    }

    pub fn english_name(&mut self) -> String {
        let first = self.one(&[
            "John", "Mary", "Robert", "Linda", "Emily", "Ahmed", "Wei", "Carlos", "Sophie",
            "Priya", "George",
        ]);
        let last = self.one(&[
            "Smith",
            "Johnson",
            "O'Brien",
            "Garcia",
            "Zhang",
            "Miller",
            "Khan",
            "Taylor-Reed",
            "Novak",
            "Lee",
        ]);
        match self.below(4) {
            0 => format!("{first} {}. {last}", self.one(&["A", "J", "M"])),
            _ => format!("{first} {last}"),
        }
    }

    pub fn address(&mut self) -> String {
        let n = 1 + self.below(300);
        let (b, u, r) = (
            1 + self.below(30),
            1 + self.below(5),
            101 + self.below(1800),
        );
        match self.below(14) {
            0 => format!("北京市朝阳区建国路{n}号院{b}号楼{u}单元{r}室"),
            1 => format!("上海市浦东新区张杨路{n}弄{b}号{r}室"),
            2 => format!("广东省深圳市南山区科技园南区高新南一道{n}号"),
            3 => format!("浙江省杭州市西湖区文三路{n}号华星大厦{r}室"),
            4 => format!("四川省成都市武侯区人民南路四段{n}号{b}栋{u}单元{r}"),
            5 => format!("河南省周口市太康县城关镇李家村{b}组{n}号"),
            6 => format!("南京市鼓楼区中山北路{n}号"),
            7 => format!("湖北省武汉市洪山区珞喻路{n}号光谷广场A座{r}"),
            8 => format!("海淀区中关村大街{n}号"),
            9 => format!("西安市雁塔区小寨东路{n}号{b}幢{u}-{r}"),
            10 => format!("重庆市渝中区解放碑街道民族路{n}号"),
            11 => format!("山东省济南市历下区泉城花园{b}号楼{u}单元{r}室"),
            12 => format!("和平路{n}号{b}栋{r}房"),
            _ => format!("黑龙江省哈尔滨市道里区中央大街{n}号"),
        }
    }

    pub fn english_address(&mut self) -> String {
        let (n, apt) = (1 + self.below(9000), 1 + self.below(90));
        let road = self.one(&[
            "Maple Street",
            "Oak Ave",
            "W. 5th Avenue",
            "Martin Luther King Blvd",
            "Baker Street",
            "Sunset Drive",
            "Old Mill Rd",
        ]);
        let city = self.one(&[
            "",
            ", Springfield",
            ", Portland, OR 97205",
            ", San Jose, CA 95112",
        ]);
        match self.below(3) {
            0 => format!("{n} {road}, Apt {apt}{city}"),
            _ => format!("{n} {road}{city}"),
        }
    }

    pub fn amount(&mut self) -> String {
        let n = 1 + self.below(900);
        match self.below(9) {
            0 => format!("{n}万元"),
            1 => format!("人民币{n},000.00元"),
            2 => format!("￥{n}800"),
            3 => format!("{}元", n * 1000),
            4 => self
                .one(&["壹拾贰万叁仟元整", "伍拾万元整", "叁佰柒拾元伍角", "贰仟元"])
                .to_owned(),
            5 => self
                .one(&["三万元", "五十万元", "两千八百元", "十二万余元"])
                .to_owned(),
            6 => format!("${n},500"),
            7 => format!("{n} million dollars"),
            _ => format!("{n}.5亿元"),
        }
    }
}

/// GB 11643: sum of digit times 2^(place) modulo 11, place 1 being the check character.
pub fn id_check(body: &str) -> char {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body
        .bytes()
        .zip(WEIGHTS)
        .map(|(b, w)| u32::from(b - b'0') * w)
        .sum();
    "10X98765432".chars().nth((sum % 11) as usize).unwrap()
}

/// The digits and the one that makes Luhn's sum a multiple of ten.
pub fn with_luhn(body: &str) -> String {
    const TWICE: [u32; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let value = |(place, b): (usize, u8)| {
        let digit = u32::from(b - b'0');
        if place % 2 == 0 {
            TWICE[digit as usize]
        } else {
            digit
        }
    };
    let sum: u32 = body.bytes().rev().enumerate().map(value).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}
