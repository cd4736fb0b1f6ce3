use super::{
    super::{Method, Reader},
    item::{Item, Word, headers},
};

headers! { Word;
    /// An extension that the sender understands (RFC 3261 §20.37).
    Supported SUPPORTED list |reader| reader.token().map(Word);
    /// An extension that the server must understand (RFC 3261 §20.32).
    Require REQUIRE list |reader| reader.token().map(Word);
    /// An extension that proxies must understand (RFC 3261 §20.29).
    ProxyRequire PROXY_REQUIRE list |reader| reader.token().map(Word);
    /// An extension that the server did not understand (RFC 3261 §20.40).
    Unsupported UNSUPPORTED list |reader| reader.token().map(Word);
    /// How a request is to be forwarded, such as `no-fork` (RFC 3841 §10).
    RequestDisposition REQUEST_DISPOSITION list |reader| reader.token().map(Word);
    /// How urgent a request is, such as `emergency` (RFC 3261 §20.26).
    Priority PRIORITY alone |reader| reader.token().map(Word);
}

headers! { Allowed;
    /// A method that the sender understands (RFC 3261 §20.5).
    Allow ALLOW list |reader| reader.token().map(Allowed);
}

/// A method as it is written; methods differ by case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed<'a>(&'a str);

impl<'a> Allowed<'a> {
    /// Returns it as it is written.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Returns the method; one that [`Method`] does not name is copied.
    pub fn method(&self) -> Method {
        Method::of_token(self.0)
    }

    /// Tells whether it is that method.
    pub fn is(&self, method: &Method) -> bool {
        self.0 == method.as_str()
    }
}

impl std::fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

headers! { Item;
    /// Whether the callee is to answer by itself (RFC 5373 §2).
    AnswerMode ANSWER_MODE alone |reader| Item::read(reader, Reader::token);
    /// The same for callers with a privilege (RFC 5373 §2).
    PrivAnswerMode PRIV_ANSWER_MODE alone |reader| Item::read(reader, Reader::token);
}

impl AnswerMode<'_> {
    /// Tells whether the request is to be refused if the mode cannot be had.
    pub fn is_required(&self) -> bool {
        self.params().has("require")
    }
}

impl PrivAnswerMode<'_> {
    /// Tells whether the request is to be refused if the mode cannot be had.
    pub fn is_required(&self) -> bool {
        self.params().has("require")
    }
}
