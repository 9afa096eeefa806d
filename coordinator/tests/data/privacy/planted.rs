//! Sentences as people write them, with a made-up value in the place of `{}`.

use shared::config::PrivacyKind as K;

use super::draw::Draw;

/// A text, where the value stands in it, and what it is.
pub struct Planted {
    pub text: String,
    pub value: String,
    pub kind: K,
}

type Value = fn(&mut Draw) -> String;

/// What stands around the sentences.
const BEFORE: &[&str] = &[
    "",
    "",
    "",
    "您好，想咨询一下。",
    "律师你好！",
    "情况是这样的：",
    "Hello. ",
    "补充一下，",
    "(续)",
    "根据您的要求，",
];
const AFTER: &[&str] = &[
    "",
    "",
    "",
    "谢谢。",
    "麻烦帮忙看看",
    " Thanks!",
    "请问该怎么办？",
    "\n以上情况属实。",
    "……",
];

const GROUPS: &[(K, usize, Value, &[&str])] = &[
    (
        K::Ids,
        70,
        Draw::id,
        &[
            "我的身份证号是{}，能查到立案了吗？",
            "身份证：{}",
            "公民身份号码{}，汉族，农民。",
            "被告，男，{}，住所不明。",
            "证件类型居民身份证 号码 {}",
            "他把{}这个号填到贷款合同里了",
            "ID number: {}.",
            "My Chinese ID is {}, can I still sue?",
            "（身份证号码：{}）",
            "请核对：{}。",
            "身份证号{}的户主已迁出",
            "登记的是\"{}\"，跟户口本不一致",
        ],
    ),
    (
        K::Ids,
        14,
        Draw::old_id,
        &[
            "老身份证号码是{}，一代证",
            "一代身份证{}已经作废了",
            "old ID card number {} was issued in 1995",
        ],
    ),
    (
        K::BankCards,
        70,
        Draw::card,
        &[
            "钱打到这张卡{}上的",
            "卡号：{}，开户行在城南支行",
            "请退款至{}",
            "对方的银行账号是{}。",
            "信用卡{}被盗刷了两笔",
            "My card {} was charged twice.",
            "card number {} expired",
            "借记卡尾号不对，完整号码{}",
            "收款账户 {} 户主是我前夫",
            "我从{}转出去的，没有备注",
            "Visa: {}",
            "工资一直发到{}这张卡",
        ],
    ),
    (
        K::Phones,
        90,
        Draw::phone,
        &[
            "我的电话是{}，随时可以打",
            "联系方式：{}",
            "手机号{}已经停机",
            "请拨打{}找我。",
            "有事打{}",
            "他用{}给我发的威胁短信",
            "微信同号{}",
            "电话/传真：{}",
            "Call me at {} after six.",
            "my phone number is {}",
            "原告联系电话 {}，已当庭核对",
            "（{}）这个号码是房东的",
            "Tel:{}",
            "家里座机{}没人接",
            "短信来自{}，内容已经截图",
        ],
    ),
    (
        K::Phones,
        35,
        Draw::abroad,
        &[
            "Please call {} between 9 and 5.",
            "Phone: {}",
            "You can reach me at {}.",
            "他在国外的电话是{}",
            "My mobile is {}, text me.",
            "contact number {}",
            "WhatsApp {}",
        ],
    ),
    (
        K::Emails,
        60,
        Draw::email,
        &[
            "请把判决书发到{}",
            "邮箱：{}",
            "我的邮箱是{}，谢谢",
            "Email me at {}.",
            "write to {} or visit us",
            "合同扫描件已发送至{}，请查收",
            "<{}>",
            "发件人 {} 冒充公司财务",
            "reply-to:{}",
            "（{}）",
        ],
    ),
    (
        K::Plates,
        60,
        Draw::plate,
        &[
            "肇事车辆车牌号{}",
            "我开的{}被追尾了",
            "{}小型轿车逆行",
            "对方的车是{}，没有保险",
            "车牌：{}，登记在公司名下",
            "停在楼下的{}刮了我的车",
            "The car with plate {} left the scene.",
            "驾驶{}号车辆由南向北行驶",
        ],
    ),
    (
        K::Passports,
        45,
        Draw::passport,
        &[
            "护照号码{}，有效期到明年",
            "护照：{}",
            "他持{}号护照入境",
            "my passport number is {}",
            "Passport No. {} was stolen in Rome.",
            "外籍当事人，护照号 {}",
            "中国护照（号码：{}）遗失",
        ],
    ),
    (
        K::MedicalRecords,
        50,
        Draw::record,
        &[
            "病历号{}，三月入院",
            "住院号：{}",
            "患者住院号 {} 复查结果正常",
            "门诊号为{}",
            "MRN: {}",
            "the medical record number is {}",
            "病案号（{}）需要封存",
            "Patient ID {} shows elevated glucose.",
            "就诊卡号{}里还有余额",
            "住院登记号是{}",
        ],
    ),
    (
        K::Names,
        110,
        Draw::chinese_name,
        &[
            "我叫{}，今年四十岁。",
            "姓名：{}",
            "原告{}诉称，双方于三年前结婚。",
            "被告：{}，女，汉族。",
            "患者{}，因胸痛入院。",
            "联系人是{}",
            "借款人{}至今未还钱",
            "我老公的名字是{}",
            "请{}律师出庭",
            "感谢{}医生的耐心解答",
            "收件人：{} 电话见下",
            "委托诉讼代理人：{}，某律所律师。",
            "房东叫{}，一直不退押金",
            "被害人{}的家属要求赔偿",
            "证人{}在庭审中说",
            "本人{}，系该公司前员工。",
            "{}女士昨天来过",
            "申请人{}与被申请人之间有劳动争议",
            "法定代表人：{}",
            "我是{}，想问离婚的事",
            "甲方（出租人）：{}",
            "患者姓名:{}  性别:女",
            "犯罪嫌疑人{}已被取保候审",
            "同事{}替我打的卡",
        ],
    ),
    (
        K::Names,
        50,
        Draw::english_name,
        &[
            "My name is {} and I need advice.",
            "Mr. {} signed the lease.",
            "Dr. {} prescribed the drug.",
            "Patient: {}",
            "Plaintiff {} filed a complaint.",
            "the landlord, {}, refuses to pay",
            "Name: {}",
            "Sincerely,\n{}",
            "Ms {} called yesterday.",
            "Defendant {} denies it.",
            "This is {} speaking.",
        ],
    ),
    (
        K::Addresses,
        70,
        Draw::address,
        &[
            "我住在{}",
            "地址：{}",
            "住所地{}。",
            "房屋坐落于{}，面积九十平",
            "请把传票寄到{}，我能收到",
            "户籍地为{}",
            "送达地址是{}，收件人本人",
            "事故发生在{}门口",
            "公司注册在{}，实际不在那里",
            "收货地址 {}",
            "我家在{}，楼上漏水",
            "租的房子在{}",
        ],
    ),
    (
        K::Addresses,
        25,
        Draw::english_address,
        &[
            "I live at {}.",
            "Send it to {}, please.",
            "The property at {} has a lien.",
            "Address: {}",
            "He moved to {} last year.",
        ],
    ),
    (
        K::Amounts,
        50,
        Draw::amount,
        &[
            "合同总价{}",
            "借了{}没还",
            "赔偿{}合理吗？",
            "违约金为{}。",
            "we agreed on {} in writing",
            "首付{}，余款分期",
        ],
    ),
];

/// Written after the rules. One correction followed: 快递 hid the telephone of a 快递员.
const UNSEEN: &[(K, usize, Value, &[&str])] = &[
    (
        K::Ids,
        12,
        Draw::id,
        &[
            "合同落款处写着身份证{}和手印",
            "查询结果显示{}名下没有房产",
            "the notary copied {} by hand",
        ],
    ),
    (
        K::BankCards,
        12,
        Draw::card,
        &[
            "POS机小票上的卡号是{}",
            "我妈的社保卡{}被冻结了",
            "They asked me to transfer to {} right away",
        ],
    ),
    (
        K::Phones,
        15,
        Draw::phone,
        &[
            "骗子的号码我记下来了，{}",
            "快递员{}说放门口了",
            "加我{}细聊",
        ],
    ),
    (
        K::Emails,
        9,
        Draw::email,
        &["抄送{}和法务", "from: {} to: me", "我注册账户用的{}"],
    ),
    (
        K::Plates,
        9,
        Draw::plate,
        &["那辆{}闯红灯", "监控拍到{}停在消防通道", "把{}过户给我弟弟"],
    ),
    (
        K::Passports,
        9,
        Draw::passport,
        &[
            "护照丢了，号是{}",
            "签证页上的护照编号{}印错了",
            "traveling on passport {}",
        ],
    ),
    (
        K::MedicalRecords,
        9,
        Draw::record,
        &[
            "复印病历时登记的住院号码是{}",
            "挂号单上的门诊号：{}",
            "chart no. {} is missing a page",
        ],
    ),
    (
        K::Names,
        36,
        Draw::chinese_name,
        &[
            "昨天{}把车撞了",
            "我弟弟{}在工地受伤",
            "经理{}口头答应过加班费",
            "被告{}未到庭",
            "和{}签了三年合同",
            "患儿{}，男，五岁",
        ],
    ),
    (
        K::Names,
        12,
        Draw::english_name,
        &[
            "I rented the flat from {}.",
            "The nurse told {} to come back.",
            "Client name: {}",
            "Yours truly,\n{}",
        ],
    ),
    (
        K::Addresses,
        12,
        Draw::address,
        &["快递送错到{}了", "这套房（{}）是婚前买的", "出警地点：{}"],
    ),
];

/// All planted sentences of a seed.
pub fn planted(seed: u64) -> Vec<Planted> {
    sentences(seed, GROUPS)
}

/// Sentences that the rules were not written for.
pub fn unseen(seed: u64) -> Vec<Planted> {
    sentences(seed, UNSEEN)
}

fn sentences(seed: u64, groups: &[(K, usize, Value, &[&str])]) -> Vec<Planted> {
    let mut draw = Draw(seed);
    let mut all = Vec::new();
    for (kind, count, value, templates) in groups {
        for at in 0..*count {
            let value = value(&mut draw);
            let value = draw.full_width(value);
            let sentence = templates[at % templates.len()].replace("{}", &value);
            let text = format!("{}{sentence}{}", draw.one(BEFORE), draw.one(AFTER));
            all.push(Planted {
                text,
                value,
                kind: *kind,
            });
        }
    }
    all
}
