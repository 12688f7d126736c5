"""CLIP's tokenizer (open_clip's ``SimpleTokenizer``) as one ``tokenizer.json``, so that serving needs no open_clip.

``SimpleTokenizer`` cleans a text first: ``ftfy`` repairs it, HTML entities are resolved, white space collapses, letters
become lower case. A ``tokenizer.json`` supports replacements only, so the result is the same with these exceptions:

- Mojibake (UTF-8 that was read as another encoding, such as ``Ã©``) stays as it is; ftfy repairs it.
- Of HTML entities, those of HTML 4 (``&amp;`` to ``&euro;``), ``&apos;`` and the numbers 32 to 255 in decimal are
  resolved, and only where a semicolon ends them; ftfy also reads names in capitals, such as ``&NTILDE;``.
- ``<start_of_text>`` and ``<end_of_text>`` in a text are ordinary words. SimpleTokenizer reads them as special tokens,
  with which a text could truncate itself.
- A capital sigma becomes a final one wherever no letter follows it; Python also looks past marks and apostrophes.
"""

import gzip
from html.entities import name2codepoint

from ftfy.chardata import CONTROL_CHARS, LIGATURES, WIDTH_MAP
from open_clip.tokenizer import bytes_to_unicode, default_bpe
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

_MERGES = 49_152 - 256 - 2
_START, _END = "<start_of_text>", "<end_of_text>"
_WORDS = r"'[s\x{17f}]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
_BLANKS = r"[\s\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
_TERMINAL_ESCAPES = r"\x1b\[[\d;]*[a-zA-Z]"


def clip_tokenizer(context_length: int) -> Tokenizer:
    """The tokenizer: padded with 0, truncated so that the end token stays last.

    Args:
        context_length: ids per text, including start and end.
    """
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        lines = [line.split() for line in file.read().split("\n")[1 : _MERGES + 1]]
    merges = [(left, right) for left, right in lines]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges), _START, _END]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            *_entities(),
            *(normalizers.Replace(character, plain) for character, plain in _plain_characters()),
            normalizers.Replace(Regex("[\u201c-\u201f]"), '"'),
            normalizers.Replace(Regex("[\u02bc\u2018-\u201b]"), "'"),
            normalizers.Replace(Regex(_TERMINAL_ESCAPES), ""),
            normalizers.Replace(Regex("[" + "".join(f"\\x{{{code:x}}}" for code in CONTROL_CHARS) + "]"), ""),
            normalizers.NFC(),
            normalizers.Replace(Regex(_BLANKS), " "),
            normalizers.Replace(Regex(r"(?<=\p{L})Σ(?!\p{L})"), "ς"),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{_START} $A {_END}", special_tokens=[(_START, vocabulary[_START]), (_END, vocabulary[_END])]
    )
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=0, pad_token=words[0])
    return tokenizer


def _entities() -> list[normalizers.Normalizer]:
    """HTML entities to characters; the ampersand first and twice, since SimpleTokenizer resolves entities twice."""
    known = {name: chr(code) for name, code in name2codepoint.items() if name != "amp"} | {"apos": "'"}
    known |= {f"#{code}": chr(code) for code in range(32, 256) if code not in range(127, 160)}
    ampersand = [normalizers.Replace("&amp;", "&")] * 2
    return [*ampersand, *(normalizers.Replace(f"&{name};", character) for name, character in known.items())]


def _plain_characters() -> list[tuple[str, str]]:
    """Ligatures, full-width forms and Windows-1252 control characters, and their replacements by ftfy."""
    windows = {code: bytes([code]).decode("windows-1252", errors="ignore") for code in range(0x80, 0xA0)}
    table = {**{code: plain for code, plain in windows.items() if plain and code != 0x85}, **LIGATURES, **WIDTH_MAP}
    return [(chr(code), plain) for code, plain in table.items()]
