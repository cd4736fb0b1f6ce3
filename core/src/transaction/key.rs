//! Which transaction a message belongs to (RFC 3261 §9.2, §17.1.3, §17.2.3).
//!
//! Looking one up takes two steps: a 64-bit hash, then a comparison of the text. What a server transaction keeps for the
//! comparison is either its request or, once it has answered, nothing but its answer: the answer repeats the request's
//! Via, From, Call-ID and CSeq. It does not repeat the Request-URI, so where that counts (RFC 2543 peers), the hash alone
//! vouches for it.

use smallvec::SmallVec;

use crate::{
    base::HashKey,
    syntax::{HeaderId, Method, Via, View},
};

/// Returns the hash of the server transaction that a request belongs to.
///
/// A request, the ACK to its non-2xx, and its CANCEL have the same: the method is left to the comparison, because a
/// CANCEL does not tell the method of what it cancels.
pub(crate) fn server_key(hash: &HashKey, request: View<'_>) -> u64 {
    match unique_branch(request.via()) {
        Some(branch) => {
            let mut lower = SmallVec::<[u8; 96]>::from_slice(branch.as_bytes());
            lower.make_ascii_lowercase();
            hash.hash_parts(&[b"3261", &lower])
        }
        None => hash.hash_parts(&[
            b"2543",
            request.request_uri_text().as_bytes(),
            request.call_id().as_bytes(),
            request.from_tag().unwrap_or("").as_bytes(),
            &request.cseq_number().to_be_bytes(),
        ]),
    }
}

/// Tells whether a request with the same key is a retransmission of the one that is `kept`, itself or as its answer.
pub(crate) fn retransmits(request: View<'_>, kept: View<'_>) -> bool {
    request.cseq_method_text() == kept.cseq_method_text() && same_request(request, kept)
}

/// Tells at a glance whether the answer that is kept is one to this very request: its top Via is the request's but for what
/// a server writes into it, and the CSeq is the same.
///
/// A copy of a request passes. What does not has to be compared with [`retransmits`], which wants the answer parsed.
pub(crate) fn plainly_answered(request: View<'_>, answer: &[u8]) -> bool {
    if unique_branch(request.via()).is_none() {
        return false;
    }
    let mut rows = memchr::memchr_iter(b'\n', answer).map(|end| answer.get(end + 1..).unwrap_or(&[]));
    let via = rows.next().and_then(|row| row.strip_prefix(b"Via: "));
    let Some(cseq) = request.header(HeaderId::CSeq).map(str::as_bytes) else { return false };
    let is_same = |row: &[u8]| row.strip_prefix(cseq).is_some_and(|more| more.starts_with(b"\r\n"));
    via.is_some_and(|via| is_stamped(via, request.via().as_str().as_bytes()))
        && rows.find_map(|row| row.strip_prefix(b"CSeq: ")).is_some_and(is_same)
}

/// Tells whether a row begins with this Via, in which `rport` may have got its value, or which is followed by more.
fn is_stamped(row: &[u8], via: &[u8]) -> bool {
    let same = row.iter().zip(via).take_while(|(a, b)| a == b).count();
    let (Some((before, rest_of_via)), Some(rest)) = (via.split_at_checked(same), row.get(same..)) else {
        return false;
    };
    let rest = match rest {
        [b'=', value @ ..] if before.to_ascii_lowercase().ends_with(b";rport") => {
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            value.get(digits..).unwrap_or(&[])
        }
        rest => rest,
    };
    rest.strip_prefix(rest_of_via).is_some_and(|more| matches!(more.first(), Some(b';' | b',' | b'\r')))
}

/// Tells whether an ACK with the same key belongs to the INVITE transaction that is `kept`.
///
/// An ACK of an RFC 2543 peer belongs to a response: it matches none before one was sent.
pub(crate) fn acknowledges(ack: View<'_>, kept: View<'_>) -> bool {
    if !kept.cseq_is(&Method::Invite) {
        return false;
    }
    match unique_branch(ack.via()) {
        Some(_) => same_client(ack.via(), kept.via()),
        None => !kept.is_request() && ack.to_tag() == kept.to_tag() && same_origin(ack, kept),
    }
}

/// Tells whether a CANCEL with the same key is meant for the transaction that is `kept`.
pub(crate) fn cancels(cancel: View<'_>, kept: View<'_>) -> bool {
    !kept.cseq_is(&Method::Ack) && !kept.cseq_is(&Method::Cancel) && same_request(cancel, kept)
}

/// Tells whether a response answers our request with this branch and method.
pub(crate) fn answers(response: View<'_>, branch: &str, method: &str) -> bool {
    response.branch() == Some(branch) && response.cseq_method_text() == method
}

/// Compares all but the method, which need not be the same.
fn same_request(request: View<'_>, kept: View<'_>) -> bool {
    match unique_branch(request.via()) {
        Some(_) => same_client(request.via(), kept.via()),
        None => same_to_tag(request, kept) && same_origin(request, kept),
    }
}

/// Returns the branch if it is unique by RFC 3261: longer than the magic cookie that it begins with.
///
/// One of the cookie alone is no better than none (RFC 4475 §3.2.1).
fn unique_branch<'a>(via: Via<'a>) -> Option<&'a str> {
    via.branch().filter(|branch| via.has_magic_cookie() && branch.len() > COOKIE)
}

/// Compares branch and sent-by: what tells a client's transactions and the clients apart.
fn same_client(a: Via<'_>, b: Via<'_>) -> bool {
    let branches = a.branch().zip(b.branch());
    branches.is_some_and(|(a, b)| a.eq_ignore_ascii_case(b)) && same_sent_by(a, b)
}

fn same_sent_by(a: Via<'_>, b: Via<'_>) -> bool {
    a.host() == b.host() && a.port() == b.port()
}

/// Compares the To tag of a request with that of another request, or of its answer. The answer to a request without one
/// has one of ours, so a request without one is not told apart there; its other parts do that.
fn same_to_tag(request: View<'_>, kept: View<'_>) -> bool {
    request.to_tag() == kept.to_tag() || request.to_tag().is_none() && !kept.is_request()
}

/// Compares what RFC 2543 peers have instead of a branch, except for the To tag and the Request-URI.
fn same_origin(request: View<'_>, kept: View<'_>) -> bool {
    request.call_id() == kept.call_id()
        && request.from_tag() == kept.from_tag()
        && request.cseq_number() == kept.cseq_number()
        && same_via(request.via(), kept.via())
}

/// Compares Vias whole, but for what a server writes into them.
fn same_via(a: Via<'_>, b: Via<'_>) -> bool {
    a.transport().eq_ignore_ascii_case(b.transport())
        && same_sent_by(a, b)
        && sent_params(a).count() == sent_params(b).count()
        && sent_params(a).zip(sent_params(b)).all(|(a, b)| {
            let values = (a.1.unwrap_or(""), b.1.unwrap_or(""));
            a.0.eq_ignore_ascii_case(b.0)
                && a.1.is_some() == b.1.is_some()
                && values.0.eq_ignore_ascii_case(values.1)
        })
}

/// Returns the parameters that the client wrote.
fn sent_params<'a>(via: Via<'a>) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    via.params()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("received") && !name.eq_ignore_ascii_case("rport"))
}

const COOKIE: usize = "z9hG4bK".len();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, syntax::Message};

    const COOKIED: &str = "SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK776asdhds";
    const OLD: &str = "SIP/2.0/UDP a.example.com;hidden;branch=7.1";

    /// What the tests vary of a message.
    #[derive(Clone, Copy)]
    struct Parts<'a> {
        line: &'a str,
        via: &'a str,
        from_tag: &'a str,
        to_tag: &'a str,
        call_id: &'a str,
        cseq: &'a str,
    }

    /// An INVITE with this Via.
    fn invite(via: &str) -> Parts<'_> {
        let line = "INVITE sip:bob@b.example.com SIP/2.0";
        Parts { line, via, from_tag: "f1", to_tag: "", call_id: "c1", cseq: "7 INVITE" }
    }

    /// The same request with another method.
    fn with_method<'a>(parts: Parts<'a>, line: &'a str, cseq: &'a str) -> Parts<'a> {
        Parts { line, cseq, ..parts }
    }

    fn ack(parts: Parts<'_>) -> Parts<'_> {
        with_method(parts, "ACK sip:bob@b.example.com SIP/2.0", "7 ACK")
    }

    fn cancel(parts: Parts<'_>) -> Parts<'_> {
        with_method(parts, "CANCEL sip:bob@b.example.com SIP/2.0", "7 CANCEL")
    }

    /// What is kept of it once answered: its Via is stamped, its To has a tag.
    fn answer<'a>(parts: Parts<'a>, via: &'a str) -> Parts<'a> {
        let to_tag = if parts.to_tag.is_empty() { "ours" } else { parts.to_tag };
        Parts { line: "SIP/2.0 486 Busy Here", via, to_tag, ..parts }
    }

    fn text(parts: Parts<'_>) -> Vec<u8> {
        let Parts { line, via, from_tag, to_tag, call_id, cseq } = parts;
        let tag = |tag: &str| if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let (from_tag, to_tag) = (tag(from_tag), tag(to_tag));
        format!(
            "{line}\r\nVia: {via}\r\nVia: SIP/2.0/UDP below.example.com\r\nMax-Forwards: 70\r\n\
             From: <sip:a@a.example.com>{from_tag}\r\nTo: <sip:b@b.example.com>{to_tag}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// Looks one message up beside another, key and comparison together.
    fn found(
        test: fn(View<'_>, View<'_>) -> bool,
        request: Parts<'_>,
        first: Parts<'_>,
        kept: Parts<'_>,
    ) -> bool {
        let hash = HashKey::new(1, 2);
        let (request, first, kept) = (text(request), text(first), text(kept));
        let parse = |bytes| Message::parse(bytes, &Limits::default()).expect("a message");
        let (request, first, kept) = (parse(&request), parse(&first), parse(&kept));
        server_key(&hash, request.view()) == server_key(&hash, first.view())
            && test(request.view(), kept.view())
    }

    /// The two forms in which a transaction is kept: the request, and the answer with the Via stamped.
    fn forms<'a>(first: Parts<'a>, stamped: &'a str) -> [Parts<'a>; 2] {
        [first, answer(first, stamped)]
    }

    const COOKIED_STAMPED: &str =
        "SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK776asdhds;received=192.0.2.1;rport=9";
    const OLD_STAMPED: &str = "SIP/2.0/UDP a.example.com;hidden;branch=7.1;received=192.0.2.1";

    #[test]
    fn mt_02_branch_sent_by_and_method() {
        let first = invite(COOKIED);
        for kept in forms(first, COOKIED_STAMPED) {
            let same = |request| found(retransmits, request, first, kept);
            assert!(same(first));
            // Nothing else counts.
            assert!(same(Parts { from_tag: "f2", call_id: "c2", to_tag: "t2", cseq: "8 INVITE", ..first }));
            assert!(same(Parts { line: "INVITE sip:other SIP/2.0", ..first }));
            assert!(
                same(invite("SIP/2.0/TCP A.EXAMPLE.com:5070;branch=Z9HG4BK776ASDHDS;rport")),
                "in any case"
            );
            for other in [
                "SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK776asdhdt",
                "SIP/2.0/UDP a.example.com:5071;branch=z9hG4bK776asdhds",
                "SIP/2.0/UDP a.example.com;branch=z9hG4bK776asdhds",
                "SIP/2.0/UDP b.example.com:5070;branch=z9hG4bK776asdhds",
            ] {
                assert!(!same(invite(other)), "{other}");
            }
            assert!(!same(with_method(first, "BYE sip:bob@b.example.com SIP/2.0", "7 BYE")));
            assert!(!same(cancel(first)), "MT-04: a CANCEL is a transaction of its own");
            assert!(!same(ack(first)));
        }
    }

    /// What passes at a glance passes the comparison, too.
    #[test]
    fn mt_02_at_a_glance() {
        let plainly = |request: Parts<'_>, kept: Parts<'_>| {
            let (request, kept) = (text(request), text(kept));
            let request = Message::parse(&request, &Limits::default()).expect("a message");
            let answer = Message::parse(&kept, &Limits::default()).expect("a message");
            let plainly = plainly_answered(request.view(), &kept);
            assert!(!plainly || retransmits(request.view(), answer.view()));
            plainly
        };
        let rport = "SIP/2.0/UDP a.example.com:5070;rport;branch=z9hG4bK776asdhds";
        let filled = "SIP/2.0/UDP a.example.com:5070;rport=9;branch=z9hG4bK776asdhds;received=192.0.2.1";
        assert!(plainly(invite(COOKIED), answer(invite(COOKIED), COOKIED)));
        assert!(plainly(invite(COOKIED), answer(invite(COOKIED), COOKIED_STAMPED)));
        assert!(plainly(invite(rport), answer(invite(rport), filled)));
        for other in [
            "SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK776asdhd",
            "SIP/2.0/UDP a.example.com:5070;branch=z9hG4bK776asdhdsx",
            "SIP/2.0/UDP a.example.com:507;branch=z9hG4bK776asdhds",
            "SIP/2.0/UDP b.example.com:5070;branch=z9hG4bK776asdhds",
        ] {
            assert!(!plainly(invite(other), answer(invite(COOKIED), COOKIED_STAMPED)), "{other}");
        }
        let bye = with_method(invite(COOKIED), "BYE sip:bob@b.example.com SIP/2.0", "7 BYE");
        assert!(!plainly(bye, answer(invite(COOKIED), COOKIED_STAMPED)), "another method");
        assert!(!plainly(invite(OLD), answer(invite(OLD), OLD_STAMPED)), "there more counts");
    }

    #[test]
    fn mt_02_ack() {
        let first = invite(COOKIED);
        for kept in forms(first, COOKIED_STAMPED) {
            let belongs = |request| found(acknowledges, request, first, kept);
            assert!(belongs(ack(first)));
            assert!(belongs(Parts { to_tag: "any", ..ack(first) }), "the tag does not count");
            let another = ack(invite("SIP/2.0/UDP a.example.com:5070;branch=z9hG4bKnew"));
            assert!(!belongs(another), "the ACK to a 2xx has a branch of its own");
        }
        let options = with_method(first, "OPTIONS sip:bob@b.example.com SIP/2.0", "7 OPTIONS");
        assert!(!found(acknowledges, ack(first), first, options), "only an INVITE is acknowledged");
    }

    #[test]
    fn mt_03_without_a_cookie() {
        for via in [OLD, "SIP/2.0/UDP a.example.com"] {
            let stamped = format!("{via};received=192.0.2.1");
            let first = invite(via);
            for kept in forms(first, &stamped) {
                let same = |request| found(retransmits, request, first, kept);
                assert!(same(first));
                for other in [
                    Parts { line: "INVITE sip:other SIP/2.0", ..first },
                    Parts { from_tag: "f2", ..first },
                    Parts { from_tag: "", ..first },
                    Parts { to_tag: "t2", ..first },
                    Parts { call_id: "c2", ..first },
                    Parts { cseq: "8 INVITE", ..first },
                    Parts { via: "SIP/2.0/TCP a.example.com;hidden;branch=7.1", ..first },
                    Parts { via: "SIP/2.0/UDP b.example.com;hidden;branch=7.1", ..first },
                    Parts { via: "SIP/2.0/UDP a.example.com:5061;hidden;branch=7.1", ..first },
                    Parts { via: "SIP/2.0/UDP a.example.com;hidden;branch=7.2", ..first },
                    Parts { via: "SIP/2.0/UDP a.example.com;hidden", ..first },
                    with_method(first, "BYE sip:bob@b.example.com SIP/2.0", "7 BYE"),
                ] {
                    assert!(!same(other), "{} {} {}", other.line, other.via, other.cseq);
                }
            }
        }
    }

    #[test]
    fn mt_03_inside_a_dialog() {
        let first = Parts { to_tag: "t1", ..invite(OLD) };
        for kept in forms(first, OLD_STAMPED) {
            assert!(found(retransmits, first, first, kept));
            assert!(!found(retransmits, Parts { to_tag: "t2", ..first }, first, kept));
        }
    }

    #[test]
    fn mt_03_ack_names_the_response() {
        let first = invite(OLD);
        let kept = answer(first, OLD_STAMPED);
        let belongs = |request| found(acknowledges, request, first, kept);
        let good = Parts { to_tag: "ours", ..ack(first) };
        assert!(belongs(good));
        for other in [
            Parts { to_tag: "another", ..good },
            Parts { to_tag: "", ..good },
            Parts { from_tag: "f2", ..good },
            Parts { call_id: "c2", ..good },
            Parts { line: "ACK sip:other SIP/2.0", ..good },
            Parts { cseq: "8 ACK", ..good },
            Parts { via: "SIP/2.0/UDP a.example.com;hidden;branch=7.2", ..good },
        ] {
            assert!(!belongs(other), "{} {} {}", other.line, other.via, other.to_tag);
        }
        assert!(!found(acknowledges, ack(first), first, first), "nothing was answered yet");
    }

    #[test]
    fn mt_04_cancel() {
        for (via, stamped) in [(COOKIED, COOKIED_STAMPED), (OLD, OLD_STAMPED)] {
            let first = invite(via);
            for kept in forms(first, stamped) {
                assert!(found(cancels, cancel(first), first, kept), "{via}");
                let another = format!("{via}x");
                assert!(!found(cancels, cancel(invite(&another)), first, kept), "{via}");
            }
            // Any method can be meant but these two, and so the CANCEL is not its own target.
            let bye = with_method(first, "BYE sip:bob@b.example.com SIP/2.0", "7 BYE");
            assert!(found(cancels, cancel(first), bye, bye), "{via}");
            assert!(!found(cancels, cancel(first), cancel(first), cancel(first)), "{via}");
            assert!(found(retransmits, cancel(first), cancel(first), cancel(first)), "{via}");
            assert!(!found(cancels, cancel(first), ack(first), ack(first)), "{via}");
        }
    }

    #[test]
    fn mt_05_a_branch_of_the_cookie_alone() {
        // RFC 4475 §3.2.1.
        for cookie in ["z9hG4bK", "Z9HG4BK"] {
            let via = format!("SIP/2.0/UDP a.example.com;branch={cookie}");
            let first = invite(&via);
            assert!(found(retransmits, first, first, first));
            assert!(
                !found(retransmits, Parts { call_id: "c2", ..first }, first, first),
                "{cookie} collides with none"
            );
        }
    }

    #[test]
    fn mt_01_responses() {
        let ours = invite(COOKIED);
        let bytes = text(answer(ours, COOKIED_STAMPED));
        let response = Message::parse(&bytes, &Limits::default()).expect("a response");
        assert!(answers(response.view(), "z9hG4bK776asdhds", "INVITE"));
        assert!(!answers(response.view(), "z9hG4bK776asdhds", "CANCEL"), "its CANCEL has the same branch");
        assert!(!answers(response.view(), "z9hG4bK776asdhdt", "INVITE"));
    }
}
