//! Just enough of Rust's grammar: tokens, functions and what is test code.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Ident,
    /// A number, character or string.
    Literal,
    /// A lifetime or a label.
    Lifetime,
    /// One sign.
    Punct,
}

/// A token; comments and white space are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// As written.
    pub text: &'a str,
    /// The byte at which it begins.
    pub start: usize,
}

impl Token<'_> {
    /// Returns the byte after the token.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is(&self, text: &str) -> bool {
        self.text == text && self.kind != Kind::Literal
    }
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The bytes from `fn` to the end of its body.
    pub span: Range<usize>,
    /// Whether `#[test]` or an attribute that ends in `::test` stands before it.
    pub is_test: bool,
}

/// Source text, split up.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The text.
    pub text: &'a str,
    /// Its tokens, in order.
    pub tokens: Vec<Token<'a>>,
}

impl<'a> Source<'a> {
    /// Splits `text`. Text that is no Rust gives tokens that mean nothing, never an error.
    pub fn new(text: &'a str) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (kind, len) = lexeme(rest);
            if let Some(kind) = kind {
                tokens.push(Token { kind, text: &rest[..len], start: at });
            }
            at += len;
        }
        Self { text, tokens }
    }

    /// Returns the line, from 1, of a byte.
    pub fn line(&self, byte: usize) -> usize {
        1 + self.text.as_bytes().iter().take(byte).filter(|byte| **byte == b'\n').count()
    }

    /// Returns the functions that have a body, also those inside others and inside macros.
    pub fn functions(&self) -> Vec<Function<'a>> {
        let mut found = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let Some(name) =
                self.tokens.get(at + 1).filter(|name| token.is("fn") && name.kind == Kind::Ident)
            else {
                continue;
            };
            if let Some(end) = self.item_end(at).filter(|end| self.tokens[*end].is("}")) {
                let span = token.start..self.tokens[end].end();
                let is_test = self.attributes(at).iter().any(|words| words.last() == Some(&"test"));
                found.push(Function { name: name.text, span, is_test });
            }
        }
        found
    }

    /// Returns the bytes of all items under `#[cfg(test)]`.
    pub fn test_spans(&self) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            let Some((words, end)) = self.attribute(at) else { continue };
            let for_tests =
                words.first() == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not");
            if let Some(last) = self.item_end(end + 1).filter(|_| for_tests) {
                found.push(self.tokens[at].start..self.tokens[last].end());
            }
        }
        found
    }

    /// Returns where the comments and attributes directly above the byte begin.
    pub fn preamble(&self, byte: usize) -> usize {
        let mut start = self.text[..byte].rfind('\n').map_or(0, |end| end + 1);
        while start > 0 {
            let above = self.text[..start - 1].rfind('\n').map_or(0, |end| end + 1);
            let line = self.text[above..start].trim_start();
            if !(line.starts_with("//") && !line.starts_with("//!") || line.starts_with("#[")) {
                break;
            }
            start = above;
        }
        start
    }

    /// Returns the words of each attribute of the item whose keyword is token `at`.
    fn attributes(&self, at: usize) -> Vec<Vec<&'a str>> {
        let mut first = at;
        while first > 0 && !matches!(self.tokens[first - 1].text, ";" | "{" | "}") {
            first -= 1;
        }
        (first..at).filter_map(|at| self.attribute(at)).map(|(words, _)| words).collect()
    }

    /// Returns the words up to the first that has arguments unless it is `cfg`, and the last token, of the attribute at token `at`.
    fn attribute(&self, at: usize) -> Option<(Vec<&'a str>, usize)> {
        let opens = self.tokens.get(at)?.is("#") && self.tokens.get(at + 1)?.is("[");
        let end = self.close(at + 1).filter(|_| opens)?;
        let inside = &self.tokens[at + 2..end];
        let whole = inside.first().is_some_and(|word| word.is("cfg"));
        let words = inside.iter().take_while(|token| whole || !token.is("("));
        Some((words.filter(|token| token.kind == Kind::Ident).map(|token| token.text).collect(), end))
    }

    /// Returns the last token of the item that holds token `at`: a semicolon, or the brace that ends its first block.
    fn item_end(&self, at: usize) -> Option<usize> {
        let mut at = at;
        loop {
            match self.tokens.get(at)?.text {
                "{" => return self.close(at),
                ";" => return Some(at),
                "(" | "[" => at = self.close(at)? + 1,
                _ => at += 1,
            }
        }
    }

    /// Returns the token that closes the bracket at token `at`.
    pub fn close(&self, at: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.text {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }
}

/// Returns what `rest`, which is not empty, begins with and its length; white space and comments are nothing.
fn lexeme(rest: &str) -> (Option<Kind>, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest));
    }
    if let Some(len) = string(rest) {
        return (Some(Kind::Literal), len);
    }
    if first == '\'' {
        return quote(rest);
    }
    let name = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    match first {
        _ if name == 0 => (Some(Kind::Punct), first.len_utf8()),
        '0'..='9' => (Some(Kind::Literal), name),
        _ => (Some(Kind::Ident), name),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let pair = rest.as_bytes().get(at..at + 2);
        match pair {
            Some(b"/*") => depth += 1,
            Some(b"*/") => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Returns the length of the string, byte string, C string or byte character that `rest` begins with.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c: char| !matches!(c, 'b' | 'c' | 'r')).filter(|len| *len <= 2)?;
    let after = &rest[prefix..];
    if rest[..prefix].ends_with('r') {
        let hashes = after.find(|c: char| c != '#')?;
        let body = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(body.find(&end).map_or(rest.len(), |at| prefix + hashes + 1 + at + end.len()));
    }
    let end = match after.chars().next()? {
        '"' => '"',
        '\'' if &rest[..prefix] == "b" => '\'',
        _ => return None,
    };
    Some(prefix + quoted(after, end))
}

/// Returns the length of the text in quotes that `rest` begins with.
fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Tells a character from a lifetime.
fn quote(rest: &str) -> (Option<Kind>, usize) {
    let mut chars = rest.chars().skip(1);
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return (Some(Kind::Literal), quoted(rest, '\''));
    }
    let name = rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len() - 1);
    (Some(Kind::Lifetime), 1 + name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        Source::new(source).tokens.iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_strings_hide_what_they_hold() {
        let source = "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# b'\\'' 'k' 'l: m";
        let want = ["a", "e", "\"g \\\" h\"", "r#\"i \" j\"#", "b'\\''", "'k'", "'l", ":", "m"];
        assert_eq!(texts(source), want);
    }

    #[test]
    fn prefixes_of_names_are_no_strings() {
        assert_eq!(texts("brc br b r c cr(r)"), ["brc", "br", "b", "r", "c", "cr", "(", "r", ")"]);
    }

    #[test]
    fn functions_are_found_with_their_attributes() {
        let source = Source::new(
            "fn a() { }\n#[test]\nfn b() -> [u8; 2] where { { } }\ntrait T { fn c(); fn d() {} }\n\
             #[tokio::test(flavor = \"x\")]\nasync fn e() {}\ntype F = fn(u8) -> u8;",
        );
        let found: Vec<_> = source.functions().iter().map(|f| (f.name, f.is_test)).collect();
        assert_eq!(found, [("a", false), ("b", true), ("d", false), ("e", true)]);
        let b = &source.functions()[1];
        assert_eq!(&source.text[b.span.clone()], "fn b() -> [u8; 2] where { { } }");
        assert_eq!(&source.text[source.preamble(b.span.start)..b.span.start], "#[test]\n");
    }

    #[test]
    fn test_spans_are_items_under_cfg_test() {
        let source =
            Source::new("mod a { }\n#[cfg(test)]\nmod b { fn c() {} }\n#[cfg(not(test))]\nmod d { }");
        let spans: Vec<_> = source.test_spans().into_iter().map(|span| &source.text[span]).collect();
        assert_eq!(spans, ["#[cfg(test)]\nmod b { fn c() {} }"]);
    }
}
