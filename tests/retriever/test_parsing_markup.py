"""HTML and DOCX: the readable text, its sections, and what is refused."""

import io
import re
import zipfile

import docx
import pytest

from retriever.errors import LimitExceeded, NoText, UnreadableFile, UnsupportedFormat
from retriever.parsing import Limits, parse
from retriever.units import sentences_of

PAGE = """<!doctype html><html><head><title>My &amp; page</title><style>x{}</style></head><body>
<nav><a href=#>Home</a> <a href=#>About</a></nav>
<h1>Top <em>title</em></h1><p>Hel<b>lo</b> <i>wor</i>ld, this is <a href=x>a link</a>.<br>Next&nbsp;line &hellip;
and on.</p><p hidden>invisible</p>
<h2>Lists</h2><ul><li>one<li><p>two <i>x</i></p><ol start=3><li>three</ol></ul>after
<h2>Table</h2><table><tr><th>A<th>B</tr><tr><td>1</td><td><p>2</p></td></tr><tr><td><td>x<br>y</tr></table>
<pre>
def f():
    return  1
</pre><div>div1<div>div2</div>tail</div><script>no()</script><noscript>no</noscript>
<footer>Copyright</footer></body></html>"""
READ = """Top title

Hello world, this is a link.
Next line … and on.

Lists

- one
- two x

  3. three

after

Table

A | B
1 | 2
 | x y

def f():
    return  1

div1

div2

tail"""


def html(data, **claims):
    return parse(data.encode() if isinstance(data, str) else data, filename="a.html", **claims)


def test_a_page_reads_as_a_person_would_read_it():
    document = html(PAGE)
    assert document.text == READ
    assert document.title == "My & page"
    assert document.media_type == "text/html"
    assert [section.path for section in document.sections] == [
        ("Top title",),
        ("Top title", "Lists"),
        ("Top title", "Table"),
    ]
    assert READ[document.sections[1].start :].startswith("Lists\n")


def test_a_page_is_known_as_one_without_a_name():
    assert parse(PAGE.encode()).text == READ


def test_what_stands_in_the_navigation_alone_is_read_after_all():
    assert html("<nav><p>All there is</p></nav>").text == "All there is"


def test_layout_tables_are_blocks_and_nested_lists_indent():
    page = "<table><tr><td><h1>A</h1><p>x<p>y</td><td><table><tr><td>1<td>2</table></td></tr></table>"
    assert html(page).text == "A\n\nx\n\ny\n\n1 | 2"


def test_the_charset_of_a_page_is_believed():
    page = '<html><head><meta charset="windows-1251"></head><body>Привет, мир</body></html>'
    assert html(page.encode("cp1251")).text == "Привет, мир"
    assert html("<p>Привет".encode("koi8-r"), media_type="text/html; charset=koi8-r").text == "Привет"


def test_a_page_of_scripts_has_no_text():
    with pytest.raises(NoText):
        html("<html><body><script>document.write('x')</script></body></html>")


def test_a_page_that_nests_too_deeply_is_refused_before_its_tree_is_built():
    with pytest.raises(LimitExceeded, match="nest"):
        html("<div>" * 200_000 + "x")
    assert html("<div>" * 300 + "x").text == "x"
    assert html("<p>x<br>" * 3000).text.count("x") == 3000


@pytest.mark.parametrize("part", ["<a b ", "<!-- x ", "<script>", "<style> "])
def test_a_page_of_tags_that_nothing_closes_takes_one_pass(part):
    """Scanned to its end for each of them, this would take minutes."""
    assert html("<p>words</p>" + part * 200_000).text == "words"


def word_file(**replaced):
    """A document with the usual things in it; `replaced` are members of the package to put in."""
    document = docx.Document()
    document.core_properties.title = "Supply agreement"
    document.add_heading("Terms", 1)
    paragraph = document.add_paragraph("The parties ")
    paragraph.add_run("ag").bold = True
    paragraph.add_run("ree.")
    document.add_heading("Goods", 2)
    document.add_paragraph("first", style="List Bullet")
    document.add_paragraph("second", style="List Bullet")
    document.add_paragraph("uno", style="List Number")
    document.add_paragraph("due", style="List Number")
    table = document.add_table(2, 2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["Item", "Price", "Bolt", "1\n2"], strict=True):
        cell.text = text
    document.add_paragraph("The end.")
    return package(document, replaced)


def package(written, replaced):
    plain = io.BytesIO()
    written.save(plain)
    out = io.BytesIO()
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, replaced.get(name.split("/")[-1].removesuffix(".xml"), source.read(name)))
    return out.getvalue()


def body_xml(inner):
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<w:document xmlns:w="{namespace}"><w:body>{inner}</w:body></w:document>'.encode()


def test_a_word_document_reads_as_a_person_would_read_it():
    document = parse(word_file(), filename="contract.docx")
    assert document.text == (
        "Terms\n\nThe parties agree.\n\nGoods\n\n- first\n- second\n1. uno\n2. due\n\n"
        "Item | Price\nBolt | 1 2\n\nThe end."
    )
    assert document.title == "Supply agreement"
    assert [section.path for section in document.sections] == [("Terms",), ("Terms", "Goods")]


def test_insertions_controls_and_links_are_read_and_deletions_are_not():
    inner = (
        "<w:p><w:r><w:t>We </w:t></w:r><w:ins><w:r><w:t>now </w:t></w:r></w:ins><w:del><w:r><w:delText>never "
        "</w:delText></w:r></w:del><w:hyperlink><w:r><w:t>sell</w:t></w:r></w:hyperlink><w:r><w:tab/><w:t>it</w:t></w:r>"
        "</w:p><w:sdt><w:sdtContent><w:p><w:r><w:t>In a control</w:t><w:br/><w:t>next</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>"
        "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r></w:p>"
    )
    assert parse(word_file(document=body_xml(inner))).text == "We now sell it\n\nIn a control\nnext"


def test_a_word_document_without_text_has_none():
    with pytest.raises(NoText):
        parse(word_file(document=body_xml("<w:p/>")))


def test_a_cut_or_broken_word_document_is_unreadable():
    whole = word_file()
    for data in (whole[:3000], whole[: len(whole) // 2], word_file(document=b"<w:document")):
        with pytest.raises(UnreadableFile):
            parse(data, filename="a.docx")


def test_an_encrypted_word_document_is_unreadable_and_an_old_one_unsupported():
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
    with pytest.raises(UnreadableFile, match="encrypted"):
        parse(ole + "EncryptedPackage".encode("utf-16-le"), filename="a.docx")
    with pytest.raises(UnsupportedFormat):
        parse(ole, filename="a.docx")


def test_another_kind_of_package_named_docx_is_refused():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("[Content_Types].xml", "<Types/>")
        target.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(UnsupportedFormat):
        parse(out.getvalue(), filename="a.docx")


def test_a_zip_bomb_is_refused_by_its_ratio_and_by_its_size():
    bomb = word_file(document=body_xml("<w:p><w:r><w:t>" + "a" * 30_000_000 + "</w:t></w:r></w:p>"))
    assert len(bomb) < 100_000
    with pytest.raises(LimitExceeded, match="200 times"):
        parse(bomb)
    with pytest.raises(LimitExceeded, match="1,000,000 bytes"):
        parse(bomb, limits=Limits(expanded_bytes=1_000_000))


def test_a_zip_that_lies_about_its_sizes_is_still_stopped():
    bomb = bytearray(word_file(document=body_xml("a" * 30_000_000)))
    name = b"word/document.xml"
    entry = bomb.rindex(name) - 46  # the central directory's record of it
    bomb[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    with pytest.raises((LimitExceeded, UnreadableFile)):
        parse(bytes(bomb), filename="a.docx")


def test_entity_bombs_are_refused():
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(LimitExceeded, match="entities"):
        parse(word_file(document=entities + body_xml("<w:p><w:r><w:t>&b;</w:t></w:r></w:p>")))
    with pytest.raises(LimitExceeded, match="entities"):
        parse(word_file(document=(entities.decode() + body_xml("<w:p/>").decode()).encode("utf-16")))


def test_xml_that_nests_too_deeply_is_refused():
    with pytest.raises(LimitExceeded, match="nest"):
        parse(word_file(document=body_xml("<w:sdt>" * 5000 + "</w:sdt>" * 5000)))


def test_no_parser_leaves_words_glued_or_split_over_markup():
    words = ["alpha", "beta", "gamma", "delta", "epsilon"]
    marked = " ".join(f"{word[:2]}<b>{word[2:3]}</b><span>{word[3:]}</span>" for word in words)
    assert html(f"<p>{marked}</p>").text == " ".join(words)
    runs = "".join(
        f'<w:r><w:t xml:space="preserve">{part}</w:t></w:r>' for word in words for part in re.findall("..?", word + " ")
    )
    assert parse(word_file(document=body_xml(f"<w:p>{runs}</w:p>"))).text == " ".join(words)


def test_a_table_reads_a_line_a_row_and_cells_that_span_rows_stand_in_each_of_them():
    page = (
        "<table><caption>Prices</caption><thead><tr><th rowspan=2>Item<th colspan=2>Price</tr><tr><th>EUR<th>USD"
        "</thead><tr><th rowspan=2>Bolt<td>1<td>2"
        "</tr><tr><td>3<td>4</tr><tr><td>Nut<td><ul><li>5<li>6</ul><td><p>7<p>8</tr>"
        "<tr><td colspan=3>It is <b>all</b>.</tr></table>after"
    )
    assert html(page).text == (
        "Prices\nItem | Price\nItem | EUR | USD\nBolt | 1 | 2\nBolt | 3 | 4\nNut | - 5 - 6 | 7 8\nIt is all.\n\nafter"
    )
    ends = "<table><tr><td>1<td rowspan=2>x</tr><tr><td>2</tr><tr><td>3<td>y</tr></table>"
    assert html(ends).text == "1 | x\n2 | x\n3 | y"


def test_a_table_of_spans_without_end_is_refused_rather_than_written_out():
    cells = f"<td rowspan=1000>{'x' * 90}" * 1_000
    with pytest.raises(LimitExceeded):
        html(f"<table><tr>{cells}</tr>{'<tr><td>y</tr>' * 1_000}</table>", limits=Limits(characters=1_000_000))


def test_merged_cells_of_a_word_table_stand_in_each_row_that_they_reach():
    document = docx.Document()
    table = document.add_table(3, 3)
    for row in range(3):
        for column in range(3):
            table.cell(row, column).text = f"{row}{column}"
    table.cell(0, 1).merge(table.cell(0, 2)).text = "wide"
    table.cell(1, 0).merge(table.cell(2, 0)).text = "tall"
    file = io.BytesIO()
    document.save(file)
    assert parse(file.getvalue(), filename="a.docx").text == "00 | wide\ntall | 11 | 12\ntall | 21 | 22"


def test_rows_of_a_markdown_table_stay_rows_of_their_own():
    source = "| Item | Price |\n|------|------:|\n| Bolt | 1.5. New |\n| Nut | 2 |\n\nProse goes on\nhere.\n"
    document = parse(source.encode(), filename="a.md")
    read = [source[unit.start : unit.end] for unit in sentences_of(document)]
    assert read[0] == "| Item | Price |"
    assert read[-2:] == ["| Nut | 2 |", "Prose goes on\nhere."]
    assert all(line.count("\n") == 0 for line in read[:-1])
