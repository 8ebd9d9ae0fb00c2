"""Terms: what the sparse index counts, made the same way of documents and of queries.

Every word is compatibility-normalized (NFKC), case folded and freed of accents, so that `CAFÉ`, `café` and `cafe` are
one term, and stemmed with the English Snowball stemmer (other scripts pass through it unchanged). Scripts that are
written without spaces (Chinese, Japanese, Korean, Thai and their neighbours) get no dictionary: every character is a
term, and so is every pair of neighbours, which makes a word inside a sentence findable. Stop words are kept: BM25's idf
already makes them cheap, and `The Who` must stay findable.
"""

import re
import threading
import unicodedata

import Stemmer

# Scripts without spaces: Han with its extensions and compatibility forms, kana (also half-width), Hangul syllables,
# Thai, Lao, Myanmar, Khmer.
_UNSPACED = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    r"\uff66-\uff9f\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
# What `\w` leaves out and still belongs to the word around it: combining marks, the vowel signs of Indic scripts,
# points of Hebrew and Arabic, soft hyphens, zero-width joiners.
_INNER = (
    r"\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    r"\u0711-\u074a\u0900-\u0963\u0966-\u0dff\u0f18-\u0f84\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200d\u2060\u20d0-\u20ff"
    r"\ufe20-\ufe2f\ufeff"
)
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)*(?![\d,]*\d)"  # 1,000 and 1,000,000.5; 12,34,567 is Indian
    r"|\d+(?:\.\d+)+"  # 3.2 and 3.2.1
    rf"|[{_UNSPACED}]+"
    rf"|[^\W_{_UNSPACED}][^\W_{_UNSPACED}{_INNER}]*[{_INNER}]*(?:['’]?[^\W_{_UNSPACED}{_INNER}]+[{_INNER}]*)*"
)
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
# Marks to drop: those of Latin, Greek and Cyrillic letters, and what is invisible. Signs that change a word elsewhere
# (kana voicing, Indic vowels) stay.
_MARKS = re.compile(
    r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u00ad\u200b-\u200d\u2060\ufeff]"
)

# A corpus has far fewer words than tokens; past this many the cache starts over, so that noise cannot fill the memory.
_CACHE_WORDS = 400_000


def terms(text: str) -> list[str]:
    """The terms of a document's or a query's text, in order, with repetitions.

    >>> terms("The Cafés sold 1,000 cups")
    ['the', 'cafe', 'sold', '1000', 'cup']
    >>> terms("北京大学")
    ['北', '京', '大', '学', '北京', '京大', '大学']
    """
    words = _TOKEN.findall(text)
    if text.isascii() or not _HAS_UNSPACED.search(text):
        return [_stems[word] for word in words]
    found: list[str] = []
    for word in words:
        if _HAS_UNSPACED.match(word):
            run = word_fold(word)
            found.extend(run)
            found.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            found.append(_stems[word])
    return found


def query_terms(text: str) -> list[str]:
    """The terms of a query: the same as a document's."""
    return terms(text)


def word_fold(word: str) -> str:
    """NFKC, case folded, without accents; a typographic apostrophe becomes a plain one. The length may change."""
    if word.isascii():
        return word.lower()
    word = unicodedata.normalize("NFKC", word).replace("’", "'").casefold()
    if word.isascii():
        return word
    # Decompose, drop the marks, and compose what else came apart (Hangul, voiced kana).
    return unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", word)))


class _Stems(dict[str, str]):
    """Word as written -> term, filled as words are met; a dict's get and set are atomic, only the stemmer is not."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def __missing__(self, word: str) -> str:
        stemmer = getattr(self._local, "stemmer", None)
        if stemmer is None:
            # A PyStemmer object must not be used by two threads at once; its own cache would only repeat this one.
            stemmer = self._local.stemmer = Stemmer.Stemmer("english", 0)
        folded = word_fold(word)
        term = folded.replace(",", "") if folded[:1].isdigit() else str(stemmer.stemWord(folded))
        if len(self) >= _CACHE_WORDS:
            self.clear()
        self[word] = term
        return term


_stems = _Stems()
