"""Control messages; their golden bytes are in test_vectors.py."""

import pytest

from exptrack_proto.control import Ack, Hello, Stop, decode_control, encode_control
from exptrack_proto.errors import Malformed

STREAM = bytes(range(16))


@pytest.mark.parametrize(
    "message",
    [Hello(STREAM, "run", 0, 0), Ack("boot", STREAM, 2**63 - 1, "größer"), Stop(STREAM, "")],
)
def test_a_message_comes_back_as_it_was(message):
    decoded = decode_control(encode_control(message))
    assert decoded == message
    assert type(decoded) is type(message)


def test_an_ack_is_never_taken_for_a_hello():
    with pytest.raises(Malformed, match="unknown"):
        decode_control(encode_control(Ack("boot", STREAM, 1)).replace(b"\xa3ack", b"\xa3hel"))


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(Malformed, match="not msgpack"):
        decode_control(encode_control(Stop(STREAM, "ab")).replace(b"ab", b"\xff\xfe"))
