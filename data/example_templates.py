"""The words and sentences of the built-in example: encyclopaedia pages about invented castles.

In a sentence, ``{slot}`` stands for a word that `example_pages.Facts` makes up. The slots in
`VALUE_SLOTS` hold values of an attribute; ``{other_…}`` are distractors, words of the same kind
that are no values. Where an entry has several wordings, they stand from frequent to rare.
"""

from __future__ import annotations


def _split(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# The attribute of which a slot holds a value. Values may overlap: a location may contain the
# province, and an alias ({builder_alias}) the builder's name.
VALUE_SLOTS = {
    "alias": "別名",
    "location": "所在地",
    "province": "旧国名",
    "builder": "築城者",
    "built": "築城年",
    "abolished": "廃城年",
    "structure": "城郭構造",
    "elevation": "標高",
    "remains": "遺構",
}

# Name parts (kanji:reading where the reading is needed). Training pages use the first two thirds of
# the lists of stems, endings, provinces and given names only.
PLACE_STEMS = _split(
    "松:まつ 鷹:たか 桐:きり 霧:きり 岩:いわ 鶴:つる 亀:かめ 杉:すぎ 竹:たけ 梅:うめ "
    "葛:くず 榎:えのき 小:お 大:おお 黒:くろ 白:しら 赤:あか 青:あお 長:なが 深:ふか "
    "浅:あさ 高:たか 荒:あら 稲:いな 雲:くも 霞:かすみ 月:つき 星:ほし 朝:あさ "
    "夕:ゆう 熊:くま 鹿:しか 猪:いの 鴨:かも 鷺:さぎ 柏:かしわ 楢:なら 椿:つばき "
    "萩:はぎ 菅:すげ 蓮:はす 笹:ささ 砥:と 轟:とどろき 鞍:くら 鎌:かま 槍:やり "
    "弓:ゆみ"
)
PLACE_ENDINGS = _split(
    "山:やま 里:さと 田:た 野:の 谷:たに 沢:さわ 坂:さか 島:しま 崎:さき 浜:はま "
    "原:はら 森:もり 尾:お 根:ね 見:み 井:い 瀬:せ 戸:と 倉:くら 木:き 渕:ふち "
    "峰:みね 窪:くぼ 津:つ"
)
KANA_STEMS = _split(
    "あざみ つばめ かすみ すずらん オニグルミ ススキ みどり ヒバリ さくら もみじ トンビ カワセミ"
)
PROVINCES = _split(
    "霧津 葦原 遠瀬 白峰 上鷺 下鷺 羽室 香澄 真砂 比奈 稲生 志津 日向野 青海 若葦 "
    "奥瀬 伊佐 常葉 豊牟 緑川 越葦 能見"
)
SURNAME_STEMS = "佐真三西東北南宇伊加石古村上下水金福本片多安津細戸諏那相由千赤桑榊朽畠筒鍋蜂尼毛"
SURNAME_ENDINGS = "田藤野井村川木原沢谷倉島山崎本尾部森越岡良浦条瀬"
GIVEN_FIRST = "信義氏長政忠家秀直景頼盛重昌晴元光宗勝朝貞則為泰経親隆興範資"
GIVEN_SECOND = "綱高広康房清久国成時次定行実通純輝武玄胤弘豊種俊"
CLERGY = _split("寂然 快山 宗円 道慶 了海 玄舟 法仙 空寿 天祐")
KANA_FIRST = _split("ルイス ペドロ ガスパル ミゲル アントニオ ドミンゴ ジョアン")
KANA_LAST = _split("モンテロ カルバリョ セルケイラ バレト ピメンタ ロドリゴ メスキタ")
COURT_TITLES = _split("備前守 民部少輔 左衛門尉 兵部大輔 弾正忠 修理亮")
COUNTIES = "東西上下南北"

ERAS = (
    ("応永", 1394), ("正長", 1428), ("永享", 1429), ("嘉吉", 1441), ("文安", 1444), ("宝徳", 1449),
    ("享徳", 1452), ("康正", 1455), ("長禄", 1457), ("寛正", 1460), ("応仁", 1467), ("文明", 1469),
    ("長享", 1487), ("延徳", 1489), ("明応", 1492), ("文亀", 1501), ("永正", 1504), ("大永", 1521),
    ("享禄", 1528), ("天文", 1532), ("弘治", 1555), ("永禄", 1558), ("元亀", 1570), ("天正", 1573),
    ("文禄", 1592), ("慶長", 1596), ("元和", 1615), ("寛永", 1624), ("正保", 1645), ("慶安", 1648),
    ("明暦", 1655), ("寛文", 1661), ("延宝", 1673), ("貞享", 1684), ("元禄", 1688), ("宝永", 1704),
    ("享保", 1716), ("元文", 1736), ("寛保", 1741), ("宝暦", 1751), ("明和", 1764), ("天明", 1781),
    ("寛政", 1789), ("文化", 1804), ("文政", 1818), ("天保", 1831), ("嘉永", 1848), ("安政", 1855),
    ("文久", 1861), ("慶応", 1865), ("明治", 1868),
)  # fmt: skip

LAYOUTS = _split("連郭式 輪郭式 梯郭式 渦郭式 並郭式 一郭式 複郭式 階郭式 放射状連郭式")
CASTLE_KINDS = _split("平山城 山城 平城 水城 海城 丘城 崖端城 砦 陣屋")
REMAINS = _split(
    "石垣 土塁 曲輪 空堀 水堀 櫓台 井戸跡 虎口 天守台 堀切 竪堀 馬出 枡形 本丸御殿 "
    "隅櫓 大手門 搦手門 土橋 畝状竪堀群 帯曲輪 横矢掛り 切岸 矢穴石 番所"
)
BOOKS = _split("遠瀬軍記 古城考 国中城館帳 霧津風土記 諸家系譜 鷺の書上 御用留 道中日記")
LANDMARKS = _split("神社 寺 小学校 郷土資料館 公園 図書館 温泉")

# A line of the table of facts: the names of the field, from frequent to rare.
FIELDS = {
    "alias": ("別名", "異称", "別称", "通称"),
    "location": ("所在地", "位置", "場所", "住所"),
    "province": ("旧国名", "国", "令制国"),
    "builder": ("築城者", "築城主", "築いた人", "創建者"),
    "built": ("築城年", "築城", "築造", "完成"),
    "abolished": ("廃城年", "廃城", "廃止"),
    "structure": ("城郭構造", "形式", "縄張り", "分類"),
    "elevation": ("標高", "海抜", "城山の高さ"),
    "remains": ("遺構", "現存するもの", "残るもの"),
    "other_person": ("主な城主", "主な改修者", "発掘担当", "施主", "最後の城主"),
    "other_year": ("改修年", "落城", "史跡指定", "焼失", "発掘調査"),
    "other_place": ("最寄り駅", "最寄りの町", "管理", "流れる川"),
    "other_height": ("比高", "石垣の高さ", "本丸の幅"),
    "other_castle": ("支城", "本城", "類似の城"),
    "other_remains": ("失われたもの", "復元", "再建造物", "調査中"),
}

INTRODUCTIONS = (
    "{title}（{reading}）は、{location}にあった日本の城。",
    "{title}は、{location}に築かれた{structure}である。",
    "{title}（{reading}）は、{province}にかつて存在した城郭である。",
    "{title}（{reading}）は{built}に{builder}が築いた城。",
    "{title}とは、{location}に位置する{structure}の跡をいう。",
    "{title}（{reading}）は日本の城跡の一つである。",
    "{title}は{builder}の居城として知られる、{province}の{structure}。",
    "{title}。{reading}と読み、{location}に跡をとどめる。",
    "本項では{title}（{reading}、別名・{alias}）について述べる。",
)
EMPTY_INTRODUCTIONS = (
    "{title}（{reading}）は、軍記に名の見える城であるが、実在は確かめられていない。",
    "{title}（{reading}）という名の城は各地にあり、ここではその一覧を挙げる。",
    "{title}は、{other_person}の日記にのみ現れる城である。",
)

# topic -> sentences that state a value
STATEMENTS: dict[str, tuple[str, ...]] = {
    "alias": (
        "別名は{alias}。",
        "{alias}とも呼ばれる。",
        "「{alias}」の名でも知られている。",
        "{builder_alias}とも称した。",
        "別名を{alias}、または{alias}という。",
        "土地の人は今も{alias}と呼びならわしている。",
        "城内に霧が立つことから{alias}の異称がある。",
        "『{book}』はこの城を{alias}と記している。",
        "その白壁の美しさから、のちに{alias}の雅名を得た。",
        "築いた者の名にちなみ{builder_alias}の名が残る。",
        "古くは{alias}といい、{other_year}に現在の名に改められた。",
        "絵図には{alias}の文字が見える。",
    ),
    "location": (
        "所在地は{location}。",
        "{location}に所在する。",
        "城跡は現在の{location}にあたる。",
        "{location}の丘の上に立つ。",
        "城は{location}の台地の端に設けられた。",
        "その跡は{location}の畑の中に埋もれている。",
        "{other_place}川の流れに面した{location}を城地に選んだ。",
        "なお城域の大半は{location}に属している。",
        "{location}に城があったことは、『{book}』から知られる。",
        "現在の地名でいえば{location}のあたりになる。",
    ),
    "province": (
        "{province}の国境を守る役目を担った。",
        "{province}における代表的な城の一つである。",
        "旧国名でいえば{province}に属する。",
        "戦国時代の{province}では最大の規模を誇った。",
        "{province}の守りの要とされた。",
        "かつての{province}の中央に位置する。",
        "国は{province}である。",
        "この城をもって{province}の府とした。",
        "{province}随一の堅城とうたわれた。",
    ),
    "builder": (
        "{builder}によって築かれた。",
        "築城者は{builder}である。",
        "{builder}が築城したと伝わる。",
        "城を築いたのは{builder}とされる。",
        "{builder}の手で普請が始められ、のちに完成した。",
        "{builder}が一族の居城としてこの地に構えたのが始まりである。",
        "築城の主については諸説あるが、『{book}』は{builder}とする。",
        "当地に入った{builder}は、ただちに新しい城の縄張りを命じた。",
        "はじめ{builder}の館であったものが城に改められた。",
        "{other_person}の命を受けた{builder}が工事を指揮して築き上げた。",
        "草創は{builder}の代にさかのぼる。",
        "通説では、{other_person}ではなく{builder}を築城者とみる。",
    ),
    "built": (
        "{built}に築かれた。",
        "築城は{built}のことである。",
        "{built}に完成した。",
        "{built}、{builder}が築城した。",
        "{builder}が{built}に築いた城である。",
        "{built}ごろに{builder}によって築かれたと考えられている。",
        "城の起こりは{built}にさかのぼる。",
        "{builder}は{built}、この地に城を構えた。",
        "普請は{other_year}に始まり、{built}に竣工した。",
        "棟札の銘から{built}の創建と知られる。",
        "{built}の春、{builder}の手で本丸の縄張りが定められ、城が開かれた。",
        "その創築を{built}とする説が有力である。",
    ),
    "abolished": (
        "{abolished}に廃城となった。",
        "{abolished}、一国一城令により廃された。",
        "{abolished}に取り壊された。",
        "廃城は{abolished}である。",
        "しかし{abolished}には城としての役目を終えた。",
        "{other_person}が移封された{abolished}をもって廃城とされた。",
        "{abolished}、城主の{other_person}が新城に移ったため破却された。",
        "{abolished}になって存城から外され、建物は競売に付された。",
        "以後は城番が置かれるのみとなり、{abolished}に廃された。",
        "{other_year}の大火ののち再建されず、{abolished}に廃城の届けが出された。",
    ),
    "structure": (
        "構造は{structure}。",
        "{structure}である。",
        "形式は{structure}に分類される。",
        "縄張りは{structure}で、総延長は{other_height}に及ぶ。",
        "典型的な{structure}として知られる。",
        "{other_place}川を天然の堀とする{structure}であった。",
        "もとは{other_structure}であったが、のちに{structure}に改められた。",
        "三つの丘を結んだ{structure}の形をとる。",
        "学術的には{structure}とみなされている。",
        "当時としては珍しい{structure}を採用した。",
    ),
    "elevation": (
        "標高{elevation}の丘陵上に築かれている。",
        "城山の標高は{elevation}。",
        "標高は{elevation}、比高は{other_height}である。",
        "本丸は海抜{elevation}の地点にある。",
        "{elevation}の山頂に主郭を置く。",
        "主郭のある山は高さ{elevation}で、麓からの比高は{other_height}ほどになる。",
        "海面から{elevation}の高さに天守台が残る。",
        "城の立つ尾根の高さはおよそ{elevation}に達する。",
        "三角点は本丸跡にあり、{elevation}を示す。",
    ),
    "remains": (
        "{remains}が残る。",
        "遺構として{remains}が現存する。",
        "現在も{remains}を見ることができる。",
        "{remains}などの遺構がある。",
        "林の中に{remains}がよく保存されている。",
        "今に伝わるのは{remains}だけである。",
        "{other_remains}は失われたが、{remains}が往時の姿をとどめている。",
        "往時をしのばせるものは{remains}のみとなった。",
        "草に覆われた{remains}を訪れる人は少なくない。",
    ),
}

# Sentences with the same kinds of words, none of them a value.
DISTRACTORS = {
    "history": (
        "{other_year}には{other_person}が大規模な改修を行った。",
        "{other_year}、{other_person}の軍勢に攻められて落城した。",
        "{other_person}が{other_year}に城主となった。",
        "{other_year}に本丸の屋根が修理された。",
        "その後{other_person}が入城し、城下の町割りを整えた。",
        "{other_year}、{other_person}がこの城を訪れ、一首を詠んだ。",
        "隣の{other_castle}は{other_person}によって築かれた。",
        "{other_castle}は{other_year}に廃城となっている。",
        "{other_year}の地震で{other_remains}が崩れた。",
        "一時は{other_person}の預かるところとなったが、ほどなく返された。",
        "{other_person}は{other_year}に{other_castle}で没した。",
        "『{book}』は{other_year}に{other_person}が著した書である。",
        "支城の{other_castle}は{other_year}に{other_person}が築いたものである。",
        "{other_year}に{other_person}が{other_place}に寺を建立した。",
        "{other_year}、失われていた{other_remains}が復元された。",
    ),
    "surroundings": (
        "最寄り駅は{other_place}駅で、徒歩{distance}分である。",
        "北に{distance}キロメートル離れて{other_castle}がある。",
        "背後の{other_place}岳は標高{other_height}である。",
        "麓には{other_place}{landmark}がある。",
        "{other_place}町の{landmark}に模型が展示されている。",
        "{other_castle}は{other_structure}で、この城とは別のものである。",
        "「{other_castle}」と混同されることが多い。",
        "二の丸の広さは東西{other_height}ほどである。",
        "{other_remains}は残っていない。",
        "{other_place}の住民が毎年、{distance}月に祭りを行う。",
        "発掘調査は{other_year}から{other_place}市が続けている。",
        "{other_remains}は{other_place}の寺に移築されたと伝わる。",
        "{other_province}の{other_castle}とは姉妹城の縁を結ぶ。",
        "{other_year}に史跡に指定された。",
        "駐車場から主郭までの道のりは{other_height}である。",
        "城の絵葉書は{other_place}の商店で売られている。",
    ),
}

HEADINGS = {
    "facts": ("基本情報", "概略", "データ"),
    "overview": ("概要", "立地", "地理"),
    "history": ("歴史", "沿革", "歴史・沿革"),
    "surroundings": ("周辺", "交通", "その他"),
}
HEADING_STYLES = ("{}", "== {} ==", "【{}】", "■ {}")
