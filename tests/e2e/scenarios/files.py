"""Files that other nodes make and read, with Python between them."""

from __future__ import annotations

from stage import Stage, scenario
from workflows import link, node, python, split, webhook

#: A page with one line of text, as small as a PDF may be.
PDF = r"""
def pdf(text):
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
             b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
             b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
             b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    out, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return (out + b"xref\n0 6\n0000000000 65535 f \n" + table
            + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(out))
"""
ICS = "BEGIN:VCALENDAR\\r\\nVERSION:2.0\\r\\nPRODID:x\\r\\nBEGIN:VEVENT\\r\\nUID:1\\r\\nDTSTAMP:20260101T000000Z\\r\\n"
ICS += "DTSTART:20260102T100000Z\\r\\nDTEND:20260102T110000Z\\r\\nSUMMARY:Tea\\r\\nEND:VEVENT\\r\\nEND:VCALENDAR\\r\\n"


@scenario()
def files_that_python_wrote(stage: Stage) -> None:
    """Extract from File reads what Python wrote: text, JSON, CSV, XML's text, a calendar and a PDF."""
    made = {
        "text": ("text", "'grüß'.encode()", "a.txt", "text/plain"),
        "json": ("fromJson", "b'{\"a\": [1, null]}'", "a.json", "application/json"),
        "csv": ("csv", "b'n,who\\n1,Ada\\n2,Bob\\n'", "a.csv", "text/csv"),
        "calendar": ("fromIcs", f"'{ICS}'.encode()", "a.ics", "text/calendar"),
        "pdf": ("pdf", "pdf('Hello from Python')", "a.pdf", "application/pdf"),
    }
    expected = {
        "text": lambda items: items == [{"data": "grüß"}],
        "json": lambda items: items == [{"data": {"a": [1, None]}}],
        "csv": lambda items: [item["who"] for item in items] == ["Ada", "Bob"],
        "calendar": lambda items: "Tea" in str(items),
        "pdf": lambda items: "Hello from Python" in items[0]["text"],
    }
    for name, (operation, data, file_name, kind) in made.items():
        stored = f"_helpers.prepare_binary({data}, {file_name!r}, {kind!r})"
        write = f"return [{{'json': {{}}, 'binary': {{'data': {stored}}}}}]"
        path = f"file-{name}"
        params = {"operation": operation, "binaryPropertyName": "data", "options": {}}
        stage.publish(
            path,
            [
                webhook(path),
                python(PDF + write if name == "pdf" else write, name="Write"),
                node("Extract", "n8n-nodes-base.extractFromFile", 1.1, params, 3),
                python("return [{'json': {'got': [item['json'] for item in _items]}}]", name="Read", pos=4),
            ],
            link("Webhook", "Write", "Extract", "Read"),
        )
        ((answer),) = stage.ask(path, {})
        assert expected[name](answer["got"]), f"{name}: {answer}"


@scenario()
def spreadsheet_there_and_back(stage: Stage) -> None:
    """Rows go into a spreadsheet and out of it, and Python gets its bytes on the way."""
    convert = {"operation": "xlsx", "options": {}}
    extract = {"operation": "xlsx", "options": {}}
    peek = """
        out = []
        for number, item in enumerate(_items):
            out.append({"json": {"zip": _helpers.get_binary(number)[:2].decode()}, "binary": item["binary"]})
        return out
    """
    stage.publish(
        "sheet",
        [
            webhook("sheet"),
            split(),
            node("Convert", "n8n-nodes-base.convertToFile", 1.1, convert, 3),
            python(peek, name="Peek", pos=4),
            node("Extract", "n8n-nodes-base.extractFromFile", 1.1, extract, 5),
            python(
                "return [{'json': {'rows': [i['json'] for i in _items], 'zip': _node('Peek').first().json.zip}}]",
                name="Read",
                pos=6,
            ),
        ],
        link("Webhook", "Split", "Convert", "Peek", "Extract", "Read"),
    )
    rows = [{"n": 1, "who": "Ada"}, {"n": 2, "who": "Bob"}]
    assert stage.ask("sheet", {"items": rows}) == [{"rows": rows, "zip": "PK"}]
