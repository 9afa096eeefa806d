//! Sentences that look as if they held personal data and hold none; `amounts` is off.

use super::draw::{Draw, id_check, with_luhn};

type Value = fn(&mut Draw) -> String;

fn wrong_id(draw: &mut Draw) -> String {
    let body = format!(
        "110105{}{:02}{:02}{}",
        1950 + draw.below(55),
        1 + draw.below(12),
        1 + draw.below(28),
        draw.digits(3)
    );
    let right = id_check(&body);
    let other = "0123456789X"
        .chars()
        .filter(|c| *c != right)
        .nth(draw.below(10))
        .unwrap();
    format!("{body}{other}")
}

fn wrong_card(draw: &mut Draw) -> String {
    let right = with_luhn(&format!("622202{}", draw.digits(9)));
    let (head, last) = right.split_at(15);
    format!(
        "{head}{}",
        (last.parse::<usize>().unwrap() + 1 + draw.below(9)) % 10
    )
}

const GROUPS: &[(usize, Value, &[&str])] = &[
    (
        60,
        |d| format!("{}", 1 + d.below(1260)),
        &[
            "《民法典》第{}条规定了什么？",
            "依照《中华人民共和国民法典》第{}条第二款之规定",
            "Article {} of the Civil Code applies here.",
            "刑法第{}条之一",
            "参见司法解释第{}条第（三）项",
            "Section {} of the Act",
        ],
    ),
    (
        20,
        |d| {
            d.one(&[
                "一千零四十二",
                "五百七十七",
                "一百八十八",
                "二十六",
                "一千一百六十五",
            ])
            .into()
        },
        &[
            "《民法典》第{}条：夫妻应当互相忠实。",
            "根据第{}条，当事人一方不履行合同义务的，应当承担违约责任。",
            "劳动合同法第{}条",
            "第{}条 患者有权查阅病历资料。",
        ],
    ),
    (
        45,
        |d| {
            format!(
                "({}){}{}{}",
                2015 + d.below(10),
                d.one(&[
                    "京01民终",
                    "沪0115民初",
                    "粤03刑初",
                    "最高法民申",
                    "川0104执",
                    "苏02行终"
                ]),
                1 + d.below(99_999),
                "号"
            )
        },
        &[
            "案号{}已经判决",
            "参见{}民事判决书",
            "本院作出{}裁定",
            "{}一案正在审理",
        ],
    ),
    (
        45,
        |d| {
            format!(
                "{}{:02}{:02}{}",
                2019 + d.below(6),
                1 + d.below(12),
                1 + d.below(28),
                d.digits(8 + 2 * (d.0 as usize % 3))
            )
        },
        &[
            "订单号{}一直没有发货",
            "order number {} was never delivered",
            "快递单号：{}",
            "发票号码{}无法查验",
            "交易流水号 {}",
        ],
    ),
    (
        15,
        |d| format!("1{}{}", d.one(&["38", "52", "77"]), d.digits(8)),
        &[
            "订单编号{}",
            "快递单号{}，显示已签收",
            "invoice no. {} is overdue",
        ],
    ),
    (
        45,
        |d| {
            format!(
                "{}-{:02}-{:02}",
                1990 + d.below(35),
                1 + d.below(12),
                1 + d.below(28)
            )
        },
        &[
            "合同签订于{}",
            "The lease began on {}.",
            "出生日期：{}",
            "自{}起计算诉讼时效",
            "{} 14:30:05 开庭",
        ],
    ),
    (
        40,
        |d| format!("{}", 1000 + d.below(9_000_000)),
        &[
            "赔偿金额为{}元",
            "房款共计{}元，已付一半",
            "we paid ${} in total",
            "人民币{}元整",
            "注册资本{}万元",
        ],
    ),
    (
        25,
        |d| format!("978-7-{}-{}-{}", d.digits(4), d.digits(4), d.digits(1)),
        &[
            "ISBN {}",
            "教材书号为{}",
            "the book (ISBN: {}) is out of print",
        ],
    ),
    (
        10,
        |d| format!("9787{}", d.digits(9)),
        &["ISBN {}", "书号{}，法律出版社"],
    ),
    (
        45,
        |d| {
            format!(
                "{}-{}{}",
                d.one(&["SN", "HT", "PX", "ABC"]),
                d.digits(4),
                d.digits(5)
            )
        },
        &[
            "产品编号{}",
            "the part {} is defective",
            "合同编号：{}",
            "型号{}的热水器漏电",
            "设备序列号 {}",
        ],
    ),
    (
        30,
        wrong_id,
        &[
            "填的是{}，系统说校验不通过",
            "编号{}不是身份证",
            "number {} was rejected",
            "条码：{}",
        ],
    ),
    (
        30,
        wrong_card,
        &[
            "输入{}提示卡号有误",
            "流水 {}",
            "the number {} is invalid",
            "编号为{}",
        ],
    ),
    (
        30,
        |d| {
            format!(
                "{}.{}.{}.{}",
                1 + d.below(254),
                d.below(255),
                d.below(255),
                d.below(255)
            )
        },
        &["服务器IP是{}", "logged in from {}", "ping {} 不通"],
    ),
    (
        30,
        |d| format!("{}.{}.{}", d.below(20), d.below(40), d.below(1000)),
        &[
            "升级到v{}之后打不开",
            "version {} fixes it",
            "依赖 {} 以上版本",
        ],
    ),
    (
        10,
        |d| format!("{}", 1_500_000_000 + d.below(200_000_000)),
        &["时间戳{}", "created_at={}"],
    ),
    (
        10,
        |d| format!("1{}", d.digits(12)),
        &["timestamp {} ms", "时间戳为{}毫秒"],
    ),
    (
        60,
        |d| {
            d.one(&[
                "原告应当在举证期限内提交证据。",
                "被告有权拒绝履行。",
                "患者高血压三年，规律服药。",
                "患者黄疸加重两天。",
                "被告严重违约，应承担责任。",
                "原告陈述事实与理由如下。",
                "甲方：北京华夏物业管理有限公司",
                "被告：万通地产集团股份有限公司",
                "法定代表人变更登记需要什么材料？",
                "请律师要花多少钱？",
                "委托律师代理案件",
                "主治医生说需要手术。",
                "我是高中老师，学校不给交社保。",
                "我叫了外卖，吃坏了肚子。",
                "申请人于十五日内提出异议。",
                "债务人曾多次承诺还款。",
                "承租人常年拖欠租金。",
                "代理人权限为一般代理。",
                "患者白细胞升高，考虑感染。",
                "第三人明知合同无效。",
                "被告人任何一方都可以上诉。",
                "The plaintiff bears the burden of proof.",
                "The defendant may appeal within 15 days.",
                "Patient has a history of asthma.",
                "Dear Sir or Madam, please advise.",
                "My name is on the lease.",
                "张某、李某某均为化名。",
                "王某甲与李某乙系夫妻。",
                "姓名权受法律保护。",
                "名字可以变更吗？",
                "患者：请问这个药饭前吃吗？",
                "律师：根据您的描述，建议先协商。",
                "客户：价格能便宜吗？",
                "被上诉人未提交答辩状。",
                "联系人信息请在后台修改。",
                "户名不一致怎么办？",
                "The patient reported Chest Pain yesterday.",
                "This is Chapter Seven.",
                "借款人应按期还款",
                "出租人解除合同的条件",
                "证人应当出庭作证",
                "被害人家属提出附带民事诉讼。",
                "房东不退押金怎么办",
                "同事之间借钱没有借条",
                "老板不发工资",
                "母亲去世后房产如何继承",
            ])
            .into()
        },
        &["{}"],
    ),
    (
        30,
        |d| {
            d.one(&[
                "北京市朝阳区人民法院",
                "上海市第一中级人民法院",
                "广东省高级人民法院",
                "浙江省道路运输条例第12条",
                "北京市海淀区房价",
                "地铁2号线旁边的房子",
                "国务院令第586号",
                "财税〔2016〕36号文件",
                "南京市人民政府令第200号",
                "深圳市福田区劳动监察大队",
                "公交车3路",
                "102国道",
                "一号楼的业主都同意",
                "五单元停水了",
                "第3号证据",
                "法释〔2020〕25号",
            ])
            .into()
        },
        &["{}", "请问{}怎么走程序？", "依据{}，"],
    ),
    (
        20,
        |d| {
            d.one(&[
                "12345",
                "110",
                "12333",
                "95588",
                "12368",
                "400-800-8820",
                "10086",
            ])
            .into()
        },
        &["可以拨打{}投诉", "call {} for help", "打{}热线反映"],
    ),
    (
        10,
        |d| format!("@{}", d.one(&["人民日报", "user_01", "channel", "2x"])),
        &["微博{}转发了", "ping {} in the thread", "see logo{}.png"],
    ),
];

/// Found wrong in the legal questions that are shipped, once.
const SHIPPED: &[&str] = &["员工把客户名单带走，公司能告他吗？", "没有钱请律师怎么办？"];

/// All near misses of a seed.
pub fn near(seed: u64) -> Vec<String> {
    let mut draw = Draw(seed);
    let mut all: Vec<String> = SHIPPED.iter().map(|&text| text.into()).collect();
    for (count, value, templates) in GROUPS {
        for at in 0..*count {
            let value = value(&mut draw);
            let value = draw.full_width(value);
            all.push(templates[at % templates.len()].replace("{}", &value));
        }
    }
    all
}
