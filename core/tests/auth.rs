//! Digest authentication: the RFCs' vectors, what is chosen, what is refused, and properties over arbitrary input.

use proptest::prelude::*;
use sansip::{
    Limits,
    auth::{
        AkaNonce, Algorithm, AnswerError, Attempt, AuthError, AuthenticationInfo, AuthenticationInfoBuf,
        Challenge, ChallengeBuf, Credentials, CredentialsBuf, DigestChallenge, DigestCredentials, Ha1, Hash,
        HexDigest, Param, Qop, QopOffer, Secret, aka_v2_password, challenges, credentials,
        digest::{self, DigestError, Inputs, Protection},
        pick,
    },
    syntax::{HeaderId, Message},
};

fn challenge(value: &str) -> DigestChallenge<'_> {
    match Challenge::parse(value) {
        Ok(Challenge::Digest(challenge)) => challenge,
        other => panic!("{value}: {other:?}"),
    }
}

fn digest_credentials(value: &str) -> DigestCredentials<'_> {
    match Credentials::parse(value) {
        Ok(Credentials::Digest(credentials)) => credentials,
        other => panic!("{value}: {other:?}"),
    }
}

/// The vectors that RFC 7616 §3.9 and RFC 2617 §3.5 print, as challenge and answer.
mod vectors {
    use super::*;

    struct Vector {
        challenge: &'static str,
        username: &'static str,
        password: &'static str,
        uri: &'static str,
        cnonce: &'static str,
        response: &'static str,
    }

    const NONCE_7616: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE_7616: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    const VECTORS: [Vector; 4] = [
        // RFC 7616 §3.9.1
        Vector {
            challenge: "Digest realm=\"http-auth@example.org\",\r\n    qop=\"auth, auth-int\",\r\n    \
                algorithm=SHA-256,\r\n    nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\",\r\n    \
                opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
            username: "Mufasa",
            password: "Circle of Life",
            uri: "/dir/index.html",
            cnonce: CNONCE_7616,
            response: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        },
        Vector {
            challenge: "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=MD5, \
                nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\"",
            username: "Mufasa",
            password: "Circle of Life",
            uri: "/dir/index.html",
            cnonce: CNONCE_7616,
            response: "8ca523f5e9506fed4657c9700eebdbec",
        },
        // RFC 2617 §3.5
        Vector {
            challenge: "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            username: "Mufasa",
            password: "Circle Of Life",
            uri: "/dir/index.html",
            cnonce: "0a4f113b",
            response: "6629fae49393a05397450978507c4ef1",
        },
        // The inputs of RFC 7616 §3.9.2; its digests are those of SHA-512 cut short, the right one is this.
        Vector {
            challenge: "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true",
            username: "Jäsøn Doe",
            password: "Secret, or not?",
            uri: "/doe.json",
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            response: "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        },
    ];

    /// AU-01, C165, C166, C169, C170: the client computes them, the server accepts them, from a password or its hash.
    #[test]
    fn answers_are_those_of_the_rfcs() {
        for vector in &VECTORS {
            let challenge = challenge(vector.challenge);
            let hash = challenge.algorithm().expect("it is known").hash();
            let ha1 = Ha1::new(hash, vector.username, &challenge.realm(), vector.password);
            for secret in [Secret::Password(vector.password.as_bytes()), Secret::Ha1(&ha1)] {
                let attempt = Attempt {
                    username: vector.username,
                    secret,
                    method: "GET",
                    uri: vector.uri,
                    body: b"",
                    cnonce: vector.cnonce,
                    nc: 1,
                };
                let value = challenge.answer(&attempt).unwrap().build().unwrap();
                let credentials = digest_credentials(value.as_str());
                assert_eq!(credentials.response(), vector.response);
                assert_eq!(credentials.algorithm_text(), challenge.algorithm_text());
                assert_eq!(credentials.opaque(), challenge.opaque());
                assert!(credentials.matches(&ha1, "GET", b""));
                assert!(!credentials.matches(&ha1, "PUT", b""));
                let other = Ha1::new(hash, vector.username, &challenge.realm(), "another");
                assert!(!credentials.matches(&other, "GET", b""));
            }
        }
        assert_eq!(challenge(VECTORS[0].challenge).nonce(), NONCE_7616);
    }

    /// AU-01, RFC 7616 §3.4.4: the name is hashed with the algorithm of the challenge, and said to be.
    #[test]
    fn user_names_are_hashed_if_the_server_asks() {
        let challenge = challenge(VECTORS[3].challenge);
        assert!(challenge.wants_userhash() && challenge.is_utf8());
        let attempt = Attempt {
            username: VECTORS[3].username,
            secret: Secret::Password(b"x"),
            method: "GET",
            uri: "/",
            body: b"",
            cnonce: "c",
            nc: 1,
        };
        let value = challenge.answer(&attempt).unwrap().build().unwrap();
        let credentials = digest_credentials(value.as_str());
        assert!(credentials.is_userhash());
        let hash = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b";
        assert_eq!(credentials.username(), hash);
        let computed = digest::username_hash(Hash::Sha512_256, VECTORS[3].username, "api@example.org");
        assert_eq!(computed.as_str(), hash);
    }
}

/// Values that another implementation computed from the formulas.
mod formulas {
    use super::*;

    fn compute(algorithm: Algorithm, qop: Option<Qop>, body: &[u8]) -> Result<HexDigest, DigestError> {
        let ha1 = Ha1::new(algorithm.hash(), "bob", "biloxi.com", "zanzibar");
        digest::response(&ha1, &inputs(algorithm, qop, body))
    }

    fn inputs(algorithm: Algorithm, qop: Option<Qop>, body: &[u8]) -> Inputs<'_> {
        let protection =
            qop.map(|qop| Protection { qop, nc: "00000001", cnonce: "0a4f113b", session_cnonce: None });
        let (nonce, uri) = ("dcd98b7102dd2f0e8b11d0f600bfb0c093", "sip:bob@biloxi.com");
        Inputs { algorithm, nonce, method: "INVITE", uri, body, protection }
    }

    /// AU-01, AU-06, C167, C168, C169; RFC 7616 §3.4, RFC 2617 §3.2.2.1.
    #[test]
    fn every_algorithm_with_every_protection() {
        use Algorithm::*;
        let (auth, int) = (Some(Qop::Auth), Some(Qop::AuthInt));
        for (algorithm, qop, expected) in [
            (Md5, None, "bf57e4e0d0bffc0fbaedce64d59add5e"),
            (Md5, auth, "89eb0059246c02b2f6ee02c7961d5ea3"),
            (Md5, int, "77226bb823dc077c1ad3537415667bae"),
            (Md5Sess, auth, "e4e4ea61d186d07a92c9e1f6919902e9"),
            (Md5Sess, int, "8527c9ab1b4eed3fd75491f811944e26"),
            (Sha256, None, "38aad98c50c33abe72c5f88dd17246ffcfa6b1f68852c855719ff0659386c0ca"),
            (Sha256, auth, "b3b5a6c69453abafaab9ae4dccdac90a076b6c80615d5f3498e7433b6e93bf4f"),
            (Sha256, int, "554a9ffe79ce71c3cb6c9630deddd2787d8033f895e5cdef6a73c8e84ed4c979"),
            (Sha256Sess, auth, "5da59c9ca40954be9d5063a15a174066c8251be2c10cf47c144c366dc7daf792"),
            (Sha256Sess, int, "0b4a1efc19e1b701ec5775b6b16dde0fc416102e34a6c5bd6f957b20b5d79170"),
            (Sha512_256, None, "9e960b3a01beb63f1ea5d45d43bd8a2178879d3c9ddbbdb0624187ca823c6eca"),
            (Sha512_256, auth, "7f1a09de0f19af0a1eac2b28d33e3f2fb89cca1ad8fb01bba5e1883b288bac14"),
            (Sha512_256, int, "e9a7fbc1c80a10421c59a0c982f28d40e0ddc7b62ef3dc4faf68f179c6e05922"),
            (Sha512_256Sess, auth, "077d9677be83f41f162d1a4453dc163389919f81e5927391d972f477da767633"),
            (Sha512_256Sess, int, "0220683d8c9faccc1d05bd2ef0e7ccdff87eacd5f06fb6bfd9cd7d3acf66a00b"),
        ] {
            let digest = compute(algorithm, qop, b"v=0\r\n");
            assert_eq!(digest.as_ref().map(HexDigest::as_str), Ok(expected), "{algorithm} {qop:?}");
        }
    }

    /// AU-01, RFC 8760 §2.6: without a body, `auth-int` hashes nothing with the algorithm that was chosen.
    #[test]
    fn no_body_is_the_hash_of_nothing() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::Sha256.of(b"").as_str(), empty);
        let expected = "3985ceb21e3aee19764bf4d9659738c507c12293dd692d31387928ccc2159763";
        assert!(compute(Algorithm::Sha256, Some(Qop::AuthInt), b"").unwrap().matches(expected));
    }

    /// AU-06: the key of a session needs the client's nonce. A key of one hash function does not serve another.
    #[test]
    fn what_cannot_be_computed_is_an_error() {
        assert_eq!(compute(Algorithm::Md5Sess, None, b""), Err(DigestError::SessionWithoutQop));
        let ha1 = Ha1::new(Hash::Md5, "bob", "biloxi.com", "zanzibar");
        let sha = inputs(Algorithm::Sha256, None, b"");
        assert_eq!(digest::response(&ha1, &sha), Err(DigestError::OtherHash));
    }

    /// RFC 7616 §3.4.2: the key of a session is made with the client's nonce of its first request.
    #[test]
    fn a_session_keeps_its_first_client_nonce() {
        let ha1 = Ha1::new(Hash::Md5, "bob", "biloxi.com", "zanzibar");
        let key_with = |first| {
            let mut inputs = inputs(Algorithm::Md5Sess, Some(Qop::Auth), b"");
            inputs.protection = inputs.protection.map(|now| Protection { session_cnonce: first, ..now });
            digest::response(&ha1, &inputs).unwrap()
        };
        assert_eq!(key_with(None), key_with(Some("0a4f113b")));
        assert_ne!(key_with(None), key_with(Some("other")));
    }

    /// C172, RFC 7616 §3.5: rspauth has no method, and the body of the response.
    #[test]
    fn the_server_proves_itself() {
        let rspauth = |algorithm: Algorithm, qop, body| {
            let ha1 = Ha1::new(algorithm.hash(), "bob", "biloxi.com", "zanzibar");
            digest::rspauth(&ha1, &inputs(algorithm, Some(qop), body)).unwrap()
        };
        let auth = rspauth(Algorithm::Md5, Qop::Auth, b"ignored");
        assert_eq!(auth.as_str(), "9175a7857f138ef9768651f475f1d73a");
        let int = rspauth(Algorithm::Sha256, Qop::AuthInt, b"ok");
        assert_eq!(int.as_str(), "d302a5bf6289d1814ca2426ce36ab29710a00cf88ad32066e9122f40248ca42b");
        let request = Some((Qop::Auth, 1, "0a4f113b".to_owned()));
        let value = AuthenticationInfoBuf::rspauth(auth, request).and_next_nonce("n").build().unwrap();
        let expected = "nextnonce=\"n\", rspauth=\"9175a7857f138ef9768651f475f1d73a\", qop=auth, \
            cnonce=\"0a4f113b\", nc=00000001";
        assert_eq!(value.as_str(), expected);
        let info = AuthenticationInfo::parse(value.as_str()).unwrap();
        assert!(info.matches(&auth) && !info.matches(&int));
        assert_eq!((info.next_nonce().as_deref(), info.qop()), (Some("n"), Some(Qop::Auth)));
        assert_eq!((info.cnonce().as_deref(), info.nc()), (Some("0a4f113b"), Some("00000001")));
        let credentials = "Digest username=\"bob\", realm=\"biloxi.com\", uri=\"sip:bob@biloxi.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", response=\"\", qop=auth, nc=00000001, \
            cnonce=\"0a4f113b\"";
        let ha1 = Ha1::new(Hash::Md5, "bob", "biloxi.com", "zanzibar");
        assert_eq!(digest_credentials(credentials).rspauth(&ha1, b""), Some(auth));
        let missing = AuthenticationInfo::parse("qop=auth, cnonce=\"a\", nc=00000001");
        assert_eq!(missing.err(), Some(AuthError::Missing(Param::Rspauth)));
    }

    /// RFC 3310 §3.2–§3.4, RFC 4169 §3: what a SIM answers, or demands, is in the place of the password.
    #[test]
    fn a_sim_answers_every_version() {
        let nonce = AkaNonce { rand: [7; 16], autn: [9; 16], server_data: Vec::new() }.to_nonce();
        let res = [0xff, 0, 0x3a, 0x80, 1, 2, 3, 4];
        let second = aka_v2_password(&res, &[2; 16], &[3; 16]);
        for (algorithm, password, response) in [
            (Algorithm::AkaV1Md5, &res[..], "3774644e02cd028cbbd980fda618e3f6"),
            (Algorithm::AkaV2Md5, second.as_bytes(), "d2ef7774659d1349c6222fe10fa6ebd3"),
            (Algorithm::AkaV2Md5, b"", "27ed62bed759f65b2d2370b34bd9ece8"),
        ] {
            let value = ChallengeBuf::new("ims", &*nonce, algorithm).build().expect("a challenge");
            let challenge = challenge(value.as_str());
            assert_eq!(
                AkaNonce::parse(&challenge.nonce()).map(|nonce| (nonce.rand, nonce.autn)),
                Ok(([7; 16], [9; 16]))
            );
            let attempt = Attempt {
                username: "user@ims",
                secret: Secret::Password(password),
                method: "REGISTER",
                uri: "sip:ims",
                body: b"",
                cnonce: "c",
                nc: 1,
            };
            let value = challenge.answer(&attempt).expect("an answer").build().expect("a value");
            let credentials = digest_credentials(value.as_str());
            assert_eq!((credentials.response(), credentials.algorithm()), (response, Some(algorithm)));
            assert!(credentials.matches(&Ha1::new(Hash::Md5, "user@ims", "ims", password), "REGISTER", b""));
        }
    }

    /// RFC 3310 §3.3: the password is the RES, bytes that are no text.
    #[test]
    fn a_sim_answers_with_bytes() {
        let challenge = challenge(
            "Digest realm=\"biloxi.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", qop=\"auth\", \
             algorithm=AKAv1-MD5",
        );
        let attempt = Attempt {
            username: "bob",
            secret: Secret::Password(&[0, 255, 128, 10]),
            method: "REGISTER",
            uri: "sip:bob@biloxi.com",
            body: b"",
            cnonce: "0a4f113b",
            nc: 1,
        };
        let value = challenge.answer(&attempt).unwrap().auts("AAAA").build().unwrap();
        let credentials = digest_credentials(value.as_str());
        assert_eq!(credentials.response(), "7bc11f718568dd0b6c9675bde30ba6b6");
        assert_eq!((credentials.algorithm(), credentials.auts()), (Some(Algorithm::AkaV1Md5), Some("AAAA")));
    }
}

mod choice {
    use super::*;

    fn picked(rows: &[&str], can: impl Fn(&DigestChallenge<'_>) -> bool) -> Vec<String> {
        let challenges = rows.iter().filter_map(|row| Challenge::parse(row).ok());
        let picked = pick(challenges, |challenge| can(challenge));
        picked
            .iter()
            .map(|one| format!("{} {}", one.realm(), one.algorithm().expect("it is supported")))
            .collect()
    }

    /// AU-02, C173, C175; RFC 8760 §2.4: the topmost supported one of each realm, the rest ignored.
    #[test]
    fn the_topmost_supported_challenge_of_each_realm() {
        let rows = [
            "Basic realm=\"a\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA3, qop=\"auth\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-256, qop=\"auth-conf\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-256-sess",
            "Digest nonce=\"1\", algorithm=SHA-256, qop=\"auth\"",
            "Digest realm=\"a\", nonce=\"1\", algorithm=SHA-512-256, qop=\"auth-int,x\"",
            "Digest realm=\"b\", nonce=\"1\"",
            "Digest realm=\"a\", nonce=\"1\", qop=\"auth\"",
            "Digest realm=\"c\", nonce=\"1\", algorithm=AKAv1-MD5, qop=\"auth\"",
            "Digest realm=\"c\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"",
        ];
        assert_eq!(picked(&rows, |_| true), ["a SHA-512-256", "b MD5", "c AKAv1-MD5"]);
        let no_sim = |challenge: &DigestChallenge<'_>| !challenge.algorithm().is_some_and(Algorithm::is_aka);
        assert_eq!(picked(&rows, no_sim), ["a SHA-512-256", "b MD5", "c SHA-256"]);
        let only_b = |challenge: &DigestChallenge<'_>| challenge.realm() == "b";
        assert_eq!(picked(&rows, only_b), ["b MD5"]);
        assert_eq!(picked(&rows[..5], |_| true), [""; 0]);
    }

    /// RFC 3261 §7.3.1: one challenge, one row. The order is that of the rows.
    #[test]
    fn challenges_and_credentials_are_read_from_messages() {
        let response = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
            To: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\
            WWW-Authenticate: Digest realm=\"a\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"\r\n\
            Proxy-Authenticate: Digest realm=\"p\", nonce=\"1\"\r\n\
            WWW-Authenticate: Digest realm=\"a\", nonce=\"2\"\r\nWWW-Authenticate: Digest\r\nl: 0\r\n\r\n";
        let message = Message::parse(response.as_bytes(), &Limits::default()).expect("a good message");
        let all: Vec<_> = challenges(message.view(), HeaderId::WwwAuthenticate).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[2].as_ref().err(), Some(&AuthError::Scheme));
        let picked = pick(all.into_iter().flatten(), |_| true);
        assert_eq!(picked.iter().map(DigestChallenge::nonce).collect::<Vec<_>>(), ["1"]);
        let request = "REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
            To: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 2 REGISTER\r\nMax-Forwards: 70\r\n\
            Authorization: Bearer abc==\r\nAuthorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", \
            uri=\"sip:b\", response=\"\"\r\nl: 0\r\n\r\n";
        let message = Message::parse(request.as_bytes(), &Limits::default()).expect("a good message");
        let all: Vec<_> = credentials(message.view(), HeaderId::Authorization).collect();
        let [Ok(Credentials::Other(other)), Ok(Credentials::Digest(digest))] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!((other.name, other.rest), ("Bearer", "abc=="));
        assert_eq!((digest.username().as_ref(), digest.response()), ("a", ""));
    }

    /// AU-04: nothing but true counts, in any case.
    #[test]
    fn stale_is_true_or_it_is_not() {
        let is_stale =
            |stale: &str| challenge(&format!("Digest realm=\"a\", nonce=\"1\", stale={stale}")).is_stale();
        assert!(is_stale("true") && is_stale("TRUE") && is_stale("\"True\""));
        assert!(!is_stale("false") && !is_stale("yes") && !is_stale("\"\""));
        assert!(!challenge("Digest realm=\"a\", nonce=\"1\"").is_stale());
    }

    /// AU-06, C167: without qop the answer has neither nc nor cnonce.
    #[test]
    fn an_old_server_gets_an_old_answer() {
        for qop in ["", ", qop=\"\""] {
            let row =
                format!("Digest realm=\"biloxi.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"{qop}");
            let attempt = Attempt {
                username: "bob",
                secret: Secret::Password(b"zanzibar"),
                method: "INVITE",
                uri: "sip:bob@biloxi.com",
                body: b"",
                cnonce: "unused",
                nc: 7,
            };
            let value = challenge(&row).answer(&attempt).unwrap().build().unwrap();
            let expected = "Digest username=\"bob\", realm=\"biloxi.com\", \
                nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"sip:bob@biloxi.com\", \
                response=\"bf57e4e0d0bffc0fbaedce64d59add5e\"";
            assert_eq!(value.as_str(), expected);
        }
        let unknown = challenge("Digest realm=\"a\", nonce=\"1\", algorithm=X");
        let ha1 = Ha1::new(Hash::Md5, "a", "b", "c");
        let attempt =
            |secret| Attempt { username: "a", secret, method: "A", uri: "b", body: b"", cnonce: "c", nc: 1 };
        let unsupported = unknown.answer(&attempt(Secret::Ha1(&ha1)));
        assert_eq!(unsupported.err(), Some(AnswerError::Unsupported));
        let sha = challenge("Digest realm=\"a\", nonce=\"1\", algorithm=SHA-256, qop=auth");
        let other_hash = sha.answer(&attempt(Secret::Ha1(&ha1)));
        assert_eq!(other_hash.err(), Some(AnswerError::Digest(DigestError::OtherHash)));
    }
}

mod refusals {
    use super::*;

    const GOOD: [(&str, &str); 9] = [
        ("username", "\"a\""),
        ("realm", "\"r\""),
        ("nonce", "\"n\""),
        ("uri", "\"sip:b\""),
        ("response", "\"0123456789abcdefABCDEF0123456789\""),
        ("qop", "auth"),
        ("cnonce", "\"c\""),
        ("nc", "0000000a"),
        ("opaque", "\"\""),
    ];

    /// Writes the good parameters, one of them changed or left out, and more.
    fn refused(name: &str, value: Option<&str>, more: &str) -> Option<AuthError> {
        let text = GOOD.iter().filter_map(|&(good, usual)| {
            let value = if good == name { value? } else { usual };
            Some(format!("{good}={value}"))
        });
        let text = format!("Digest {}{more}", text.collect::<Vec<_>>().join(", "));
        Credentials::parse(&text).err()
    }

    /// AU-08, RFC 7616 §3.4: improper or missing parameters, and both names, are errors.
    #[test]
    fn credentials_are_complete_and_well_formed() {
        assert_eq!(refused("", None, ""), None);
        assert_eq!(refused("opaque", None, ", other=x"), None);
        for (name, param) in [
            ("username", Param::Username),
            ("realm", Param::Realm),
            ("nonce", Param::Nonce),
            ("uri", Param::Uri),
            ("response", Param::Response),
            ("cnonce", Param::Cnonce),
            ("nc", Param::Nc),
        ] {
            assert_eq!(refused(name, None, ""), Some(AuthError::Missing(param)), "{name}");
            assert_eq!(refused("", None, &format!(", {name}=x")), Some(AuthError::Duplicate(param)));
        }
        for (name, bad, param) in [
            ("qop", "auth-conf", Param::Qop),
            ("nc", "0000001", Param::Nc),
            ("nc", "000000001", Param::Nc),
            ("nc", "+0000001", Param::Nc),
            ("response", "\"0123456789abcdef0123456789abcde\"", Param::Response),
            ("response", "\"0123456789abcdef0123456789abcdeg\"", Param::Response),
        ] {
            assert_eq!(refused(name, Some(bad), ""), Some(AuthError::Value(param)), "{name}={bad}");
        }
        let both = ", username*=UTF-8''a";
        assert_eq!(refused("", None, both), Some(AuthError::BothUsernames));
        assert_eq!(refused("username", None, both), None);
        let hashed = format!("{both}, userhash=true");
        assert_eq!(refused("username", None, &hashed), Some(AuthError::Value(Param::UsernameExt)));
        let latin = ", username*=ISO-8859-1''a";
        assert_eq!(refused("username", None, latin), Some(AuthError::Value(Param::UsernameExt)));
        let session = refused("qop", None, ", algorithm=MD5-sess");
        assert_eq!(session, Some(AuthError::Missing(Param::Qop)));
        let too_short = refused("", None, ", algorithm=SHA-256");
        assert_eq!(too_short, Some(AuthError::Value(Param::Response)));
        assert_eq!(refused("", None, ", algorithm=SHA3"), None);
    }

    /// AU-03: lenient when reading, `nc` included; the digits count as they are written.
    #[test]
    fn digits_may_be_of_either_case() {
        let ha1 = Ha1::new(Hash::Md5, "a", "r", "p");
        let protection = Protection { qop: Qop::Auth, nc: "0000000A", cnonce: "c", session_cnonce: None };
        let inputs = Inputs {
            algorithm: Algorithm::Md5,
            nonce: "n",
            method: "BYE",
            uri: "sip:b",
            body: b"",
            protection: Some(protection),
        };
        let digits = digest::response(&ha1, &inputs).unwrap().to_string().to_uppercase();
        let text = format!(
            "DIGEST username=a,realm=r,nonce=n,uri=\"sip:b\",response={digits},qop=\"AUTH\",cnonce=c,nc=\"0000000A\""
        );
        let credentials = digest_credentials(&text);
        assert_eq!(credentials.nonce_count(), Some(10));
        assert!(credentials.matches(&ha1, "BYE", b""));
    }

    /// C170: stored keys are read in either case, and not shown.
    #[test]
    fn stored_keys_are_checked_and_kept_secret() {
        let ha1 = Ha1::new(Hash::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(ha1.as_str(), "939e7578ed9e3c518a452acee763bce9");
        assert_eq!(Ha1::from_hex(Hash::Md5, "939E7578ED9E3C518A452ACEE763BCE9"), Ok(ha1));
        for bad in ["", "939e7578ed9e3c518a452acee763bce", "g39e7578ed9e3c518a452acee763bce9"] {
            assert!(Ha1::from_hex(Hash::Md5, bad).is_err(), "{bad}");
        }
        assert!(Ha1::from_hex(Hash::Sha256, ha1.as_str()).is_err());
        assert_eq!(format!("{ha1:?}"), "Ha1(Md5)");
    }

    /// AU-03, RFC 7616 §3.3: quoted and unquoted; no text can leave its quotes or its line.
    #[test]
    fn what_is_written_is_quoted() {
        let value = ChallengeBuf::new("a\"b\\c", "n, qop=x", Algorithm::Sha512_256)
            .qop(QopOffer::Both)
            .domain("sip:a sip:b")
            .opaque("")
            .stale()
            .userhash()
            .utf8()
            .build()
            .unwrap();
        let expected = "Digest realm=\"a\\\"b\\\\c\", domain=\"sip:a sip:b\", nonce=\"n, qop=x\", opaque=\"\", \
            stale=true, algorithm=SHA-512-256, qop=\"auth,auth-int\", userhash=true, charset=UTF-8";
        assert_eq!(value.as_str(), expected);
        let read = challenge(value.as_str());
        assert_eq!((read.realm().as_ref(), read.nonce().as_ref()), ("a\"b\\c", "n, qop=x"));
        assert!(ChallengeBuf::new("a\r\nX: y", "n", Algorithm::Md5).build().is_err());
        assert!(CredentialsBuf::new("r", "n", "sip:a\0", None).build().is_err());
        assert!(AuthenticationInfoBuf::next_nonce("\n").build().is_err());
        let name = CredentialsBuf::new("r", "n", "u", None).username("a\r\nb").build().unwrap();
        let expected = "Digest username*=UTF-8''a%0D%0Ab, realm=\"r\", nonce=\"n\", uri=\"u\", response=\"\"";
        assert_eq!(name.as_str(), expected);
        assert_eq!(digest_credentials(expected).username(), "a\r\nb");
    }
}

/// Any text that may stand in a header field.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "[ -~äß€\t]{0,20}", Just("\"".to_owned()), Just("\\".to_owned())]
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

/// Pieces that matter to the grammar, with junk between them.
fn junk() -> impl Strategy<Value = String> {
    let known = [
        "Digest ",
        "realm=",
        "nonce=",
        "\"",
        "\\",
        ",",
        "=",
        " ",
        "\r\n ",
        "username=",
        "username*=UTF-8''",
        "%C3",
        "uri=",
        "response=",
        "qop=",
        "auth",
        "auth-int",
        "nc=",
        "00000001",
        "cnonce=",
        "algorithm=",
        "SHA-256-sess",
        "stale=true",
        "userhash=true",
        "opaque=",
        "auts=",
        "ä",
        "\0",
        ";",
        "x",
    ];
    let piece = prop_oneof![5 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    /// AU-03: what is written reads as what was meant.
    #[test]
    fn written_challenges_read_the_same(
        realm in text(),
        nonce in text(),
        domain in prop::option::of(text()),
        opaque in prop::option::of(text()),
        algorithm in algorithm(),
        flags in any::<[bool; 3]>(),
        qop in prop::sample::select(vec![QopOffer::Auth, QopOffer::AuthInt, QopOffer::Both]),
    ) {
        let mut buf = ChallengeBuf::new(&*realm, &*nonce, algorithm).qop(qop);
        if let Some(domain) = &domain { buf = buf.domain(&**domain) }
        if let Some(opaque) = &opaque { buf = buf.opaque(&**opaque) }
        if flags[0] { buf = buf.stale() }
        if flags[1] { buf = buf.userhash() }
        if flags[2] { buf = buf.utf8() }
        let value = buf.build().expect("no control characters");
        let read = challenge(value.as_str());
        prop_assert_eq!(read.realm(), realm);
        prop_assert_eq!(read.nonce(), nonce);
        prop_assert_eq!(read.domain().map(String::from), domain);
        prop_assert_eq!(read.opaque().map(String::from), opaque);
        prop_assert_eq!([read.is_stale(), read.wants_userhash(), read.is_utf8()], flags);
        prop_assert_eq!((read.algorithm(), read.qop()), (Some(algorithm), Some(qop)));
        prop_assert!(read.has_qop() && read.is_supported());
    }

    #[test]
    fn written_credentials_read_the_same(
        username in prop_oneof![text(), any::<String>()],
        realm in text(),
        nonce in text(),
        uri in text(),
        algorithm in algorithm(),
        nc in any::<u32>(),
        cnonce in text(),
        opaque in prop::option::of(text()),
        auts in prop::option::of("[A-Za-z0-9+/]{0,20}"),
    ) {
        let response = algorithm.hash().of(username.as_bytes());
        let mut buf = CredentialsBuf::new(&*realm, &*nonce, &*uri, Some(response))
            .username(&*username)
            .algorithm(algorithm)
            .protect(Qop::AuthInt, nc, &*cnonce);
        if let Some(opaque) = &opaque { buf = buf.opaque(&**opaque) }
        if let Some(auts) = &auts { buf = buf.auts(&**auts) }
        let value = buf.build().expect("no control characters but in the name");
        let read = digest_credentials(value.as_str());
        prop_assert_eq!(read.username(), username);
        prop_assert_eq!(read.realm(), realm);
        prop_assert_eq!(read.nonce(), nonce);
        prop_assert_eq!(read.uri(), uri);
        prop_assert!(response.matches(read.response()));
        prop_assert_eq!((read.algorithm(), read.qop()), (Some(algorithm), Some(Qop::AuthInt)));
        prop_assert_eq!(read.nonce_count(), Some(nc));
        prop_assert_eq!(read.cnonce().map(String::from), Some(cnonce));
        prop_assert_eq!(read.opaque().map(String::from), opaque);
        prop_assert_eq!(read.auts().map(str::to_owned), auts);
        prop_assert!(!read.is_userhash());
    }

    /// Any client and any server agree if and only if they know the same.
    #[test]
    fn answers_are_accepted(
        realm in text(),
        nonce in text(),
        algorithm in algorithm(),
        qop in prop::sample::select(vec![QopOffer::Auth, QopOffer::AuthInt, QopOffer::Both]),
        password in prop::collection::vec(any::<u8>(), 0..9),
        body in prop::collection::vec(any::<u8>(), 0..9),
        nc in any::<u32>(),
    ) {
        let value = ChallengeBuf::new(&*realm, nonce, algorithm).qop(qop).build().expect("good");
        let attempt = Attempt {
            username: "bob",
            secret: Secret::Password(&password),
            method: "INVITE",
            uri: "sip:b",
            body: &body,
            cnonce: "c",
            nc,
        };
        let answer = challenge(value.as_str()).answer(&attempt).expect("supported").build().expect("good");
        let read = digest_credentials(answer.as_str());
        let ha1 = Ha1::new(algorithm.hash(), "bob", &realm, &password);
        prop_assert!(read.matches(&ha1, "INVITE", &body));
        let protects_body = qop == QopOffer::AuthInt;
        prop_assert_eq!(read.matches(&ha1, "INVITE", &[&body[..], b"x"].concat()), !protects_body);
        let other = Ha1::new(algorithm.hash(), "bob", &realm, [&password[..], b"x"].concat());
        prop_assert!(!read.matches(&other, "INVITE", &body));
    }

    #[test]
    fn nothing_panics(value in prop_oneof![junk(), any::<String>()]) {
        if let Ok(Challenge::Digest(read)) = Challenge::parse(&value) {
            let _ = (read.realm(), read.nonce(), read.domain(), read.opaque(), read.is_stale(), read.qop());
            let _ = (read.algorithm(), read.is_supported(), read.wants_userhash(), read.is_utf8());
        }
        if let Ok(Credentials::Digest(read)) = Credentials::parse(&value) {
            let ha1 = Ha1::new(Hash::Sha256, "a", "b", "c");
            let _ = (read.username(), read.matches(&ha1, "A", b""), read.rspauth(&ha1, b""), read.auts());
        }
        if let Ok(read) = AuthenticationInfo::parse(&value) {
            let _ = (read.next_nonce(), read.rspauth(), read.qop(), read.cnonce(), read.nc());
        }
    }
}
