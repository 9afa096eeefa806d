//! How likely a character is in a Chinese name: as a family name, and in a given name.
//!
//! In: a character. Out: its share among the names of people, roughly. Three classes are enough: what the text
//! itself says about the words around decides the rest.

use std::sync::OnceLock;

use super::surnames::{DOUBLE, SINGLE};

/// Family names of few people, or names that are words far more often.
const RARE: &str = "柏水云奚昌凤花酆廉毕邬乐时傅皮卞元卜和萧湛祁禹狄米贝明臧计伏谈茅庞席麻强危刁虞支昝经房裘缪干解宗宣贲郁杭诸吉钮嵇滑荣翁荀羊惠甄曲家封芮羿储靳汲邴糜松井富乌巴弓牧隗谷宓蓬郗班仰仲伊钭厉戎束幸韶郜蓟薄印宿怀蒲邰鄂咸籍蔺屠池阴能苍双闻莘劳逄姬扶堵宰郦雍却璩桑濮寿通扈燕冀浦农别充慕茹宦艾鱼容古慎戈庾终暨居衡步都满弘匡国寇广阙沃利蔚越夔隆师巩晁勾敖融冷訾阚那简空毋沙鞠须丰巢蒯相荆红竺权逯盖益桓公仉督晋汝鄢钦归海帅缑亢况有琴商佘佴伯赏墨哈谯年爱邝区谌揭苟修郄";
/// Given names are mostly made of these.
const USUAL: &str = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文辉玲华红玉建国志海晓梅春云林子俊宇浩梓轩涵欣怡思雨佳嘉雪婷慧琳峰鹏飞龙波斌燕萍珍琴莲凤美亮宏永庆德福贵生东新民学家光荣世清忠";
const FREQUENT: &str = "金立成正中小大天博泽睿宸铭瑞诗语梦瑶琪萱彤悦可馨月晨阳旭昊奕翔凯航逸皓然辰豪毅康健安乐雅蓉蕾薇倩莉洁颖莹瑾璐瑜璇芸芬芝芹菊莎菲菁茹蔓岚岩山川江溪源泉洪润泓淑湘惠蕙兴旺祥顺义礼智仁孝勤良善贤胜利凌霄鹤鸣松柏桃桐楠森树彬彪虎骏麟坤垚基培坚维绍继承业勋昌隆广达远迎君宗少长亨贞吉权香艺青紫碧翠银铁钧锋锐锦宝珠玮珂珊琼琦琨琰玥珏容巧妙灵奇冰霜露雷震霆晖曦晴映昕昱昭旻星彦影心忆念恩恒恺慈懿素纯真诚谦敬尚卓群冠雄壮威武帆舟晶苗禾秋冬夏炎炜炳焕煜煌煦熙耀灿烨伦仪佩倪鑫淼焱媛妍妮姗娇婉婧嫣娥媚婵姝姣珺环璟琛琬翰轶书棋韵丹仙富发根水木火土兵友保全先启喜园堂增士多如姿存守宁定宣宪寅尧岭峻巍希帅廷开弘彩征怀意振挺捷斯方景朋朝来柱栋桢楚毓沛河治泰洲济淳渊滨澄澜炯煊甫益硕禹秉策纪经缘羽翎耕聪胤舒艾花茂茜荷莺菡葵蓓蓝虹蝶衡西言谊谨豫贝赛运道邦郁野铃铮锡镇闻陶隽雁雯霖靖韬颜风飘馥骁骄高魁鸿黎龄";
const POSSIBLE: &str = "一二三四五六七八九十力上下千万久之乔予井亚亦仲任似余作依侠信倍值偲偶傲允充党兆公关其典养准凡初别刘创劲劳勉化北匡升午卉南占卫印双反古史召司合同吟吾周味呈告员品哲唐商喻嗣团围图圆圣城域堃塘境墨声复外夜央好妃妹始姐姑娅婴季宜实宛宾密寒寻寿封尔层居屏岐岳崇州工巨己巴布席年庄序应庚度庭弓弟张归当彭得御微徽忱快怜恬恭息悠情惜想愉愚慎戈战户手托抒拓拥持指挥效敖数斐施日旦早时昀易晏普晗晟暄曙曼有朗本朱朵杉村杏束杭果枝枫柯柳柔标格桑桥梁梧棉棠植楷榆槐模樱橙歌止步殿毛求汉池沁沅沐沙沧沫油泊注津流浅浦浪涓深渝渡温游湖湛溢滔演漫潇潘潮激点烈热爱牛牧特犀独玄王班球理琅瓜甘甜用由申男画界留登白百皎盈盛目直相省眉知石砚碑磐示祖神祺禄种秦积程稳空章童竹笑笛第笙筠管箫篱米粉精糖系纤约纳线绅织绒绣绪绮绿缦罗羲翊翼耘联肖育胡臣致舜色节芊芙芷芽苏苑苒范茗草荃莫菀菱萌落葆蒙蓬蔚蕊薪藏行衣裕见览解计记许论识词试详诺谋豆象豹贡财贯起足路跃身车载辛迁近连迪逊通造遇遥邓邵郎郡采里重量鉴钊钦钰铎铖链锁镜门间阔防阿陆陈集霏音韶项顶预领飒食首驰驹骅鱼鲁鲜鲲鸥鹃鹊鹰鹿麒麦默齐";
/// Function words, units, and what the words after a name begin with.
const NEVER: &str = "的了是在不与及或某为被把给让从也又这那你我他她它们吗呢吧啊么诉称据条款号案因已将就对说均欠未否没要借拒拖签租提住患替跟请找问带辩向并还使则所等仍即但而且虽若此每各该何几两个位名元角分岁费税额率债账院局厅部署处科室组队站店厂场馆很更最太非常较着过地到去走进出回入打拿吃喝睡坐写读听买卖送收付退换修查看认证确需能会须必只再才曾规都代法律医师女儿话者性病症药钱单人字";

/// What is known of every Chinese character, by its place after [`FIRST`].
struct Table {
    family: Vec<f64>,
    given: Vec<f64>,
}

const FIRST: char = '\u{4e00}';
const COUNT: usize = 0x5200;

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let (mut family, mut given) = (vec![0.0; COUNT], vec![0.000_04; COUNT]);
        let set = |values: &mut Vec<f64>, c: char, share: f64| {
            if let Some(value) = place(c).and_then(|place| values.get_mut(place)) {
                *value = share;
            }
        };
        RARE.chars().for_each(|c| set(&mut family, c, 0.000_15));
        for (rank, c) in SINGLE.chars().enumerate() {
            set(&mut family, c, by_rank(rank));
        }
        let classes = [
            (POSSIBLE, 0.0004),
            (FREQUENT, 0.0014),
            (USUAL, 0.006),
            (NEVER, 0.0),
        ];
        for (class, share) in classes {
            class.chars().for_each(|c| set(&mut given, c, share));
        }
        Table { family, given }
    })
}

fn place(c: char) -> Option<usize> {
    u32::from(c)
        .checked_sub(u32::from(FIRST))
        .map(|place| place as usize)
}

/// The table of family names is in the order of frequency.
fn by_rank(rank: usize) -> f64 {
    match rank {
        0..5 => 0.06,
        5..10 => 0.025,
        10..20 => 0.012,
        20..50 => 0.006,
        50..100 => 0.003,
        _ => 0.001,
    }
}

fn positive(values: &[f64], c: char) -> Option<f64> {
    place(c)
        .and_then(|place| values.get(place).copied())
        .filter(|share| *share > 0.0)
}

/// The share of people with this family name of one character; none for what is no family name.
pub(super) fn family(c: char) -> Option<f64> {
    positive(&table().family, c)
}

/// The share of people with one family name of two characters.
pub(super) const COMPOUND: f64 = 0.0004;

/// What family names of two characters begin with.
const STARTS: &str = "欧上司诸东夏皇尉令慕宇长端公申独南万闻呼钟澹淳太轩赫西百拓乐";

/// Two characters that are a family name.
pub(super) fn compound(first: char, second: char) -> bool {
    STARTS.contains(first) && DOUBLE.iter().any(|name| name.chars().eq([first, second]))
}

/// The share of a character among those of given names; none for what no name holds.
pub(super) fn given(c: char) -> Option<f64> {
    positive(&table().given, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_stands_in_two_classes() {
        let all: Vec<char> = [USUAL, FREQUENT, POSSIBLE, NEVER]
            .concat()
            .chars()
            .collect();
        let once: std::collections::BTreeSet<&char> = all.iter().collect();
        assert_eq!(once.len(), all.len());
    }

    #[test]
    fn every_compound_name_is_known() {
        for name in DOUBLE {
            let mut pair = name.chars();
            assert!(
                compound(pair.next().unwrap(), pair.next().unwrap()),
                "{name}"
            );
        }
    }

    #[test]
    fn frequent_names_are_likelier_than_rare_ones() {
        assert!(family('王') > family('秦') && family('秦') > family('佘'));
        assert!(family('的').is_none() && given('的').is_none());
        assert!(given('伟') > given('鹤') && given('鹤') > given('蔼'));
    }
}
