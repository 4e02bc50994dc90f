"""Names of what models recognise, in Chinese where one is known: the eighty kinds of things of COCO."""

from collections.abc import Iterable
from functools import lru_cache

CHINESE = {
    "person": "人",
    "bicycle": "自行车",
    "car": "汽车",
    "motorcycle": "摩托车",
    "airplane": "飞机",
    "bus": "公交车",
    "train": "火车",
    "truck": "卡车",
    "boat": "船",
    "traffic light": "交通信号灯",
    "fire hydrant": "消防栓",
    "stop sign": "停车标志",
    "parking meter": "停车计时器",
    "bench": "长椅",
    "bird": "鸟",
    "cat": "猫",
    "dog": "狗",
    "horse": "马",
    "sheep": "羊",
    "cow": "牛",
    "elephant": "大象",
    "bear": "熊",
    "zebra": "斑马",
    "giraffe": "长颈鹿",
    "backpack": "背包",
    "umbrella": "雨伞",
    "handbag": "手提包",
    "tie": "领带",
    "suitcase": "行李箱",
    "frisbee": "飞盘",
    "skis": "滑雪板",
    "snowboard": "单板滑雪板",
    "sports ball": "运动球",
    "kite": "风筝",
    "baseball bat": "棒球棒",
    "baseball glove": "棒球手套",
    "skateboard": "滑板",
    "surfboard": "冲浪板",
    "tennis racket": "网球拍",
    "bottle": "瓶子",
    "wine glass": "酒杯",
    "cup": "杯子",
    "fork": "叉子",
    "knife": "刀",
    "spoon": "勺子",
    "bowl": "碗",
    "banana": "香蕉",
    "apple": "苹果",
    "sandwich": "三明治",
    "orange": "橙子",
    "broccoli": "西兰花",
    "carrot": "胡萝卜",
    "hot dog": "热狗",
    "pizza": "披萨",
    "donut": "甜甜圈",
    "cake": "蛋糕",
    "chair": "椅子",
    "couch": "沙发",
    "potted plant": "盆栽植物",
    "bed": "床",
    "dining table": "餐桌",
    "toilet": "马桶",
    "tv": "电视",
    "laptop": "笔记本电脑",
    "mouse": "鼠标",
    "remote": "遥控器",
    "keyboard": "键盘",
    "cell phone": "手机",
    "microwave": "微波炉",
    "oven": "烤箱",
    "toaster": "烤面包机",
    "sink": "水槽",
    "refrigerator": "冰箱",
    "book": "书",
    "clock": "时钟",
    "vase": "花瓶",
    "scissors": "剪刀",
    "teddy bear": "泰迪熊",
    "hair drier": "吹风机",
    "toothbrush": "牙刷",
}
# The same things as other data sets, and the models trained on them, write them.
OTHER_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "tv monitor": "tv",
    "hair dryer": "hair drier",
    "doughnut": "donut",
    "cellphone": "cell phone",
}

# What stands in the lists of models for COCO's numbers that mean nothing.
GAPS = {"n/a", "__background__", "background"}


@lru_cache(maxsize=64)
def are_of_coco(labels: tuple[str, ...]) -> bool:
    """Whether a model's own *labels* are COCO's things, most of them: among others, a kite may be a bird."""
    named = [label for label in labels if _plain(label) not in GAPS]
    return 2 * sum(_plain(label) in CHINESE for label in named) > len(named)


def in_chinese(label: str) -> str:
    """The Chinese name of one of COCO's things, or *label* where none is known."""
    return CHINESE.get(_plain(label), label)


def own_label(name: str, labels: Iterable[str]) -> str | None:
    """Which of a model's own *labels* somebody means by *name*, in any case, in English or Chinese."""
    wanted = _plain(name)
    for label in labels:
        if wanted == _plain(label) or name.strip() == CHINESE.get(_plain(label)):
            return label
    return None


def _plain(name: str) -> str:
    """*name* in COCO's own spelling."""
    lower = name.strip().lower()
    return OTHER_NAMES.get(lower, lower)
