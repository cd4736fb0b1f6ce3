//! The digest vectors of RFC 7616 and RFC 2617, recomputed by others.

use std::fs;

use sansip::auth::{
    Algorithm, Ha1, Hash, Qop,
    digest::{Inputs, Protection, response},
};
use serde_json::Value;

use crate::files::{corpus, ran};

/// AU-01, C165, C166.
#[test]
fn vectors() {
    let Some(path) = corpus("vectors/vectors.json") else { return };
    let file: Value = serde_json::from_slice(&fs::read(path).expect("it is there")).expect("it is JSON");
    let rows = file["digest"].as_array().expect("a list");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("");
        let algorithm = match text("algorithm") {
            "MD5" => Algorithm::Md5,
            "SHA-256" => Algorithm::Sha256,
            "SHA-512-256" => Algorithm::Sha512_256,
            other => panic!("a vector of another algorithm: {other}"),
        };
        assert_eq!(text("qop"), "auth");
        let key = Ha1::new(algorithm.hash(), text("username"), text("realm"), text("password"));
        let inputs = Inputs {
            algorithm,
            nonce: text("nonce"),
            method: text("method"),
            uri: text("uri"),
            body: b"",
            protection: Some(Protection {
                qop: Qop::Auth,
                nc: text("nc"),
                cnonce: text("cnonce"),
                session_cnonce: None,
            }),
        };
        assert_eq!(response(&key, &inputs).expect("it can be computed").as_str(), text("response"), "{row}");
        if let Some(hashed) = row["userhash"].as_str() {
            let name = format!("{}:{}", text("username"), text("realm"));
            assert_eq!(Hash::Sha512_256.of(name.as_bytes()).as_str(), hashed);
        }
    }
    assert!(rows.len() >= 4);
    ran("vectors", &format!("{} digests", rows.len()));
}
