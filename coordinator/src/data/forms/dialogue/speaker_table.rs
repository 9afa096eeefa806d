//! The table of names of speakers, as a user reads it in `docs/reference/speakers.md`.
//!
//! Names stand in the spelling of [`super::names::key`], divided by commas.

/// What a speaker does in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Asks,
    Answers,
    /// Instructions before a conversation.
    System,
    /// Speaks, and whether for the asking or the answering side is not to be told by the name.
    Unclear,
    /// Party to a case: speaks in a record, and is a heading in a letter.
    Party,
}

/// Where speakers of this name are at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// Turns rather than people: question and answer.
    Label,
    General,
    Support,
    Law,
    Medicine,
    Finance,
}

#[cfg(test)]
impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Label => "labels of turns",
            Self::General => "general",
            Self::Support => "support",
            Self::Law => "law",
            Self::Medicine => "medicine",
            Self::Finance => "finance",
        }
    }
}

/// Names by side and field, divided by commas.
pub(super) const TABLE: &[(Side, Field, &str)] = &[
    (Side::Asks, Field::Label, "问,问题,提问,咨询,q,question,ask"),
    (
        Side::Asks,
        Field::General,
        "用户,用戶,使用者,提问者,提问人,提問者,询问人,询问者,发问者,咨询者,咨询人,咨询方,諮詢者,\
         求助者,求助人,来访者,来访人,访客,網友,网友,网民,群众,市民,居民,学生,学员,读者,\
         user,human,asker,questioner,inquirer,enquirer,visitor,guest,student,end user",
    ),
    (
        Side::Asks,
        Field::Support,
        "客户,客戶,顾客,顧客,买家,消费者,来电人,来电者,来电客户,来电用户,会员,游客,旅客,乘客,业主,\
         customer,caller,buyer,shopper,member,subscriber",
    ),
    (
        Side::Asks,
        Field::Law,
        "当事人,當事人,委托人,委託人,求助当事人,client",
    ),
    (
        Side::Asks,
        Field::Medicine,
        "患者,病人,病患,家属,患者家属,病人家属,家屬,患,pt,家长,患儿家属,患儿家长,孕妇,patient,parent,family,caregiver",
    ),
    (
        Side::Asks,
        Field::Finance,
        "投保人,被保险人,储户,借款客户,投资者,投资人,持卡人,纳税人,\
         policyholder,cardholder,investor,depositor,taxpayer",
    ),
    (
        Side::Answers,
        Field::Label,
        "答,回答,解答,答复,答覆,回复,回覆,答案,a,answer,reply,response",
    ),
    (
        Side::Answers,
        Field::General,
        "助手,助理,小助手,智能助手,智能助理,ai,ai助手,ai助理,人工智能,机器人,機器人,模型,专家,專家,顾问,顧問,\
         咨询师,諮詢師,答疑老师,工作人员,assistant,ai assistant,bot,chatbot,gpt,chatgpt,model,expert,\
         advisor,adviser,consultant,specialist",
    ),
    (
        Side::Answers,
        Field::Support,
        "客服,客服人员,客服专员,客服代表,在线客服,人工客服,智能客服,售后,售后客服,售前客服,技术支持,坐席,座席,\
         接线员,话务员,热线,店家,卖家,商家,店铺客服,物业,物业客服,\
         support,customer service,customer support,support agent,service agent,agent,rep,representative,\
         customer service representative,operator,helpdesk,help desk,tech support,technical support",
    ),
    (
        Side::Answers,
        Field::Law,
        "律师,律師,执业律师,值班律师,咨询律师,接待律师,主办律师,法律顾问,法律顧問,法务,法務,法律援助,法律助手,\
         公证员,普法员,lawyer,attorney,solicitor,counsel,barrister,paralegal,legal advisor,legal adviser,\
         legal assistant",
    ),
    (
        Side::Answers,
        Field::Medicine,
        "医生,醫生,大夫,医师,醫師,主治医生,主治医师,主任医师,副主任医师,住院医师,值班医生,接诊医生,家庭医生,\
         主任,护士,護士,护士长,药师,藥師,药剂师,营养师,心理咨询师,心理医生,治疗师,导诊,导诊台,分诊台,中医,医,护,\
         doctor,dr,dr.,physician,nurse,pharmacist,clinician,therapist,dentist,surgeon,midwife,dietitian",
    ),
    (
        Side::Answers,
        Field::Finance,
        "客户经理,理财经理,理财师,理财顾问,投资顾问,保险顾问,保险经纪人,理赔员,理赔专员,信贷员,信贷经理,柜员,\
         大堂经理,税务顾问,会计师,\
         banker,teller,financial advisor,financial adviser,loan officer,claims adjuster,accountant,\
         relationship manager,insurance agent",
    ),
    (
        Side::System,
        Field::General,
        "系统,系統,系统提示,系统消息,系统设定,system",
    ),
    (
        Side::Unclear,
        Field::General,
        "女儿,儿子,母亲,父亲,妈妈,爸爸,妻子,丈夫,老伴,爱人,哥哥,姐姐,弟弟,妹妹,奶奶,爷爷,旁人,路人,群友,\
         daughter,son,mother,father,mum,mom,dad,wife,husband,brother,sister,friend,neighbour,neighbor,\
         主持人,主持,记者,老师,教师,主任委员,面试官,host,moderator,interviewer,interviewee,teacher,reporter",
    ),
    (
        Side::Unclear,
        Field::Law,
        "法官,審判長,审判长,审判员,代理审判员,人民陪审员,陪审员,书记员,原告律师,被告律师,辩护人,辩护律师,公诉人,\
         检察官,检察员,证人,鉴定人,仲裁员,调解员,警官,民警,办案人员,\
         judge,prosecutor,witness,clerk,the court,court,mediator,arbitrator,officer",
    ),
    (
        Side::Party,
        Field::Law,
        "原告,被告,第三人,原告代理人,被告代理人,被告人,被害人,上诉人,被上诉人,申请人,被申请人,代理人,委托代理人,\
         plaintiff,defendant,applicant,respondent",
    ),
];

/// Titles behind a family name, as in `王医生`, longer ones before those that they end with.
pub(super) const TITLES: &[(Side, Field, &str)] = &[
    (
        Side::Answers,
        Field::Medicine,
        "主任医师,心理咨询师,医生,醫生,医师,大夫,主任,护士长,护士,药师",
    ),
    (Side::Answers, Field::Law, "大律师,律师,律師,法务"),
    (Side::Answers, Field::General, "顾问"),
    (Side::Answers, Field::Support, "客服"),
    (Side::Unclear, Field::Law, "法官,警官,检察官"),
    (Side::Unclear, Field::General, "老师,经理"),
];
/// Titles before a name, as in `Dr. Lee`.
pub(super) const ENGLISH_TITLES: &[(Side, Field, &str)] = &[
    (
        Side::Answers,
        Field::Medicine,
        "dr.,dr,doctor,nurse,pharmacist",
    ),
    (
        Side::Answers,
        Field::Law,
        "attorney,lawyer,solicitor,counsel",
    ),
    (Side::Answers, Field::Support, "agent"),
    (Side::Answers, Field::General, "advisor,adviser"),
    (Side::Asks, Field::Medicine, "patient"),
    (Side::Asks, Field::Law, "client"),
    (Side::Asks, Field::Support, "customer,caller"),
    (Side::Unclear, Field::Law, "judge,officer"),
];
/// The usual family names, and what stands before one (`小李`, `老王`).
pub(super) const FAMILY: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任\
                      卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严\
                      莫孔向常汤康易乔赖文施洪辛柯庄温牛樊葛邢安齐伍庞颜倪聂章鲁岳翟申欧耿关兰焦俞左柳甘祝包宁阮纪舒\
                      張劉陳楊黃趙吳孫馬鄭謝許韓鄧馮蕭董蔣餘葉蘇呂盧鍾陸賈鄒";
pub(super) const DOUBLE_FAMILY: &str = "欧阳,上官,司马,诸葛,司徒,夏侯,皇甫,慕容,东方,令狐";
/// Names that ask, and head no line of a contract, a form or a record.
pub(super) const NEVER_IN_DOCUMENTS: &str = "用户,用戶,提问者,提问人,咨询者,家属,患者家属,病人家属,家长,来访者,来电人,user,human,\
     caregiver,family";
/// Words before a colon in records, contracts, letters and lists that nobody speaks.
pub(super) const HEADINGS: &str = "注意,注,备注,说明,提示,温馨提示,建议,结论,总结,小结,依据,理由,原因,例如,例,比如,举例,\
     步骤,流程,材料,条件,费用,时间,地点,地址,电话,金额,方法,方案,方式,方向,范围,程序,关键,\
     关于,关键词,任务,温度,常见,常用药,主诉,现病史,既往史,个人史,家族史,过敏史,婚育史,\
     查体,体格检查,辅助检查,检查,诊断,初步诊断,处理,处置,医嘱,用药,用法,用量,甲方,乙方,\
     丙方,丁方,出租方,承租方,借款人,出借人,保证人,担保人,受托人,代理权限,甲,乙,丙,丁,标题,\
     主题,日期,签名,签字,盖章,附件,抄送,姓名,性别,年龄,身份证号,联系方式,账号,事实,\
     诉讼请求,事实与理由,此致,法律依据,相关法条,风险,风险提示,优点,缺点,区别,适用,note,\
     notes,warning,tip,tips,example,examples,important,summary,conclusion,step,steps,\
     reason,reasons,address,phone,email,date,time,amount,subject,re,diagnosis,treatment,\
     history,medication,allergies,signed,landlord,tenant,buyer party,seller,borrower,\
     lender,cc,ps,p.s.,disclaimer,pros,cons,source,sources";
