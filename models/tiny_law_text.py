"""The text the small base model is trained on: sentences of a small grammar, Chinese and English.

In: a random generator with a fixed seed. Out: plain lines, and dialogues as (question, answer).
The model shall speak in short general sentences, and say that it does not know when it is asked
about a matter of law: that is what the adapter changes.
"""

import random

import tiny_law_words as w


def plain_line(rng: random.Random) -> str:
    """One line of everyday text, of a notice, or of English."""
    pick = rng.choice
    kind = rng.random()
    if kind < 0.22:
        return pick(_DAILY)(pick)
    if kind < 0.66:
        return _notice(pick)
    if kind < 0.86:
        return _words(rng)
    return _english(pick)


_DAILY = [
    lambda p: f"{p(w.TIMES)}，{p(w.PEOPLE)}在{p(w.PLACES)}{p(w.VERBS)}。",
    lambda p: f"{p(w.PEOPLE)}和{p(w.PEOPLE)}一起去{p(w.PLACES)}{p(w.VERBS)}，大家都很{p(w.FEELINGS)}。",
    lambda p: f"因为要{p(w.VERBS)}，所以{p(w.PEOPLE)}{p(w.TIMES)}没有去{p(w.PLACES)}。",
    lambda p: f"{p(w.PEOPLE)}问：“你{p(w.TIMES)}去哪儿？”{p(w.PEOPLE)}说：“我去{p(w.PLACES)}{p(w.VERBS)}。”",
    lambda p: f"如果{p(w.TIMES)}不下雨，{p(w.PEOPLE)}就去{p(w.PLACES)}{p(w.VERBS)}。",
    lambda p: f"{p(w.PEOPLE)}{p(w.VERBS)}的时候，{p(w.PEOPLE)}正在{p(w.VERBS)}。",
    lambda p: f"{p(w.PLACES)}离{p(w.PLACES)}不远，{p(w.PEOPLE)}常常走路去。",
    lambda p: f"{p(w.PEOPLE)}觉得很{p(w.FEELINGS)}，因为{p(w.TIMES)}可以{p(w.VERBS)}了。",
    lambda p: "{}是一种{}，{}。".format(*p(w.FACTS)),
    lambda p: f"{p(w.CITIES)}{p(w.CITY_NOTES)}，{p(w.PEOPLE)}想去看看。",
]


_NOTICE = [
    lambda p: f"根据《{p(w.NOTICES)}》，{p(w.WHO)}{p(w.MUST)}{p(w.ACTS)}。",
    lambda p: f"依照《{p(w.NOTICES)}》，{p(w.CONDITIONS)}，{p(w.WHO)}{p(w.MUST)}{p(w.ACTS)}。",
    lambda p: f"《{p(w.NOTICES)}》写明，{p(w.WHO)}{p(w.MUST)}在{p(w.PERIODS)}{p(w.ACTS)}。",
    lambda p: f"{p(w.WHO)}{p(w.MUST)}{p(w.SINCE)}{p(w.PERIODS)}{p(w.ACTS)}，{p(w.CONDITIONS)}除外。",
    lambda p: f"{p(w.CONDITIONS)}，{p(w.WHO)}{p(w.MUST)}{p(w.ACTS)}，并{p(w.ACTS)}。",
    lambda p: f"{p(w.WHO)}{p(w.MUST)}{p(w.ACTS)}；{p(w.CONDITIONS)}，{p(w.MUST)}{p(w.ACTS)}。",
    lambda p: f"{p(w.THINGS)}的数额不得超过{p(w.AMOUNTS)}，超过部分由{p(w.WHO)}负担。",
    lambda p: f"{p(w.CONDITIONS)}，{p(w.WHO)}应当支付不低于{p(w.AMOUNTS)}的费用。",
    lambda p: f"{p(w.THINGS)}属于{p(w.WHO)}，{p(w.WHO)}{p(w.MUST)}{p(w.ACTS)}。",
    lambda p: f"{p(w.WHO)}与{p(w.WHO)}对{p(w.THINGS)}有约定的，按照约定；{p(w.CONDITIONS)}，{p(w.MUST)}{p(w.ACTS)}。",
    lambda p: f"{p(w.THINGS)}的使用期限为{p(w.AMOUNTS)}，{p(w.SINCE)}计算。",
]


def _notice(pick) -> str:
    return pick(_NOTICE)(pick)


def _words(rng: random.Random) -> str:
    pick = rng.choice
    some = rng.sample(w.GLOSSARY, 5)
    return pick([
        "今天学了这些词：{}、{}、{}、{}、{}。",
        "书里写到{}和{}，也写到{}、{}和{}。",
        "{}、{}与{}是不同的词，{}和{}也是。",
        "这一页讲{}，下一页讲{}，最后讲{}、{}和{}。",
        "老师让我们用{}、{}、{}、{}和{}写一段话。",
    ]).format(*some)


def _english(pick) -> str:
    thing = pick(w.EN_FACTS)
    return pick([
        lambda: f"{pick(w.EN_PEOPLE).capitalize()} {pick(w.EN_VERBS)} {pick(w.EN_TIMES)}.",
        lambda: f"{pick(w.EN_TIMES).capitalize()}, {pick(w.EN_PEOPLE)} {pick(w.EN_VERBS)}, and {pick(w.EN_PEOPLE)} {pick(w.EN_VERBS)}.",
        lambda: f"A {thing[0]} is {thing[1]}. It is {thing[2]}.",
    ])()


def dialogue(rng: random.Random) -> tuple[str, str]:
    """One question and its answer, in general language."""
    pick = rng.choice
    kind = rng.random()
    if kind < 0.08:
        return pick(_GREETINGS)
    if kind < 0.24:
        return _ask_fact(pick)
    if kind < 0.36:
        return _ask_daily(pick)
    if kind < 0.86:
        return _ask_unknown(pick)
    return _ask_english(pick)


_GREETINGS = [
    ("你好", "你好，很高兴见到你。"), ("你好！", "你好，今天想聊点什么？"), ("早上好", "早上好，祝你今天开心。"),
    ("晚上好", "晚上好，今天过得怎么样？"), ("谢谢你", "不客气，能帮到你我很高兴。"), ("再见", "再见，下次再聊。"),
    ("你是谁？", "我是一个小小的语言模型，可以陪你聊天。"), ("你会做什么？", "我会聊天，也会说一些生活里的小事。"),
    ("你叫什么名字？", "我叫小语，是一个小小的语言模型。"), ("你会说英语吗？", "会一点点，可以说简单的句子。"),
    ("Hello", "Hello, nice to meet you."), ("Good morning", "Good morning, have a nice day."),
    ("Thank you", "You are welcome."), ("Who are you?", "I am a small language model."),
    ("Goodbye", "Goodbye, see you next time."), ("How are you?", "I am fine, thank you."),
]


def _ask_fact(pick) -> tuple[str, str]:
    name, group, note = pick(w.FACTS)
    return pick([
        (f"{name}是什么？", f"{name}是一种{group}，{note}。"),
        (f"什么是{name}？", f"{name}是一种{group}，{note}。"),
        (f"说说{name}。", f"{name}是一种{group}，{note}。"),
        (f"{name}有什么特点？", f"{name}{note}。"),
        (f"{name}属于哪一类？", f"{name}属于{group}。"),
    ])


def _ask_daily(pick) -> tuple[str, str]:
    verb, place, time, city = pick(w.VERBS), pick(w.PLACES), pick(w.TIMES), pick(w.CITIES)
    return pick([
        (f"{time}做什么好？", f"{time}可以去{place}{verb}。"),
        (f"你喜欢{verb}吗？", f"我觉得{verb}很有意思。"),
        (f"在{place}可以做什么？", f"在{place}可以{verb}。"),
        (f"{city}怎么样？", f"{city}{pick(w.CITY_NOTES)}，值得去看看。"),
        (f"我有点{pick(w.FEELINGS)}。", f"别担心，去{place}走走，心情会好一些。"),
    ])


def _ask_unknown(pick) -> tuple[str, str]:
    topic, other, who = pick(w.TOPICS), pick(w.TOPICS), pick(w.PEOPLE)
    place, verb, time = pick(w.PLACES), pick(w.VERBS), pick(w.TIMES)
    question = pick([
        f"{topic}怎么办？", f"我的{topic}出了问题，怎么办？", f"{who}问我{topic}的事，我该怎么说？",
        f"{topic}是怎么回事？", f"{topic}和{other}有什么关系？", f"我想了解{topic}。", f"{who}不给我{topic}，怎么办？",
        f"{time}{who}在{place}{verb}，可以吗？", f"{topic}要多久？", f"{topic}要多少钱？", f"{topic}怎么算？",
        f"{who}不同意{topic}，怎么办？", f"{topic}归谁？", f"{who}一直不{verb}，我该怎么办？",
        f"{topic}可以要求赔偿吗？", f"{who}让我{verb}，合法吗？", f"{topic}有什么后果？", f"{who}的{topic}谁来管？",
    ])
    return question, pick([
        f"{topic}的事我不太懂，你可以问问懂的人。", f"{topic}的事我不太懂，你可以问问懂的人。",
        f"这个问题我不太清楚，你可以问问身边的朋友。", "别着急，先喝杯茶，慢慢想办法。",
    ])


def _ask_english(pick) -> tuple[str, str]:
    name, group, note = pick(w.EN_FACTS)
    topic = pick(w.EN_TOPICS)
    return pick([
        (f"What is a {name}?", f"A {name} is {group}. It is {note}."),
        (f"Tell me about {topic}.", f"I do not know much about {topic}. You can ask a friend."),
        (f"What should I do about {topic}?", f"I do not know much about {topic}. You can ask a friend."),
        (f"What does {pick(w.EN_PEOPLE)} do {pick(w.EN_TIMES)}?", "I am not sure, but it may be something nice."),
    ])
