"""Path templates: each clause of the rule, the rule once more in slow and obvious Python, and what must always hold."""

from __future__ import annotations

import random
import re
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.plane.templates import template

MOST = 200


def is_token(text: str) -> bool:
    if not re.fullmatch("[A-Za-z0-9_~=-]{16,}", text):
        return False
    digits = len(re.findall("(?=[A-Za-z][0-9]|[0-9][A-Za-z])", text))
    capitals = len(re.findall("(?=[a-z][A-Z](?![a-z]))", text))
    return digits >= 1 and digits + capitals >= 4


def name_of(text: str) -> str:
    """`{id}`, `{date}`, or the text itself, of a segment without extension."""
    if not re.search("[0-9]", text):
        return text
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9].*)?", text, re.DOTALL):
        return "{date}"
    is_number = re.fullmatch("[0-9]+", text)
    is_grouped = re.fullmatch("[0-9]+(-[0-9]+)+", text) and len(re.sub("-", "", text)) >= 8
    is_hex = re.fullmatch("[0-9A-Fa-f]{8,}", text)
    is_uuid = re.fullmatch("[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}", text)
    return "{id}" if is_number or is_grouped or is_hex or is_uuid or is_token(text) else text


def segment_name(segment: str) -> str:
    if len(segment) > MOST:
        return segment
    extension = re.search(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}\Z", segment, re.DOTALL)
    stem = segment[: extension.start()] if extension else segment
    return name_of(stem) + segment[len(stem) :]


def obvious(path: bytes) -> bytes:
    """The rule as the documents have it."""
    segments = [segment_name(segment) for segment in path.decode("latin-1").split("/")]
    whole = "/".join(segments)
    if len(whole) <= MOST:
        return whole.encode("latin-1")
    kept = max((k for k in range(len(segments) + 1) if len("/".join(segments[:k]) + "/{more}") <= MOST), default=0)
    return ("/".join(segments[:kept]) + "/{more}").encode("latin-1")


def each(text: str) -> list[str]:
    return re.findall(r"\S+", text)


IDENTIFIERS = each("""
0 7 123456 00000000000000000000000000000000000001
978-3-16-148410-0 112-3456789-1234567 1234-5678 555-867-5309
3f2504e0 3F2504E0 deadbee1 1abcdefa 9e107d9d372bb6826bd81d3542a419d6 507f1f77bcf86cd799439011
da39a3ee5e6b4b0d3255bfef95601890afd80709 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
123e4567-e89b-12d3-a456-426614174000 123E4567-E89B-12D3-A456-426614174000 00000000-0000-0000-0000-000000000000
01ARZ3NDEKTSV4RRFFQ69G5FAV 01arz3ndektsv4rrffq69g5fav V1StGXR8_Z5jdHi6B-myT ch72gsb320000udocl363eofy
user_01h455vb4pex5vsknk084sn02q pi_3MtwBwLkdIwHu7ix28a3tqPa 0x71C7656EC7ab88b098defB751B7401B5f6d8976F
MDEyOk9yZ2FuaXphdGlvbjE= a1-b2-c3-d4-e5-f6 2Ew7RNHpVYAwrT7Zf8Xa2fN5HX1
""")
DATES = ["2024-05-12", "0000-00-00", "2024-05-12T10:00:00Z", "2024-05-12T10%3A00%3A00.123+02:00", "2024-05-12T1"]
WORDS = each("""
. .. ... users me v1 v2.1 1.2 1.2.3 2fa 404s i18n x86_64 k8s
{id} {date} {more} :id * user-123 item_5 -5 5- 5--5 24-7 2024-05 1_000_000
123-456 12-34-567 1-2-3-4-5-6-7- -1234-5678 1234--5678 12345678-
deadbeef facade DEADBEEF abcde12 1234567g 12345678g
abcdefab-abcd-abcd-abcd-abcdefabcdef 1111111-111111111111111111111111111a 11111111-1111-1111-1111-11111111111g
top-10-things-to-do-in-2024 iphone-15-pro-max-256gb-5g how-to-use-utf8-and-base64-in-python3 11111111_1111_1111
CreateS3BucketForUser getOAuth2TokenByUserId getUsersV2ByEmail DescribeInternetGateways
qwertyuiopasdfghjklzxcvbnm QWERTYUIOPaSdFgHjKlZxCvBnM a1b2c3d4e5f6g7h a1b2c3d4e5g7.h8i9j0
caf%C3%A9 %31%32%33 1%2F2 123;v=1 a,1,2 1,2 +49123456789 1:2 @1 3f2504e0!
2024-5-12 2024-05-12T 2024-05-12Tx 2024-05-12x 2024-05-12-x 2024-05-1 2024_05_12
123. .123 123.5 123.mp3x56789 123.a-b 123..json a.123 main.3f2504e0.js .3f2504e0.js
jquery-3.5.1.min.js archive.2024.tar.gz 123.tar.gz x.html5 word.mp3
""")
EXTENSIONS = [".json", ".x", ".mp3", ".jpeg", ".woff2", ".geojson", ".GIF"]


@pytest.mark.parametrize("segment", IDENTIFIERS)
def test_identifiers(segment: str) -> None:
    assert template(f"/a/{segment}/b".encode()) == b"/a/{id}/b"
    for extension in EXTENSIONS:
        assert template(f"/{segment}{extension}".encode()) == f"/{{id}}{extension}".encode()


@pytest.mark.parametrize("segment", DATES)
def test_dates(segment: str) -> None:
    assert template(f"/a/{segment}/b".encode()) == b"/a/{date}/b"
    assert template(f"/{segment}.csv".encode()) == b"/{date}.csv"


@pytest.mark.parametrize("segment", ["", *WORDS])
def test_words(segment: str) -> None:
    for path in (f"/a/{segment}/b", f"/{segment}", segment, f"{segment}/"):
        assert template(path.encode()) == path.encode()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", "/"),
        ("*", "*"),
        ("1", "{id}"),
        ("//1//", "//{id}//"),
        ("/1/2/3", "/{id}/{id}/{id}"),
        ("/users/17/orders/2024-05-12/3f2504e04f89", "/users/{id}/orders/{date}/{id}"),
        ("/users/{id}/orders/5.json", "/users/{id}/orders/{id}.json"),
        ("/v1/users/17", "/v1/users/{id}"),
        ("/\xff\x80/1", "/\xff\x80/{id}"),
        ("/a\x00b/1", "/a\x00b/{id}"),
    ],
)
def test_whole_paths(path: str, expected: str) -> None:
    assert template(path.encode("latin-1")) == expected.encode("latin-1")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/" + "a" * 199, "/" + "a" * 199),
        ("/" + "a" * 200, "/{more}"),
        ("/b/" + "a" * 200, "/b/{more}"),
        ("/" + "a" * 192 + "/bbbbbb", "/" + "a" * 192 + "/bbbbbb"),
        ("/" + "a" * 192 + "/bbbbbbb", "/" + "a" * 192 + "/{more}"),
        ("/b/" + "a" * 191 + "/bbbbbb", "/b/{more}"),
        ("/" + "1" * 200, "/{id}"),
        ("/" + "1" * 201, "/{more}"),
        ("/b/" + "1" * 100_000 + "/c", "/b/{more}"),
        ("/1" * 40, "/{id}" * 40),
        ("/1" * 41, "/{id}" * 38 + "/{more}"),
        ("/1" * 5_000, "/{id}" * 38 + "/{more}"),
        ("a" * 201, "/{more}"),
        ("/" + "1/" * 39 + "2024-05-12", "/" + "{id}/" * 38 + "{more}"),
        ("/" + "b" * 194 + "/1", "/" + "b" * 194 + "/{id}"),
        ("/" + "b" * 194 + "/2024-05-12", "/{more}"),
        ("/" + "b" * 192 + "/1.json", "/" + "b" * 192 + "/{more}"),
    ],
)
def test_a_template_is_never_longer_than_the_table_shows(path: str, expected: str) -> None:
    assert template(path.encode()) == expected.encode()
    assert obvious(path.encode()) == expected.encode()


def test_what_is_alike_but_for_identifiers_beyond_the_limit_is_one_series() -> None:
    paths = {b"/search/" + b"x" * 180 + b"/" + str(n).encode() + b"/" + b"y" * 2000 for n in range(50)}
    assert len({template(path) for path in paths}) == 1


hexadecimal = st.text("0123456789abcdefABCDEF", min_size=8, max_size=64).filter(lambda text: re.search("[0-9]", text))
tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=16, max_size=44).filter(is_token)
identifiers = st.one_of(st.integers(0, 10**24).map(str), st.uuids().map(str), hexadecimal, tokens)
words = st.one_of(st.sampled_from(["", "orders", *WORDS]), st.text(string.ascii_lowercase + "-", max_size=12))
extensions = st.sampled_from(["", "", "", *EXTENSIONS])
dates = st.dates().map(str)
near = st.text("0123456789aAfFgZ-_.~=T:%{}", max_size=40)
long = st.builds(lambda text, times: text * times, near, st.integers(1, 40))
segments = st.one_of(words, identifiers, dates, near, long, st.sampled_from(IDENTIFIERS + DATES))
paths = st.lists(segments, max_size=60).map(lambda parts: "/".join(["", *parts]).encode())
anything = st.one_of(paths, st.binary(max_size=300), st.text("/0123456789abcdefgA-.", max_size=300).map(str.encode))


@settings(max_examples=400, deadline=None)
@given(anything)
def test_it_is_the_obvious_rule(path: bytes) -> None:
    assert template(path) == obvious(path)


@settings(deadline=None)
@given(anything)
def test_the_template_of_a_template_is_itself(path: bytes) -> None:
    found = template(path)
    assert template(found) == found
    assert len(found) <= MOST


@settings(deadline=None)
@given(st.lists(st.one_of(words.map(lambda word: (word, word)), st.tuples(identifiers, identifiers)), max_size=50))
def test_paths_that_differ_only_in_identifiers_are_one_series(pairs: list[tuple[str, str]]) -> None:
    left, right = ("/" + "/".join(pair[side] for pair in pairs) for side in (0, 1))
    assert template(left.encode()) == template(right.encode())


@settings(deadline=None)
@given(st.lists(segments.filter(lambda text: len(text) <= 30), max_size=5), st.integers(0, 5))
def test_the_parts_of_a_path_have_the_parts_of_its_template(parts: list[str], place: int) -> None:
    place = min(place, len(parts))
    left, right = ("/" + "/".join(some) for some in (parts[:place], parts[place:]))
    assert template(f"{left}{right}".encode()) == template(left.encode()) + template(right.encode())


def missed(alphabet: str, length: int) -> float:
    """Which part of random tokens is taken for words."""
    randomness = random.Random(7)
    tokens = ["".join(randomness.choices(alphabet, k=length)) for _ in range(5_000)]
    return sum(template(f"/{token}".encode()) != b"/{id}" for token in tokens) / len(tokens)


def test_few_random_tokens_are_missed() -> None:
    letters = string.ascii_letters + string.digits
    assert missed(letters + "-_", 21) < 0.09  # nanoid
    assert missed(letters + "-_", 32) < 0.02
    assert missed("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26) < 0.01  # ULID
    assert missed("0123456789abcdef", 8) < 0.002


# A time of the build that people use: others check or trace each step.
@pytest.mark.alone
@pytest.mark.figures
@pytest.mark.parametrize(
    ("path", "most_ns"),
    [
        (b"/assets/images/branding/logo-large.png?v", 60),
        (b"/api/v1/organisations/acme/projects/list", 250),
        (b"/api/v1/users/1234567/orders/98765432101", 250),
        (b"/o/123e4567-e89b-12d3-a456-426614174000/", 250),
    ],
)
def test_it_is_cheap(path: bytes, most_ns: int) -> None:
    turns, times = 20_000, []
    for _ in range(7):
        started = time.process_time_ns()
        template(path, turns)
        times.append(time.process_time_ns() - started)
    assert min(times) / turns < most_ns
