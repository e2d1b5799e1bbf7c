"""Formats that data arrives in: XML, e-mail, URLs, compressed and packed data, ids and addresses."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "elementtree": """
        import xml.etree.ElementTree as ET
        from xml.etree import ElementTree
        from xml.etree.ElementTree import Element, SubElement, tostring, ParseError
        import io
        doc = '''<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:x="urn:x"><title>T &amp; U</title>
          <entry id="1"><name>Ada</name><x:n>5</x:n></entry><entry id="2"><name>Bob</name>tail</entry></feed>'''
        root = ET.fromstring(doc)
        ns = {"a": "http://www.w3.org/2005/Atom", "x": "urn:x"}
        new = Element("orders", {"count": "2"})
        for i in range(2):
            item = SubElement(new, "order", id=str(i))
            item.text = f"<{i}>"
        new[0].set("first", "yes")
        new.append(ET.Comment("note"))
        ET.indent(new)
        try:
            ET.fromstring("<a><b></a>")
        except ParseError as e:
            error = str(e), e.code, e.position
        events = [(event, element.tag) for event, element in ET.iterparse(io.BytesIO(b"<r><i/><i/></r>"), events=("start", "end"))]
        pull = ET.XMLPullParser(["end"])
        pull.feed("<a><b>1</b>")
        out = io.BytesIO()
        ET.ElementTree(new).write(out, encoding="utf-8", xml_declaration=True)
        ET.register_namespace("x", "urn:x")
        class Target:
            def __init__(self): self.seen = []
            def start(self, tag, attrib): self.seen.append(tag)
            def data(self, text): self.seen.append(text)
            def close(self): return self.seen
        parser = ET.XMLParser(target=Target())
        parser.feed("<q>w</q>")
        return (root.tag, root.find("a:title", ns).text, [e.get("id") for e in root.findall("a:entry", ns)], root.findtext("a:entry/a:name", namespaces=ns), [n.text for n in root.iter("{urn:x}n")], root[2][0].tail, len(root), tostring(new).decode(), tostring(new, encoding="unicode", short_empty_elements=False)[:8], error, events,
                [e.text for _, e in pull.read_events()], out.getvalue().decode(), {c.tag: c.text for c in ET.fromstring("<r><a>1</a><b>2</b></r>")}, ET.XML("<p>a<b>c</b>d</p>").find("b").tail, "".join(ET.XML("<p>a<b>c</b>d</p>").itertext()), ET.fromstring("<r><i n='1'/><i n='2'/></r>").find("i[@n='2']").attrib, ElementTree.iselement(new),
                ET.parse(io.StringIO("<z><y/></z>")).getroot()[0].tag, ET.canonicalize("<a b='1'   a='2'/>"), parser.close(), ET.QName("urn:x", "n").text, ET.tostring(root.find("a:entry", ns), encoding="unicode")[:30])
    """,
    "sax_escapes": """
        from xml.sax.saxutils import escape, unescape, quoteattr
        return escape("<&>"), unescape("&lt;&amp;"), quoteattr('a "b"')
    """,
    "sax": """
        import io, xml.sax
        from xml.sax.handler import ContentHandler
        from xml.sax.saxutils import XMLGenerator
        class Seen(ContentHandler):
            def __init__(self):
                super().__init__()
                self.seen = []
            def startElement(self, name, attrs): self.seen.append((name, dict(attrs), attrs.getNames(), attrs.get("k")))
            def endElement(self, name): self.seen.append(f"/{name}")
            def characters(self, content): self.seen.append(content)
        seen = Seen()
        xml.sax.parseString(b"<r><c k='v'>x&amp;</c></r>", seen)
        try:
            xml.sax.parseString("<r><c></r>", Seen())
        except xml.sax.SAXParseException as e:
            error = e.getLineNumber(), e.getMessage()
        out = io.StringIO()
        writer = XMLGenerator(out, "utf-8", short_empty_elements=True)
        writer.startDocument()
        writer.startElement("q", {"a": "1"})
        writer.characters("<")
        writer.startElement("e", {})
        writer.endElement("e")
        writer.endElement("q")
        writer.endDocument()
        return seen.seen, error, out.getvalue()
    """,
    "names_of_containers": """
        import configparser, io, mimetypes, sqlite3, tarfile
        mimetypes.add_type("application/x-orders", ".orders")
        config = configparser.ConfigParser(interpolation=configparser.ExtendedInterpolation())
        config.read_string("[a]\\nx = 1\\ny = ${x}2\\nz = ${nope}")
        errors = []
        try:
            config["a"]["z"]
        except configparser.InterpolationError as e:
            errors.append(type(e).__name__)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo("x"))
        try:
            tarfile.open(fileobj=io.BytesIO(b"no archive"), mode="r:gz")
        except (tarfile.CompressionError, tarfile.ReadError) as e:
            errors.append(type(e).__name__)
        return (
            mimetypes.guess_type("of.orders"), config["a"]["y"], isinstance(config["a"], configparser.SectionProxy), errors,
            configparser.DEFAULTSECT, sqlite3.paramstyle, tarfile.DEFAULT_FORMAT == tarfile.PAX_FORMAT,
        )
    """,
    "email": """
        import email
        from email import policy, message_from_string, message_from_bytes
        from email.message import EmailMessage
        from email.parser import Parser, BytesParser
        from email.utils import parseaddr, formataddr, getaddresses, parsedate_to_datetime, format_datetime, parsedate
        from email.header import decode_header, make_header, Header
        from email.mime.text import MIMEText
        from email.mime.multipart import MIMEMultipart
        raw = "From: Ada <ada@example.com>\\nTo: bob@example.com, \\"C, D\\" <c@example.com>\\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\\nDate: Thu, 29 Feb 2024 13:05:07 +0100\\nMIME-Version: 1.0\\nContent-Type: multipart/mixed; boundary=X\\n\\n--X\\nContent-Type: text/plain; charset=utf-8\\nContent-Transfer-Encoding: base64\\n\\naGVsbG8gw7w=\\n--X\\nContent-Type: text/csv\\nContent-Disposition: attachment; filename=a.csv\\n\\na,b\\n1,2\\n--X--\\n"
        old = message_from_string(raw)
        m = message_from_bytes(raw.encode(), policy=policy.default)
        parts = [(p.get_content_type(), p.get_filename(), p.get_content()) for p in m.iter_parts()]
        e = EmailMessage()
        e["Subject"], e["From"], e["To"] = "Hi ü", "a@b.c", "d@e.f"
        e.set_content("plain ü\\n")
        e.add_alternative("<b>html</b>", subtype="html")
        e.add_attachment(b"\\x00\\x01", maintype="application", subtype="octet-stream", filename="x.bin")
        again = message_from_bytes(e.as_bytes(), policy=policy.default)
        mime = MIMEMultipart()
        mime["Subject"] = Header("é", "utf-8")
        mime.attach(MIMEText("body", "plain", "utf-8"))
        return (old["From"], str(make_header(decode_header(old["Subject"]))), old.is_multipart(), old.get_payload()[0].get_payload(decode=True).decode(), [p.get_content_type() for p in old.walk()], m["subject"], m["date"].datetime.isoformat(), [a.addr_spec for a in m["to"].addresses], m["from"].addresses[0].display_name, parts, m.get_body().get_content(), [a.get_filename() for a in m.iter_attachments()], m.keys(),
                again["Subject"], again.get_body(("html",)).get_content(), [p.get_content() for p in again.iter_attachments()], parseaddr("Ada L <ada@x.y>"), formataddr(("Ä", "a@b.c")), getaddresses(["a@b.c, D <e@f.g>"]), parsedate_to_datetime("Thu, 29 Feb 2024 13:05:07 +0100"), format_datetime(parsedate_to_datetime("Thu, 29 Feb 2024 13:05:07 -0000")),
                Parser().parsestr("A: b\\n\\nc").items(), BytesParser(policy=policy.SMTP).parsebytes(b"A: b\\r\\n\\r\\nc")["a"], mime.get_payload()[0].get_content_type(), "=?utf-8?b?w6k=?=" in mime.as_string(), e.get_content_type(), message_from_string("no headers").get_payload(), m.defects, email.message_from_string("X: 1\\n\\n")["x"])
    """,
    "urllib_parse": """
        from urllib.parse import urlparse, urlunparse, urlsplit, urljoin, urlencode, parse_qs, parse_qsl, quote, unquote, quote_plus, unquote_plus, urldefrag
        import urllib.parse
        u = urlparse("https://user:pw@example.com:8080/a/b;p?q=1&q=2&e=#frag")
        try:
            urlparse("http://[bad").port
        except ValueError as e:
            error = str(e)
        return (u, u.hostname, u.port, u.username, u.geturl(), u._replace(netloc="other", query="").geturl(), parse_qs(u.query), parse_qs(u.query, keep_blank_values=True), parse_qsl("a=1&b=%20x"), urlencode({"a": [1, 2], "b": "ü &"}, doseq=True), urlencode([("x", "y z")], quote_via=quote), quote("/a b?ü", safe=""), unquote("%C3%BC+"), quote_plus("a b&c"), unquote_plus("a+b"),
                urljoin("http://x/a/b", "../c?d=1"), urlsplit("//x/y").netloc, urlunparse(("http", "h", "/p", "", "q=1", "")), urldefrag("a#b").fragment, urllib.parse.quote(b"\\xff"), error, u[2])
    """,
    "compression": """
        import zlib, gzip, bz2, lzma, io, zipfile, tarfile
        data = b"some data " * 50
        gz = io.BytesIO()
        with gzip.GzipFile(fileobj=gz, mode="wb", mtime=0) as f: f.write(data)
        text = io.BytesIO()
        with gzip.open(text, "wt", encoding="utf-8") as f: f.write("ü\\n")
        c, d = zlib.compressobj(9), zlib.decompressobj()
        chunks = d.decompress(c.compress(data) + c.flush())
        raw = zlib.compressobj(wbits=-15)
        z = io.BytesIO()
        with zipfile.ZipFile(z, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.txt", "hello")
            archive.writestr("d/b.csv", data)
        with zipfile.ZipFile(io.BytesIO(z.getvalue())) as archive:
            listing = archive.namelist(), archive.read("a.txt"), archive.getinfo("d/b.csv").file_size, archive.testzip(), archive.open("a.txt").read(2)
        t = io.BytesIO()
        with tarfile.open(fileobj=t, mode="w:gz") as tar:
            info = tarfile.TarInfo("x.txt")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        with tarfile.open(fileobj=io.BytesIO(t.getvalue())) as tar:
            tarred = tar.getnames(), tar.extractfile("x.txt").read()
        errors = []
        for f in (lambda: zlib.decompress(b"x"), lambda: gzip.decompress(b"not gzip"), lambda: bz2.decompress(b"x"), lambda: lzma.decompress(b"x"), lambda: zipfile.ZipFile(io.BytesIO(b"x"))):
            try:
                f()
            except Exception as e:
                errors.append(type(e).__name__)
        b = bz2.BZ2Compressor()
        x = lzma.LZMADecompressor()
        return (zlib.decompress(zlib.compress(data, 9)) == data, gzip.decompress(gzip.compress(data)) == data, bz2.decompress(bz2.compress(data)) == data, lzma.decompress(lzma.compress(data, preset=1)) == data, gzip.decompress(gz.getvalue()) == data, gzip.open(io.BytesIO(text.getvalue()), "rt", encoding="utf-8").read(), chunks == data, zlib.decompress(raw.compress(data) + raw.flush(), -15) == data,
                bz2.decompress(b.compress(data) + b.flush()) == data, x.decompress(lzma.compress(data)) == data, lzma.open(io.BytesIO(lzma.compress(b"q"))).read(), bz2.open(io.BytesIO(bz2.compress(b"l1\\nl2")), "rt").readlines(), gzip.GzipFile(fileobj=io.BytesIO(gz.getvalue())).read(4), zlib.crc32(data), listing, zipfile.is_zipfile(io.BytesIO(z.getvalue())), tarred, errors)
    """,
    "ids_and_addresses": """
        import uuid, ipaddress
        from uuid import UUID, uuid4, uuid5, NAMESPACE_URL
        from ipaddress import ip_address, ip_network, IPv4Address, IPv6Network
        u = UUID("12345678-1234-5678-1234-567812345678")
        net = ip_network("10.0.0.0/29")
        try:
            ip_address("300.1.1.1")
        except ValueError as e:
            error = str(e)
        try:
            UUID("nope")
        except ValueError as e:
            error2 = str(e)
        return (str(u), u.hex, u.int, u.version, u.urn, u.bytes[:2], uuid4().version, len(str(uuid4())), uuid4() != uuid4(), uuid5(NAMESPACE_URL, "https://x").hex, uuid.uuid3(uuid.NAMESPACE_DNS, "a"), len(uuid.uuid1().hex), UUID(int=5), ip_address("10.0.0.1") in net, [str(h) for h in net.hosts()][:2], net.num_addresses, net.broadcast_address, ip_address("::1").is_loopback,
                IPv4Address("192.168.1.1").is_private, int(ip_address("1.2.3.4")), IPv6Network("2001:db8::/32").prefixlen, list(net.subnets(new_prefix=30)), ip_address("10.0.0.1") + 1, error, error2, sorted([ip_address("10.0.0.2"), ip_address("10.0.0.1")]), ipaddress.ip_interface("10.0.0.1/8").network, ip_address("::ffff:1.2.3.4").ipv4_mapped, ipaddress.collapse_addresses([net]).__next__())
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
