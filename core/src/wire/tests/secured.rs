use rcgen::ExtendedKeyUsagePurpose as Purpose;
use rustls::CertificateError as Refused;

use super::rig::*;
use crate::{
    transport::{CloseHow, IoKind, PeerInfo, Proto},
    wire::{Certificate, CertificateError, ClientCertificates, Tls, WireError, trust_pem},
};

/// Opens a TLS connection to a server with a certificate, for a name.
fn opened(certificate: &Certificate, client: &Tls, asked: Option<&str>) -> Rig {
    let mut rig = Rig::new(&tls().certificates(vec![certificate.clone()]), client);
    rig.connect(Proto::Tls, asked.and_then(name));
    rig
}

/// Returns why the client refused the server.
fn refusal(rig: &Rig) -> Refused {
    assert_eq!(rig.client.closed(), Some(Some(IoKind::Untrusted)));
    assert_eq!(rig.server.peer(), None, "the machine hears of nobody");
    assert_eq!(rig.server.wire.stats().failed, 1);
    match rig.client.wire.last_failure().map(|failure| &failure.error) {
        Some(WireError::Tls(rustls::Error::InvalidCertificate(why))) => why.clone(),
        other => panic!("{other:?}"),
    }
}

/// C035: SIP over TLS, both roles.
#[test]
fn tls_carries_bytes_both_ways_in_pieces_of_any_size() {
    let authority = Authority::new();
    let server = tls().certificates(vec![authority.certificate(&["sip:example.com"])]);
    let client = tls().roots(authority.roots());
    let sizes: [Box<dyn FnMut() -> usize>; 3] =
        [Box::new(|| 1), Box::new(uneven(5)), Box::new(|| usize::MAX)];
    for pieces in sizes {
        let mut rig = Rig::new(&server, &client).in_pieces(pieces);
        rig.connect(Proto::Tls, name("example.com"));
        let proved = PeerInfo::proved(name("example.com"));
        assert_eq!((rig.client.peer(), rig.server.peer()), (Some(proved), Some(PeerInfo::default())));
        let large = vec![b'x'; 40_000];
        rig.client.send(b"OPTIONS sip:a SIP/2.0\r\n");
        rig.client.send(&large);
        rig.server.send(b"\r\n");
        rig.server.send(&large);
        rig.run();
        let there = rig.server.received().concat();
        assert_eq!(there, [b"OPTIONS sip:a SIP/2.0\r\n".as_slice(), &large].concat());
        assert_eq!(rig.client.received().concat(), [b"\r\n".as_slice(), &large].concat());
        assert_eq!((rig.client.drained(), rig.server.drained()), (40_023, 40_002), "as plain bytes");
        let hidden = |left: &[u8]| memchr::memmem::find(left, b"OPTIONS").is_none();
        assert!(hidden(&rig.client.left), "nothing can be read on the way");
    }
}

/// RFC 5922 §7.1 and §7.2: SIP URIs decide, DNS names only without them, whole and in any case, without wildcards.
#[test]
fn a_server_is_who_its_certificate_says() {
    let authority = Authority::new();
    let client = tls().roots(authority.roots());
    for (names, asked, accepted) in [
        (&["sip:example.com"][..], "example.com", true),
        (&["SIP:Example.COM:5061"], "example.com", true),
        (&["example.com"], "example.com", true),
        (&["EXAMPLE.com"], "example.com", true),
        (&["sip:other.example", "example.com"], "example.com", false),
        (&["sip:other.example", "example.com"], "other.example", true),
        (&["sip:bob@other.example", "example.com"], "example.com", true),
        (&["sip:bob@example.com"], "example.com", false),
        (&["https://example.com"], "example.com", false),
        (&["sips:example.com"], "example.com", false),
        (&["*.example.com"], "sip.example.com", false),
        (&["sip:*.example.com"], "sip.example.com", false),
        (&["example.com"], "sip.example.com", false),
        (&["sip.example.com"], "example.com", false),
        (&[], "example.com", false),
    ] {
        let rig = opened(&authority.certificate(names), &client, Some(asked));
        assert_eq!(rig.client.peer().is_some(), accepted, "{names:?} for {asked}");
        if !accepted {
            assert!(matches!(refusal(&rig), Refused::NotValidForNameContext { .. }), "{names:?} for {asked}");
        }
    }
}

/// RFC 5280 §4.2.1.6: a target that is an address needs a certificate for that address.
#[test]
fn a_server_at_an_address_proves_the_address() {
    let authority = Authority::new();
    let client = tls().roots(authority.roots());
    for (names, accepted) in [
        (&["192.0.2.1"][..], true),
        (&["sip:192.0.2.1"], true),
        (&["192.0.2.9"], false),
        (&["example.com"], false),
    ] {
        let rig = opened(&authority.certificate(names), &client, None);
        assert_eq!(rig.client.peer().is_some(), accepted, "{names:?}");
    }
}

/// RFC 5924 §5: a certificate for SIP domains alone is accepted, and one for other uses alone is not.
#[test]
fn a_certificate_has_to_be_meant_for_it() {
    let authority = Authority::new();
    let client = tls().roots(authority.roots());
    let sip_domain = || Purpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 20]);
    for (purpose, accepted) in [
        (sip_domain(), true),
        (Purpose::ServerAuth, true),
        (Purpose::Any, true),
        (Purpose::CodeSigning, false),
        (Purpose::ClientAuth, false),
    ] {
        let certificate = authority.for_purpose(&["example.com"], purpose.clone());
        let rig = opened(&certificate, &client, Some("example.com"));
        assert_eq!(rig.client.peer().is_some(), accepted, "{purpose:?}");
        if !accepted {
            assert_eq!(refusal(&rig), Refused::InvalidPurpose, "{purpose:?}");
        }
    }
    let server = tls()
        .certificates(vec![authority.certificate(&["example.com"])])
        .roots(authority.roots())
        .clients(ClientCertificates::Required);
    for (purpose, accepted) in
        [(sip_domain(), true), (Purpose::ClientAuth, true), (Purpose::ServerAuth, false)]
    {
        let own = authority.for_purpose(&["sip:edge.example"], purpose.clone());
        let mut rig = Rig::new(&server, &client.clone().certificates(vec![own]));
        rig.connect(Proto::Tls, name("example.com"));
        assert_eq!(rig.server.peer().is_some(), accepted, "{purpose:?} of a client");
    }
}

#[test]
fn a_certificate_has_to_be_valid_today() {
    let authority = Authority::new();
    let client = tls().roots(authority.roots());
    let lasting = |from: i32, to: i32| {
        authority.with(&["example.com"], |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        })
    };
    assert!(opened(&lasting(2029, 2031), &client, Some("example.com")).client.peer().is_some());
    let expired = opened(&lasting(2020, 2021), &client, Some("example.com"));
    assert!(matches!(refusal(&expired), Refused::ExpiredContext { .. }));
    let early = opened(&lasting(2040, 2041), &client, Some("example.com"));
    assert!(matches!(refusal(&early), Refused::NotValidYetContext { .. }));
}

#[test]
fn nobody_is_trusted_unless_it_is_said() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.certificate(&["example.com"]);
    for client in [tls(), tls().roots(stranger.roots())] {
        assert_eq!(refusal(&opened(&certificate, &client, Some("example.com"))), Refused::UnknownIssuer);
    }
    let careless = opened(&certificate, &tls().dangerously_accept_any_server(), Some("other.example"));
    assert_eq!(careless.client.peer(), Some(PeerInfo::default()), "it is open, and proves nothing");
}

/// RFC 5922 §7.4: what a client proves is told to the machine.
#[test]
fn clients_prove_who_they_are_if_they_are_asked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.certificate(&["example.com"]);
    let server =
        |clients| tls().certificates(vec![certificate.clone()]).roots(authority.roots()).clients(clients);
    let client = || tls().roots(authority.roots());
    let edge = |by: &Authority| client().certificates(vec![by.certificate(&["sip:edge.example"])]);
    let proved = Some(PeerInfo::proved(name("edge.example")));
    let nobody = Some(PeerInfo::default());
    for (clients, client, peer) in [
        (ClientCertificates::Ignored, edge(&authority), nobody.clone()),
        (ClientCertificates::Optional, edge(&authority), proved.clone()),
        (ClientCertificates::Optional, client(), nobody),
        (ClientCertificates::Optional, edge(&stranger), None),
        (ClientCertificates::Required, edge(&authority), proved),
        (ClientCertificates::Required, client(), None),
        (ClientCertificates::Required, edge(&stranger), None),
    ] {
        let mut rig = Rig::new(&server(clients), &client);
        rig.connect(Proto::Tls, name("example.com"));
        assert_eq!(rig.server.peer(), peer, "{clients:?}");
        assert_eq!(rig.server.wire.stats().failed, u64::from(peer.is_none()));
        if peer.is_none() {
            assert!(rig.client.closed().flatten().is_some(), "the client is told");
        }
    }
}

/// RFC 5922 §7.8.
#[test]
fn a_server_shows_the_certificate_of_the_domain_that_is_asked_for() {
    let authority = Authority::new();
    let server = tls().certificates(vec![
        authority.certificate(&["sip:one.example"]),
        authority.certificate(&["sip:two.example", "sip:three.example"]),
    ]);
    for asked in ["one.example", "two.example", "three.example"] {
        let mut rig = Rig::new(&server, &tls().roots(authority.roots()));
        rig.connect(Proto::Tls, name(asked));
        assert!(
            rig.client.peer().is_some_and(|peer| peer.identities.contains(&name(asked).expect("a name")))
        );
    }
}

#[test]
fn new_connections_see_a_new_certificate_and_old_ones_go_on() {
    let authority = Authority::new();
    let with = |names: &[&str]| tls().certificates(vec![authority.certificate(names)]);
    let client = tls().roots(authority.roots());
    let mut rig = Rig::new(&with(&["old.example"]), &client);
    rig.connect(Proto::Tls, name("old.example"));
    rig.server.wire.set_tls(&with(&["new.example"])).expect("it is complete");
    rig.client.send(b"still here");
    rig.server.send(b"so am I");
    rig.run();
    assert_eq!(rig.server.received(), [b"still here"]);
    assert_eq!(rig.client.received(), [b"so am I"]);
    let mut next = Rig::new(&with(&["old.example"]), &client);
    next.server.wire = rig.server.wire;
    next.server.wire.machine_mut().heard.clear();
    // The first connection is over by now.
    next.server.input(next.now, crate::Input::Closed { conn: FAR, error: None });
    next.connect(Proto::Tls, name("new.example"));
    assert_eq!(next.client.peer(), Some(PeerInfo::proved(name("new.example"))));
}

#[test]
fn both_ends_of_tls_are_told() {
    let authority = Authority::new();
    let certificate = authority.certificate(&["example.com"]);
    for closer in ["client", "server"] {
        let mut rig = opened(&certificate, &tls().roots(authority.roots()), Some("example.com"));
        rig.client.send(b"last");
        rig.server.send(b"words");
        let end = if closer == "client" { &mut rig.client } else { &mut rig.server };
        end.close(CloseHow::Flush);
        rig.run();
        assert_eq!((rig.client.closed(), rig.server.closed()), (Some(None), Some(None)), "in order");
        let heard = (rig.server.received(), rig.client.received());
        assert!(heard.0 == [b"last"] && (heard.1 == [b"words"] || closer == "server"), "{heard:?}");
        assert!(!rig.client.reset && !rig.server.reset);
        rig.pass(std::time::Duration::from_secs(3600));
    }
}

/// RFC 8446 §6.1: an end without close_notify may have been cut off.
#[test]
fn an_end_of_tcp_alone_is_no_end_in_order() {
    let authority = Authority::new();
    let certificate = authority.certificate(&["example.com"]);
    let mut rig = opened(&certificate, &tls().roots(authority.roots()), Some("example.com"));
    rig.server.input(rig.now, crate::Input::Closed { conn: FAR, error: None });
    assert_eq!(rig.server.closed(), Some(Some(IoKind::Reset)));
}

#[test]
fn what_is_wrong_with_a_certificate_or_key_is_named() {
    let authority = Authority::new();
    let ((chain, key), (_, other)) =
        (authority.pem(&["a.example"], |_| {}), authority.pem(&["b.example"], |_| {}));
    let read =
        |chain: &str, key: &str| Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider()).err();
    assert_eq!(read(&chain, &key), None);
    use CertificateError as E;
    let garbled = chain.replace("MII", "!!!");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(read("", &key), Some(E::NoCertificate));
    assert_eq!(read(&key, &key), Some(E::NoCertificate));
    assert!(matches!(read(&garbled, &key), Some(E::CertificateText(_))), "{:?}", read(&garbled, &key));
    assert!(matches!(read(hollow, &key), Some(E::Malformed(_))));
    assert_eq!(read(&chain, &chain), Some(E::NoKey));
    let fields = "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n";
    let encrypted_before = key.replacen("PRIVATE KEY-----", fields, 1);
    for encrypted in [encrypted, encrypted_before] {
        assert_eq!(read(&chain, &encrypted), Some(E::EncryptedKey), "{encrypted}");
    }
    assert!(matches!(read(&chain, no_key), Some(E::Key(_))), "{:?}", read(&chain, no_key));
    assert_eq!(read(&chain, &other), Some(E::Mismatch));
    assert_eq!(trust_pem(b"").err(), Some(E::NoCertificate));
    for (about_key, error) in [(true, E::Mismatch), (true, E::NoKey), (false, E::NoCertificate)] {
        assert_eq!(error.is_about_key(), about_key, "{error}");
    }
}

/// Without a certificate there is no server, and the driver says that it has no TLS.
#[test]
fn a_server_needs_a_certificate() {
    let mut rig = Rig::new(&tls(), &tls());
    rig.server.want(crate::Output::Bind { socket: LISTENER, proto: Proto::Tls, addr: addr(1, 5061) });
    rig.run();
    let bound = rig.server.wire.machine().heard.iter().map(|input| input.as_input().without_bytes());
    let refused = crate::Input::Bound { socket: LISTENER, result: Err(IoKind::Unsupported) };
    assert_eq!(bound.collect::<Vec<_>>(), [refused]);
}

/// RFC 7301 §3.2: who wants another protocol only is refused; who asks for none is served.
#[test]
fn a_peer_that_wants_another_protocol_is_refused() {
    let authority = Authority::new();
    let server = tls().certificates(vec![authority.certificate(&["example.com"])]);
    for (alpn, accepted) in
        [(&[][..], true), (&[&b"sip/2"[..]], true), (&[b"h2", b"sip/2"], true), (&[b"http/1.1"], false)]
    {
        let builder = rustls::ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions().expect("a provider");
        let mut config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let asked = "example.com".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(config.into(), asked).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("memory");
        let mut rig = Rig::new(&server, &tls());
        rig.connect_raw(Proto::Tls, &hello);
        assert_eq!(rig.server.wire.stats().failed, u64::from(!accepted), "{alpn:?}");
        let selected = memchr::memmem::find(&rig.server.left, b"sip/2");
        assert!(selected.is_none(), "TLS 1.3 answers under encryption");
    }
}
