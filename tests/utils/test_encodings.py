import io

import pytest

from bioautoml_nni.utils.encodings import encoding_of


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain", "utf-8"), ("Käfer", "utf-8"), ("Käfer", "utf-8-sig"), ("Käfer", "utf-16"),
        ("Käfer;Mücke", "utf-16-le"),
        ("Käfer;Mücke", "utf-16-be"), ("Käfer", "utf-32"), ("Käfer\nMücke", "cp1252"),
        ("L’été, l’œuf, forêt", "cp1252"),
        ("12 °C, ±3, m², ½, µm", "cp1252"), ("Żuk,mrówka,pszczoła,Łódź", "cp1250"), ("жук,муравей,пчела", "cp1251"),
        ("μυρμήγκι,πεταλούδα", "cp1253"), ("画像,カブトムシ", "shift_jis"),
        ("вид\nМуравей\nпчела\n", "utf-16-le"), ("вид\nМуравей\nпчела\n", "utf-16-be"),
        ("номер,вид\n1,Муравей\n2,жук\n", "cp1251"), ("номер,вид\n1,Муравей\n2,жук\n", "koi8_r"),
    ],
)  # fmt: skip
def test_encodings_are_found(text, encoding):
    data = text.encode(encoding)
    assert data.decode(encoding_of(io.BytesIO(data))) == text


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xff\xfe\x00", bytes(range(256)), b"\0\0\0\0", b"a\0"])
def test_any_bytes_have_an_encoding(data):
    text = data.decode(encoding_of(io.BytesIO(data)))
    assert isinstance(text, str) and bool(text) == bool(data)
    assert [sign for sign in text if " " <= sign <= "~"] == [chr(byte) for byte in data if 32 <= byte <= 126]


def test_a_late_byte_decides():
    data = b"a,b\n" * 2_000_000 + "Käfer,1\n".encode("cp1252")
    assert encoding_of(io.BytesIO(data)) == "cp1252"


def test_lines_of_two_encodings_are_read_each_in_its_own():
    data = "1,Käfer\n".encode() + "2,Mücke\n".encode("cp1252") + b"3,ant\n"
    assert data.decode(encoding_of(io.BytesIO(data))) == "1,Käfer\n2,Mücke\n3,ant\n"
    file = io.TextIOWrapper(io.BytesIO(data), encoding=encoding_of(io.BytesIO(data)))
    assert file.readlines() == ["1,Käfer\n", "2,Mücke\n", "3,ant\n"] and file.seek(0) == 0
    assert file.readline() == "1,Käfer\n"
