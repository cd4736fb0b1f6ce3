//! What the parser and the encoder take from the heap.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "tests run beside each other, and each thread counts its own"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

use bytes::BytesMut;
use sansip::{
    Limits,
    auth::{Challenge, Credentials, Ha1, Hash},
    body::multipart,
    syntax::{Encoder, HeaderId, Message, StatusCode, ViaStamp},
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = COUNT.get();
    let result = work();
    (COUNT.get() - before, result)
}

fn invite(extra: usize) -> String {
    let extra: String = (0..extra).map(|number| format!("X-Extra-{number}: value\r\n")).collect();
    format!(
        "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP pc33.atlanta.example.com:5060;branch=z9hG4bKnashds8;rport\r\n\
         Route: <sip:proxy.atlanta.example.com;lr>\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
         To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
         Call-ID: 3848276298220188511@atlanta.example.com\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:alice@192.0.2.33:5060;transport=udp>\r\n\
         {extra}Content-Type: application/sdp\r\n\
         Content-Length: 5\r\n\r\nv=0\r\n"
    )
}

/// Figures: zero allocations for up to 32 header fields, one for more.
#[test]
fn parsing_allocates_nothing() {
    let limits = Limits::default();
    for (extra, expected) in [(0, 0), (22, 0), (23, 1)] {
        let text = invite(extra);
        let (count, ()) = allocations(|| {
            let message = Message::parse(text.as_bytes(), &limits).expect("a good request");
            let view = message.view();
            black_box((view.via().host(), view.from_tag(), view.call_id(), view.cseq_method()));
            assert!(view.request_uri().is_ok());
            black_box((
                view.routes().count(),
                view.contacts().count(),
                view.has_token(HeaderId::Supported, "x"),
            ));
        });
        assert_eq!(count, expected, "{} header fields", extra + 10);
    }
}

/// Refusing junk takes nothing from the heap either.
#[test]
fn refusing_allocates_nothing() {
    let limits = Limits::default();
    let text = invite(0).replace("CSeq: 1 INVITE", "CSeq: x");
    let (count, ()) = allocations(|| assert!(Message::parse(text.as_bytes(), &limits).is_err()));
    assert_eq!(count, 0);
}

/// Figures: at most one allocation for a 200 OK, none when the buffer has room.
#[test]
fn a_response_allocates_its_buffer_once() {
    let text = invite(0);
    let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good request");
    let respond = |out: &mut BytesMut| {
        let stamp = ViaStamp { received: Some([192, 0, 2, 1].into()), rport: Some(5060) };
        let encoder = Encoder::response(out, message.view(), StatusCode::OK, None, Some("a6c85cf"), stamp);
        encoder.field(HeaderId::Contact, "<sip:bob@192.0.2.4>").end(None);
    };
    let (count, _) = allocations(|| {
        let mut out = BytesMut::new();
        respond(&mut out);
        out
    });
    assert!(count <= 1, "{count}");
    let mut out = BytesMut::with_capacity(1024);
    assert_eq!(allocations(|| respond(&mut out)).0, 0);
}

/// An owned request is one copy: the reference count with the places of 16 header fields, the head, and the body.
#[test]
fn owning_takes_three_allocations() {
    let text = invite(0);
    let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good request");
    let (count, request) = allocations(|| message.to_request().expect("a request"));
    assert_eq!(count, 3);
    assert_eq!(allocations(|| request.clone()).0, 0);
}

/// Challenges, credentials and parts of bodies are read where they stand.
#[test]
fn reading_credentials_and_parts_borrows() {
    let limits = Limits::default();
    let challenge = "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"\"";
    let credentials = "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"sip:d\", qop=auth, nc=00000001, \
        cnonce=\"e\", response=\"0123456789abcdef0123456789abcdef\"";
    let body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
    let (count, read) = allocations(|| {
        let Ok(Challenge::Digest(challenge)) = Challenge::parse(challenge) else { return 0 };
        let Ok(Credentials::Digest(credentials)) = Credentials::parse(credentials) else { return 0 };
        let known =
            black_box((challenge.realm(), challenge.nonce(), challenge.qop(), credentials.username()));
        let ha1 = Ha1::new(Hash::Md5, &known.3, &known.0, "password");
        assert!(!black_box(credentials.matches(&ha1, "INVITE", b"")));
        let parts = multipart::leaves("multipart/mixed;boundary=\"b\"", body, &limits);
        parts.map_or(0, |parts| parts.flatten().filter(|part| part.disposition().is_ok()).count())
    });
    assert_eq!((count, read), (0, 2));
}

/// Figures: the header fields with types cost no allocation either, but for methods that are not known.
#[test]
fn typed_header_fields_allocate_nothing() {
    use sansip::syntax::header::{Allow, Contact, Date, Event, Server, SessionExpires, Warning};
    let fields = "Allow: INVITE, ACK,FOO\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\nEvent: presence;id=1\r\n\
        Server: a/1 (b)\r\nSession-Expires: 90;refresher=uac\r\nWarning: 399 a \"x, y\", 301 b \"z\"\r\n\
        P-Charging-Vector: icid-value=1;orig-ioi=a\r\nContent-Type";
    let text = invite(0).replace("Content-Type", fields);
    let message = Message::parse(text.as_bytes(), &Limits::default()).expect("a good request");
    let (count, ()) = allocations(|| {
        let view = message.view();
        assert_eq!(view.check_typed(), Ok(()));
        assert_eq!(view.typed_all::<Allow>().filter_map(Result::ok).count(), 3);
        assert_eq!(view.typed_all::<Warning>().filter_map(Result::ok).count(), 2);
        black_box((view.typed::<Contact>(), view.typed::<Date>(), view.typed::<SessionExpires>()));
        black_box(view.typed::<Server>().and_then(|server| server.ok()?.values().next()));
        black_box(view.typed::<Event>().and_then(|event| event.ok()?.id()));
        assert!(view.contains("subject") || view.get("P-Charging-Vector").is_some());
    });
    assert_eq!(count, 0);
}
