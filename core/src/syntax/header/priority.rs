use std::fmt;

use super::{
    super::{ParseErrorKind as Kind, Reader},
    item::headers,
};

headers! { ResourceValue;
    /// How much a request matters (RFC 4412 §3.1).
    ResourcePriority RESOURCE_PRIORITY list ResourceValue::read;
    /// A priority that the server knows (RFC 4412 §3.2).
    AcceptResourcePriority ACCEPT_RESOURCE_PRIORITY list ResourceValue::read;
}

/// A priority within a namespace, such as `ets.0`; equal in any case (RFC 4412 §3.1).
#[derive(Clone, Copy, Debug)]
pub struct ResourceValue<'a> {
    namespace: &'a str,
    priority: &'a str,
}

impl<'a> ResourceValue<'a> {
    /// Reads `namespace "." r-priority`.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Kind> {
        let (namespace, priority) = reader.token()?.split_once('.').ok_or(Kind::Value)?;
        let good = !namespace.is_empty() && !priority.is_empty() && !priority.contains('.');
        if good { Ok(Self { namespace, priority }) } else { Err(Kind::Value) }
    }

    /// Returns the namespace, such as `ets`.
    pub fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Returns the priority, which only its namespace explains.
    pub fn priority(&self) -> &'a str {
        self.priority
    }
}

impl PartialEq for ResourceValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.namespace.eq_ignore_ascii_case(other.namespace)
            && self.priority.eq_ignore_ascii_case(other.priority)
    }
}

impl Eq for ResourceValue<'_> {}

impl fmt::Display for ResourceValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.priority)
    }
}
