"""CLIP's tokenizer as one JSON file splits real text like open_clip's own."""

# ruff: noqa: RUF001 - letters of other scripts that look like Latin ones are the point

import itertools
import unicodedata

import numpy as np
import open_clip
import pytest
from tokenizers import Tokenizer

from winnow.datasets.marketplace.catalog import make_catalog
from winnow.encoders.tokens import tokenise
from winnow.models.encoders.clip_tokens import clip_tokenizer

SENTENCES = {  # Article 1 of the Universal Declaration of Human Rights
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ ու հավասար՝ իրենց արժանապատվությամբ և իրավունքներով։",
    "Bengali": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "Czech": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "English": "All human beings are born free and equal in dignity and rights; they're endowed with reason.",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits : l’« égalité ».",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. STRASSE und GROẞ.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ΟΔΥΣΣΕΥΣ, ΣΟΦΟΣ.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के विषय में जन्मजात स्वतन्त्रता प्राप्त है।",
    "Hungarian": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van.",
    "Icelandic": "Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum.",
    "Japanese": "すべての人間は、生まれながらにして自由であり、ｶﾀｶﾅと「漢字」の１２３。",
    "Khmer": "មនុស្សទាំងអស់កើតមកមានសេរីភាពនិងភាពស្មើៗគ្នា។",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Polish": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Portuguese": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "Russian": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "Spanish": "Todos los seres humanos nacen libres e iguales; ¿dotados de razón? ¡Sí!",
    "Swedish": "Alla människor är födda fria och lika i värde och rättigheter.",
    "Tamil": "மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İSTANBUL'da ılık.",
    "Ukrainian": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
}
SHOPS = [
    "M&amp;Ms &lt;b&gt;50&nbsp;%&lt;/b&gt; off &quot;now&quot; &amp;amp; then, caf&eacute; &#39;Zo&#235;&#39; &euro;5",
    "  tabs\tand\r\nlines\u2028of\u00a0all\u3000kinds\x0b\x0c ",
    "\x1b[31mred\x1b[0m \ufeffmarks \x07bell\x7f",
    "ﬁne ﬂour, ＦＵＬＬ ｗｉｄｔｈ！ “curly” ‘quotes’ ʼn ĳ Ǆ",
    "We'll, I'M, they'd've; can't 'tis O'Neil's £3.50/kg (20×30 cm) #1 @home 100% a_b-c+d=e² ½ Ⅷ ①",
    "I\u0307stanbul cafe\u0301 naïve A\u030angstro\u0308m ſlow 'ſ",
    "👩‍👩‍👧‍👦 1️⃣ 🇩🇪 👍🏽 ❤️‍🔥 :) <3 ¯\\_(ツ)_/¯",
    "",
    "   ",
    "boots " * 100,
    "🥾" * 100,
]


EMOJI = {unicodedata.name(chr(code)).lower(): chr(code) for code in range(0x1F300, 0x1F650)}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The tokenizer as serving loads it."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    clip_tokenizer(77).save(str(path))
    return Tokenizer.from_file(str(path))


def sentences() -> list[str]:
    catalog = make_catalog(300, np.random.default_rng(0))
    emoji = itertools.cycle(EMOJI.values())
    dressed = [
        change(sentence) + glue + next(emoji) + next(emoji) + word
        for sentence in SENTENCES.values()
        for change in (str, str.upper, str.title, lambda text: " ".join(text))
        for glue, word in (("", ""), (" ", "!"), ("\u2003", " &amp; 42"))
    ]
    pairs = [f"{one} {other}" for one, other in itertools.pairwise([*SENTENCES.values(), *SHOPS])]
    codes = [f"{name} {sign}{sign} x" for name, sign in EMOJI.items()]
    return [*SHOPS, *dressed, *pairs, *codes, *catalog.title, *catalog.description]


def test_every_token_of_a_thousand_sentences_is_the_same(served: Tokenizer) -> None:
    texts = sentences()
    assert len(set(texts)) > 1000
    ours, theirs = tokenise(served, texts), open_clip.get_tokenizer("ViT-B-32")(texts).numpy()
    different = [text for text, same in zip(texts, (ours == theirs).all(axis=1), strict=True) if not same]
    assert not different
    assert (theirs[:, -1] != 0).sum() > 20, "some are cut"


def test_the_known_differences_are_those_of_the_docstring(served: Tokenizer) -> None:
    special = tokenise(served, ["<end_of_text> yes"])[0]
    assert (special == 49_407).sum() == 1, "the end token in a text does not truncate it"
    assert special[special != 0][-1] == 49_407
    assert not np.array_equal(tokenise(served, ["cafÃ©"]), open_clip.get_tokenizer("ViT-B-32")(["cafÃ©"]))


def test_a_shorter_context_keeps_the_end() -> None:
    text = "one two three four five six seven eight"
    theirs = open_clip.get_tokenizer("ViT-B-32", context_length=8)(text)
    np.testing.assert_array_equal(tokenise(clip_tokenizer(8), [text]), theirs)
