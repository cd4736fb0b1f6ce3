//! What puppets say.

use sansip::{Method, Outgoing};
use sansip_sim::{Heard, Puppet, Sim};
use sansip_tests::simulated::{Ua, uri_of};

/// Makes a world that keeps its whole trace.
pub(crate) fn world() -> Sim {
    let mut sim = Sim::new(sansip_sim::seed());
    sim.trace_mut().keep_all();
    sim
}

/// Writes a request outside of any dialog; `fields` are more header fields, each with its line end.
pub(crate) fn request(method: &str, call_id: &str, fields: &str) -> String {
    format!(
        "{method} sip:bob@[remote] SIP/2.0\n\
        Via: SIP/2.0/[transport] [local];rport;branch=z9hG4bK-{call_id}\n\
        Max-Forwards: 70\n\
        From: <sip:alice@[local]>;tag=a\n\
        To: <sip:bob@[remote]>\n\
        Call-ID: {call_id}\n\
        CSeq: 1 {method}\n\
        {fields}Content-Length: 0\n"
    )
}

/// Writes an INVITE.
pub(crate) fn invite(call_id: &str) -> String {
    request("INVITE", call_id, "Contact: <sip:alice@[local]>\n")
}

/// Writes the CANCEL of [`invite`].
pub(crate) fn cancel(call_id: &str) -> String {
    request("CANCEL", call_id, "")
}

/// Writes the ACK for a refusal of [`invite`].
pub(crate) fn ack_refusal(refusal: &Heard) -> String {
    let call_id = refusal.header("Call-ID").unwrap_or_default();
    let to = refusal.header("To").unwrap_or_default();
    request("ACK", &call_id, "").replace("To: <sip:bob@[remote]>\n", &format!("To: {to}\n"))
}

/// Writes a request of the caller in the dialog that a response began.
pub(crate) fn in_call(response: &Heard, method: &str, cseq: u32, fields: &str) -> String {
    let field = |name| response.header(name).unwrap_or_default().into_owned();
    let contact = field("Contact");
    let uri = contact.trim_start_matches('<').trim_end_matches('>');
    format!(
        "{method} {uri} SIP/2.0\n\
        Via: SIP/2.0/[transport] [local];rport;branch=[branch]\n\
        Max-Forwards: 70\n\
        From: {}\n\
        To: {}\n\
        Call-ID: {}\n\
        CSeq: {cseq} {method}\n\
        {fields}Content-Length: 0\n",
        field("From"),
        field("To"),
        field("Call-ID"),
    )
}

/// Writes a response of a callee with a To tag of one's own, as a branch behind a forking proxy.
pub(crate) fn branch_says(invite: &Heard, status: u16, tag: &str, fields: &str) -> String {
    let field = |name| invite.header(name).unwrap_or_default().into_owned();
    format!(
        "SIP/2.0 {status} Branch\n\
        Via: {}\n\
        From: {}\n\
        To: {};tag={tag}\n\
        Call-ID: {}\n\
        CSeq: {}\n\
        {fields}Content-Length: 0\n",
        field("Via"),
        field("From"),
        field("To"),
        field("Call-ID"),
        field("CSeq"),
    )
}

/// Lets a puppet call a phone that accepts; returns the 2xx, acknowledged.
pub(crate) fn caller(sim: &mut Sim, alice: Puppet, bob: Ua) -> Heard {
    alice.send_to(sim, bob.addr(), &invite("one"));
    let ok = alice.expect(sim, "200");
    alice.send(sim, &in_call(&ok, "ACK", 1, ""));
    sim.run_for(std::time::Duration::from_millis(10));
    ok
}

/// Lets a phone call a puppet that accepts; returns the ACK.
pub(crate) fn callee(sim: &mut Sim, alice: Ua, bob: Puppet) -> Heard {
    let uri = uri(sim, bob);
    alice.dial(sim, &uri);
    bob.expect(sim, "INVITE");
    bob.reply(sim, 200);
    bob.expect(sim, "ACK")
}

/// Ends the only call of a phone with BYE, which the puppet answers.
pub(crate) fn hang_up(sim: &mut Sim, ua: Ua, peer: Puppet) {
    ua.hang_up(sim);
    peer.expect(sim, "BYE");
    peer.reply(sim, 200);
}

/// Returns the URI of a puppet.
pub(crate) fn uri(sim: &Sim, puppet: Puppet) -> String {
    format!("sip:{}", puppet.addr(sim))
}

/// Makes a request outside of any dialog to a puppet.
pub(crate) fn to(sim: &Sim, puppet: Puppet, method: Method) -> Outgoing {
    Outgoing::new(method, uri_of(&uri(sim, puppet)))
}

/// Returns a header field, which has to be there.
pub(crate) fn field(heard: &Heard, name: &str) -> String {
    heard.header(name).unwrap_or_else(|| panic!("{name} in\n{}", heard.text())).into_owned()
}

/// Returns the value of a parameter of a header field.
pub(crate) fn param(heard: &Heard, name: &str, param: &str) -> Option<String> {
    let value = field(heard, name);
    let found = value.split(';').skip(1).find_map(|part| part.trim().strip_prefix(param)?.strip_prefix('='));
    found.map(str::to_owned)
}
