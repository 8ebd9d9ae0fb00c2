"""Files of every format over HTTP: pages and sections in citations, and what a bad file is answered with."""

import io
import zipfile

import pytest
from docx import Document as Docx

from tests.app.test_documents_api import assert_problem
from tests.retriever.epubs import epub, page
from tests.retriever.pdfs import pdf

PLANTED = "plantedtextofthefile"


def upload(client, name, data, kind="application/octet-stream"):
    return client.post("/documents", files={"file": (name, data, kind)})


def ask(client, question):
    reply = client.post("/ask", json={"question": question}).json()
    citation = reply["citations"][0]
    path = f"/documents/{citation['document_id']}/text"
    text = client.get(path, params={"start": citation["start"], "end": citation["end"]}).json()["text"]
    assert text == citation["quote"] == reply["answer"]
    return citation


def test_a_citation_of_a_pdf_names_the_page_of_its_quote(client):
    pages = [["The report is about bridges."], ["The longest bridge of the report measures 1991 meters."], ["The end."]]
    made = upload(client, "report.pdf", pdf(pages, title="Bridges"), "application/pdf").json()
    assert (made["pages"], made["title"], made["media_type"]) == (3, "Bridges", "application/pdf")
    citation = ask(client, "What does the longest bridge of the report measure?")
    assert (citation["quote"], citation["page"], citation["title"]) == ("meters", 2, "Bridges")


def test_a_citation_of_markdown_html_and_docx_names_the_section(client):
    docx, file = Docx(), io.BytesIO()
    docx.add_heading("Supply", 1)
    docx.add_paragraph("The supplier of the docx pump is Howell.")
    docx.save(file)
    files = {
        "md": b"# Parts\r\n\r\n## Supply\r\n\r\nThe supplier of the md pump is Howell.\r\n",
        "html": b"<h1>Parts</h1><h2>Supply</h2><p>The supplier of the <b>html</b> pump is Howell.</p>",
        "docx": file.getvalue(),
    }
    for suffix, data in files.items():
        assert upload(client, f"parts.{suffix}", data).status_code == 201
    for suffix in files:
        citation = ask(client, f"Who is the supplier of the {suffix} pump?")
        assert (citation["quote"], citation["section"], citation["title"]) == ("Howell", "Supply", citation["title"])
        assert suffix in citation["context"]


def test_a_citation_of_a_book_or_of_code_names_its_chapter_or_definition(client):
    chapter = page("<h1>Of pumps</h1><p>The maker of the epub pump is Howell.</p>")
    made = upload(client, "book.epub", epub({"one.xhtml": chapter}, title="Pumps")).json()
    assert (made["title"], made["media_type"]) == ("Pumps", "application/epub+zip")
    assert ask(client, "Who is the maker of the epub pump?")["section"] == "Of pumps"
    source = "class Pump:\n    def maker(self):\n        # The author of the code pump is Howell.\n        return 1\n"
    assert upload(client, "pump.py", source.encode()).json()["media_type"] == "text/x-python"
    citation = ask(client, "Who is the author of the code pump?")
    assert (citation["section"], citation["speaker"]) == ("maker", None)
    assert citation["context"] == "# The author of the code pump is Howell."


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", "Ann: Who made the pump?\nBo: The maker of the pump is Howell.\nAnn: I see.\n"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Who?\n\n00:02.000 --> 00:03.000\n<v Bo>The maker of the "
         "pump\n\n00:03.000 --> 00:04.000\n<v Bo>is Howell.\n"),
        ("a.jsonl", '{"speaker": "Ann", "content": "Who?"}\n'
         '{"speaker": "Bo", "content": "The maker of the pump is Howell."}\n'),
    ],
)  # fmt: skip
def test_a_citation_of_a_transcript_names_who_said_it(client, name, data):
    assert upload(client, name, data.encode()).status_code == 201
    citation = ask(client, "What is the maker of the pump?")
    assert (citation["quote"], citation["speaker"]) == ("Howell", "Bo")
    assert citation["context"] == "Bo: The maker of the pump is Howell."
    spoken = "Ann: Who made it?\nBo: The maker of the pump is Howell.\nAnn: I see.\n"
    inline = client.post("/ask", json={"question": "What is the maker of the pump?", "text": spoken})
    assert inline.json()["citations"][0]["speaker"] == "Bo"


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("scan.pdf", pdf([[], []]), 422, "no_text"),
        ("locked.pdf", pdf([[PLANTED]], password=b"secret"), 422, "unreadable"),
        ("cut.pdf", pdf([[PLANTED]])[:80], 422, "unreadable"),
        ("not.pdf", PLANTED.encode(), 415, "unsupported"),
        ("not.docx", PLANTED.encode(), 415, "unsupported"),
        ("broken.docx", zipped("word/document.xml", b"<w:document><" + PLANTED.encode()), 422, "unreadable"),
        ("empty.html", b"<html><script>plantedtextofthefile</script></html>", 422, "no_text"),
        ("deep.html", b"<div>" * 200_000 + PLANTED.encode(), 422, "limits"),
        ("not.epub", PLANTED.encode(), 415, "unsupported"),
        ("not.vtt", PLANTED.encode(), 415, "unsupported"),
        ("not.srt", PLANTED.encode(), 415, "unsupported"),
        ("not.jsonl", PLANTED.encode(), 415, "unsupported"),
        ("code.rs", bytes(range(256)) * 8, 415, "unsupported"),
        ("pictures.epub", epub({"one.xhtml": page("<img/>")}), 422, "no_text"),
        ("deep.jsonl", b'{"a": ' + b"[" * 100_000 + PLANTED.encode(), 422, "limits"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, 415, "unsupported"),
        ("archive.zip", zipped(PLANTED, b"x"), 415, "unsupported"),
    ],
)
def test_a_bad_file_gets_its_own_answer_without_its_text(client, name, data, status, code):
    reply = upload(client, name, data)
    problem = assert_problem(reply, status, code)
    assert problem["detail"]
    assert PLANTED not in reply.text
    assert client.get("/documents").json()["documents"] == []
