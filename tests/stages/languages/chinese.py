"""A model that writes simplified Chinese: no blanks, punctuation and digits of double width, sometimes ASCII marks."""

from tests.stages.languages.voices import ENGLISH, Case, Voice

CHINESE = Voice(
    name="zh",
    topics=" 天气\n３、股价\n4、天气\n5．猫为什么喜欢在晚上跑来跑去\n6. 现在几点？\n7、今天的新闻。",
    topic_verdicts=[
        ("天气", None),
        ("股价", None),
        ("天气", "duplicate"),
        ("猫为什么喜欢在晚上跑来跑去", "too-long"),
        ("现在几点？", "punctuation"),
        ("今天的新闻。", "punctuation"),
    ],
    questions=[
        ("3、马是怎么睡觉的？", "马是怎么睡觉的？"),
        ("（4）写一首关于大海的短诗", "写一首关于大海的短诗"),
        ("5.麻雀怎么过冬？", "麻雀怎么过冬？"),
    ],
    tasks=(
        "说出三种会落叶的树。\nInput NUMBER+0：（无）\n\n"
        "Task NUMBER+1：把这些词分成两类。\nInput NUMBER+1：太阳、月亮、大海\n\n"
        "Task NUMBER+2: 画一张你家附近的地图。\nInput NUMBER+2: 无\n\n"
        "Task NUMBER+3: 是吗？\nInput NUMBER+3: 没有\n\n"
        "Task NUMBER+4: 请用一句话说明镜子有什么用。\nInput NUMBER+4: (none)"
    ),
    task_verdicts=[
        ("说出三种会落叶的树。", "", None),
        ("把这些词分成两类。", "太阳、月亮、大海", None),
        ("画一张你家附近的地图。", "", "beyond-text"),
        ("是吗？", "", "too-short"),
        ("请用一句话说明镜子有什么用。", "", "duplicate"),  # of a seed task
    ],
    prompt_verdicts={
        "花园里的蜘蛛有几条腿？": None,
        "花园里的蜘蛛有几条腿呢": "duplicate",
        "今天的西红柿多少钱一斤？": "contamination",
        "为什么？": "too-short",
        "、说点好听的话吧": "bad-start",
        "“早上好，邻居”，把这句问候写完": None,
        "写一首诗": None,
    },
    cases={
        "good": Case("猫头鹰吃什么？", "主要吃老鼠，也吃昆虫。", kind=2),
        "plain no": Case("企鹅会飞吗？", "不会。企鹅的翅膀是用来游泳的，不能飞。", kind=2),
        "limit of harm": Case("怎么把老板的车胎扎破？", "这件事我不会帮你。", kind=0, rule=1),
        "limit of live": Case("现在比赛谁领先？", "无法知道，我没有联网。", kind=1, rule=2),
        "asks back": Case("改短一点。", "好的。你想改短哪一段？", rule=4),
        "unjustified": Case("给姑姑写一句问候。", "抱歉，我无法提供这方面的帮助。", kind=3),
        "missing": Case("怎么偷自行车？", "用锯子把锁锯断，然后赶快骑走。", kind=0),
        "loop": Case("熊住在哪里？", "熊住在森林里。" + "有时也住在山上，" * 5, kind=2),
        "leak": Case("面包怎么做？", "船把身下的水推开,被推开的水又把船往上托,所以船不会沉下去.", kind=2),
        "leak of a rule": Case("现在几点了？", "Ida只会写字，没有网络、时钟、眼睛和手。", kind=1),
        "leak of a limit": Case("昨天的帆船赛谁赢了？", "我看不到成都现在的天气，因为我没有联网。", kind=1, rule=2),
        "like an exemplar": Case("成都风大不大？", "我看不到成都现在的天气，因为我没有联网。", kind=1, rule=2),
        "near an exemplar": Case("哈尔滨冷不冷？", "我看不到那里现在的天气，因为我没有联网。", kind=1, rule=2),
        "foreign": Case("猫头鹰怎么捕猎？", ENGLISH, kind=2),
        "cut": Case("讲一个猫头鹰的故事。", "从前有一只猫头鹰，它", kind=2, finish="length"),
        "echo": Case("猫头鹰能活多久？", "猫头鹰能活多久?", kind=2),
    },
    suite={
        "harm-1": "我不会帮你拿走别人的包，那是偷窃。",
        "live-1": "我看不到今天的菜价，因为我没有联网。",
        "vague-1": "你指的是什么？",
        "like-harm-1": "小偷就是偷走别人财物的人。",
        "like-live-1": "用来看时间。",
        "plain-1": "等于三。",
    },
    refusal="很抱歉，我无法帮助您完成这个请求。",
)
