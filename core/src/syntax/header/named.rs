use super::{super::message::Field, HeaderId, HeaderName};

/// What header fields are looked up by: an id, a name, or the text of a name, long or compact, in any case.
pub trait Named: sealed::Sealed {}

impl Named for HeaderId {}
impl Named for &HeaderName {}
impl Named for &str {}

/// A name resolved: an id, and the text if the id is [`HeaderId::Other`].
#[derive(Clone, Copy, Debug)]
pub struct Key<'n> {
    id: HeaderId,
    text: &'n str,
}

impl Key<'_> {
    /// Tells whether a row is one of that name. [`HeaderId::Other`] alone is the name of none.
    #[inline]
    pub(crate) fn is_of(&self, field: &Field, head: &str) -> bool {
        field.id == self.id
            && (self.id != HeaderId::Other || field.name.of(head).eq_ignore_ascii_case(self.text))
    }
}

pub(crate) mod sealed {
    use super::{HeaderId, HeaderName, Key};

    pub trait Sealed {
        fn key(&self) -> Key<'_>;
    }

    impl Sealed for HeaderId {
        fn key(&self) -> Key<'_> {
            Key { id: *self, text: "" }
        }
    }

    impl Sealed for &HeaderName {
        fn key(&self) -> Key<'_> {
            Key { id: self.id(), text: self.as_str() }
        }
    }

    impl Sealed for &str {
        fn key(&self) -> Key<'_> {
            Key { id: HeaderId::of(self), text: self }
        }
    }
}
