use std::slice;

use super::{
    Header, HeaderId, Host, Method, NameAddr, Named, ParseError, StatusCode, Typed, Uri, UriError, Via,
    header::{check_typed, end_of_item, scan_via},
    message::{Facts, Field, StartLine},
    name_addr,
    scan::{self, Cursor},
};

/// A look at a message, borrowed or owned.
///
/// Of a checked message all getters without an `Option` have something to return. Of one that was only split, or that
/// was refused, they return empty values for what is not known.
#[derive(Clone, Copy)]
pub struct View<'a> {
    head: &'a str,
    body: &'a [u8],
    fields: &'a [Field],
    facts: &'a Facts,
}

impl<'a> View<'a> {
    pub(crate) fn new(head: &'a str, body: &'a [u8], fields: &'a [Field], facts: &'a Facts) -> Self {
        Self { head, body, fields, facts }
    }

    /// Tells requests from responses.
    pub fn is_request(self) -> bool {
        matches!(self.facts.line, StartLine::Request { .. })
    }

    /// Returns the start line, without its line break.
    pub fn start_line(self) -> &'a str {
        self.head.split("\r\n").next().unwrap_or("")
    }

    /// Returns the method of a request.
    pub fn method(self) -> Option<Method> {
        self.is_request().then(|| Method::of_token(self.method_text()))
    }

    /// Returns the method of a request as it is written; of a response nothing.
    pub fn method_text(self) -> &'a str {
        match self.facts.line {
            StartLine::Request { method, .. } => method.of(self.head),
            StartLine::Response { .. } => "",
        }
    }

    /// Tells whether it is a request with that method.
    pub fn is(self, method: &Method) -> bool {
        self.method_text() == method.as_str()
    }

    /// Returns the Request-URI of a request as it is written; of a response nothing.
    pub fn request_uri_text(self) -> &'a str {
        match self.facts.line {
            StartLine::Request { uri, .. } => uri.of(self.head),
            StartLine::Response { .. } => "",
        }
    }

    /// Returns the Request-URI; never an error if the message was checked and is a request.
    pub fn request_uri(self) -> Result<Uri<'a>, UriError> {
        let text = self.request_uri_text();
        match self.facts.uri {
            Some(spans) => Ok(Uri::new(text, spans)),
            None => Uri::parse(text),
        }
    }

    /// Returns the status code of a response.
    pub fn status(self) -> Option<StatusCode> {
        match self.facts.line {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// Returns the reason phrase of a response, which may be empty.
    pub fn reason(self) -> &'a str {
        match self.facts.line {
            StartLine::Request { .. } => "",
            StartLine::Response { reason, .. } => reason.of(self.head),
        }
    }

    /// Returns the Call-ID.
    pub fn call_id(self) -> &'a str {
        self.facts.call_id.of(self.head)
    }

    /// Returns the tag of the From.
    pub fn from_tag(self) -> Option<&'a str> {
        self.facts.from.tag().opt(self.head)
    }

    /// Returns the tag of the To.
    pub fn to_tag(self) -> Option<&'a str> {
        self.facts.to.tag().opt(self.head)
    }

    /// Returns the From.
    pub fn from(self) -> NameAddr<'a> {
        NameAddr::new(self.head, self.facts.from)
    }

    /// Returns the To.
    pub fn to(self) -> NameAddr<'a> {
        NameAddr::new(self.head, self.facts.to)
    }

    /// Returns the sequence number of the CSeq.
    pub fn cseq_number(self) -> u32 {
        self.facts.cseq.number
    }

    /// Returns the method of the CSeq.
    pub fn cseq_method(self) -> Method {
        Method::of_token(self.cseq_method_text())
    }

    /// Returns the method of the CSeq as it is written.
    pub fn cseq_method_text(self) -> &'a str {
        self.facts.cseq.method.of(self.head)
    }

    /// Tells whether the CSeq has that method.
    pub fn cseq_is(self, method: &Method) -> bool {
        self.cseq_method_text() == method.as_str()
    }

    /// Returns the topmost Via.
    pub fn via(self) -> Via<'a> {
        Via::new(self.head, self.facts.via)
    }

    /// Tells whether the topmost Via could be read: always, if the message was checked.
    pub fn has_via(self) -> bool {
        !self.facts.via.is_none()
    }

    /// Returns all Vias from the topmost one on.
    pub fn vias(self) -> Vias<'a> {
        Vias(Elements::new(self, HeaderId::Via))
    }

    /// Returns the branch of the topmost Via.
    pub fn branch(self) -> Option<&'a str> {
        self.facts.via.branch().opt(self.head)
    }

    /// Returns the host of the topmost Via's sent-by.
    pub fn sent_by(self) -> Host<'a> {
        self.via().host()
    }

    /// Returns the contacts; none if the Contact is `*`.
    pub fn contacts(self) -> NameAddrs<'a> {
        let id = if self.facts.star { HeaderId::Other } else { HeaderId::Contact };
        NameAddrs(Elements::new(self, id))
    }

    /// Tells whether the Contact is `*` (RFC 3261 §10.2.2).
    pub fn contact_is_star(self) -> bool {
        self.facts.star
    }

    /// Returns the Routes in order.
    pub fn routes(self) -> NameAddrs<'a> {
        NameAddrs(Elements::new(self, HeaderId::Route))
    }

    /// Returns the Record-Routes in order.
    pub fn record_routes(self) -> NameAddrs<'a> {
        NameAddrs(Elements::new(self, HeaderId::RecordRoute))
    }

    /// Returns the addresses of any other header field that holds some, each as far as it is one.
    pub fn addresses(self, id: HeaderId) -> impl Iterator<Item = Result<NameAddr<'a>, ParseError>> + use<'a> {
        self.list(id).map(NameAddr::parse)
    }

    /// Returns the Max-Forwards.
    pub fn max_forwards(self) -> Option<u32> {
        self.facts.max_forwards
    }

    /// Returns the Content-Type.
    pub fn content_type(self) -> Option<&'a str> {
        self.header(HeaderId::ContentType)
    }

    /// Returns the body.
    pub fn body(self) -> &'a [u8] {
        self.body
    }

    /// Returns the first value of a header field: without white space at its ends, folds left in.
    pub fn header(self, id: HeaderId) -> Option<&'a str> {
        self.rows(id).next().map(|field| field.value.of(self.head))
    }

    /// Returns the first value of a header field by its name, long or compact, in any case.
    pub fn header_named(self, name: &str) -> Option<&'a str> {
        match HeaderId::of(name) {
            HeaderId::Other => {
                let mut others = self.rows(HeaderId::Other);
                let found = others.find(|field| field.name.of(self.head).eq_ignore_ascii_case(name));
                found.map(|field| field.value.of(self.head))
            }
            id => self.header(id),
        }
    }

    /// Tells whether there is a header field of that name.
    pub fn contains(self, name: impl Named) -> bool {
        self.get(name).is_some()
    }

    /// Returns the first value of a header field: without white space at its ends, folds left in.
    pub fn get(self, name: impl Named) -> Option<&'a str> {
        self.get_all(name).next()
    }

    /// Returns the values of all rows of a header field in order.
    pub fn get_all<N: Named>(self, name: N) -> impl Iterator<Item = &'a str> + use<'a, N> {
        self.fields
            .iter()
            .filter(move |field| name.key().is_of(field, self.head))
            .map(move |field| field.value.of(self.head))
    }

    /// Returns the values of all rows of a header field.
    pub fn headers(self, id: HeaderId) -> Headers<'a> {
        Headers { head: self.head, fields: self.fields.iter(), id }
    }

    /// Returns what stands between the commas of all rows of a header field.
    ///
    /// Commas in quotes or angle brackets part nothing (RFC 3261 §7.3.1). Empty items are left out.
    pub fn list(self, id: HeaderId) -> List<'a> {
        List { rows: self.headers(id), rest: "" }
    }

    /// Returns the first value of the header field that `H` stands for, or why it is none.
    pub fn typed<H: Header<'a>>(self) -> Option<Result<H, ParseError>> {
        self.typed_all().next()
    }

    /// Returns all values of the header field that `H` stands for: those of all rows and, in lists, between all commas.
    pub fn typed_all<H: Header<'a>>(self) -> Typed<'a, H> {
        Typed::new(self.head, self.fields)
    }

    /// Reads every header field that has a type and is not read already when a message is checked.
    ///
    /// What is malformed here need not keep anybody from taking the message (RFC 3261 §16.3, RFC 4475 §3.1.2.12).
    pub fn check_typed(self) -> Result<(), ParseError> {
        self.fields.iter().try_for_each(|field| check_typed(field.id, self.head, field.value))
    }

    /// Tells whether a list of tokens, such as Supported or Allow, has one, in any case.
    pub fn has_token(self, id: HeaderId, token: &str) -> bool {
        let bare = |item: &'a str| scan::trim(item.split(';').next().unwrap_or(""));
        self.list(id).any(|item| bare(item).eq_ignore_ascii_case(token))
    }

    /// Returns all header fields in order.
    pub fn fields(self) -> Fields<'a> {
        Fields { head: self.head, fields: self.fields.iter() }
    }

    /// Returns start line and header fields up to and with the blank line, as they arrived.
    pub fn head_text(self) -> &'a str {
        self.head
    }

    pub(crate) fn head_bytes(self) -> &'a [u8] {
        self.head.as_bytes()
    }

    pub(crate) fn facts(self) -> &'a Facts {
        self.facts
    }

    pub(crate) fn all_rows(self) -> &'a [Field] {
        self.fields
    }

    pub(crate) fn rows(self, id: HeaderId) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.id == id)
    }
}

/// The header fields of a message in order: name as it is written, value, id.
#[derive(Clone)]
pub struct Fields<'a> {
    head: &'a str,
    fields: slice::Iter<'a, Field>,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str, HeaderId);

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.fields.next()?;
        Some((field.name.of(self.head), field.value.of(self.head), field.id))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl DoubleEndedIterator for Fields<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let field = self.fields.next_back()?;
        Some((field.name.of(self.head), field.value.of(self.head), field.id))
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// The values of all rows of one header field.
#[derive(Clone)]
pub struct Headers<'a> {
    head: &'a str,
    fields: slice::Iter<'a, Field>,
    id: HeaderId,
}

impl<'a> Iterator for Headers<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.id;
        self.fields.find(|field| field.id == id).map(|field| field.value.of(self.head))
    }
}

/// The comma-separated items of all rows of one header field.
#[derive(Clone)]
pub struct List<'a> {
    rows: Headers<'a>,
    rest: &'a str,
}

impl<'a> Iterator for List<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                self.rest = self.rows.next()?;
            }
            let end = end_of_item(self.rest.as_bytes());
            let item = scan::trim(self.rest.get(..end).unwrap_or(""));
            self.rest = self.rest.get(end + 1..).unwrap_or("");
            if !item.is_empty() {
                return Some(item);
            }
        }
    }
}

/// The elements of all rows of one header field, read one after the other.
#[derive(Clone)]
struct Elements<'a> {
    head: &'a str,
    fields: slice::Iter<'a, Field>,
    id: HeaderId,
    cursor: Option<Cursor<'a>>,
}

impl<'a> Elements<'a> {
    fn new(view: View<'a>, id: HeaderId) -> Self {
        Self { head: view.head, fields: view.fields.iter(), id, cursor: None }
    }

    /// Ends at the first element that is malformed; a checked message has none.
    fn next<T, E>(&mut self, read: impl FnOnce(&mut Cursor<'a>) -> Result<T, E>) -> Option<T> {
        let id = self.id;
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let field = self.fields.find(|field| field.id == id && id != HeaderId::Other)?;
                Cursor::within(self.head.as_bytes(), field.value)
            }
        };
        let Ok(element) = read(&mut cursor) else {
            self.fields = [].iter();
            return None;
        };
        self.cursor = cursor.eat(b',').then_some(cursor);
        Some(element)
    }
}

/// The values of all Via rows of a message.
#[derive(Clone)]
pub struct Vias<'a>(Elements<'a>);

impl<'a> Iterator for Vias<'a> {
    type Item = Via<'a>;

    fn next(&mut self) -> Option<Via<'a>> {
        self.0.next(scan_via).map(|spans| Via::new(self.0.head, spans))
    }
}

/// The addresses of all rows of one header field of a message.
#[derive(Clone)]
pub struct NameAddrs<'a>(Elements<'a>);

impl<'a> Iterator for NameAddrs<'a> {
    type Item = NameAddr<'a>;

    fn next(&mut self) -> Option<NameAddr<'a>> {
        self.0.next(name_addr::scan).map(|spans| NameAddr::new(self.0.head, spans))
    }
}
