"""The errors of the wire format."""

from exptrack_proto.errors import Malformed, ProtocolError, UnsupportedVersion


def test_both_faults_are_protocol_errors_and_differ():
    assert issubclass(Malformed, ProtocolError)
    assert issubclass(UnsupportedVersion, ProtocolError)
    assert not issubclass(UnsupportedVersion, Malformed)
