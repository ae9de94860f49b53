//! What datagrams are, by their first octets (RFC 7983).

use str0m::ice::StunMessage;

/// Whether a datagram is a check by which a viewer chooses its path (RFC 8445 section 7.1.2).
pub(super) fn chooses_path(datagram: &[u8]) -> bool {
    let is_stun = datagram.first().is_some_and(|first| *first < 4);
    let chooses = |check: StunMessage<'_>| check.is_binding_request() && check.use_candidate();
    is_stun && StunMessage::parse(datagram).is_ok_and(chooses)
}

/// Whether a datagram is the answer to a check of a viewer that knows our password.
pub(super) fn accepts(reply: &[u8]) -> bool {
    StunMessage::parse(reply).is_ok_and(|reply| reply.is_successful_binding_response())
}

/// Whether a datagram is DTLS (RFC 7983): str0m sends it on the path that is chosen.
pub(super) fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (20..64).contains(first))
}
