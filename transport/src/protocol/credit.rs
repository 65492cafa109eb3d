//! Credit: how much a receiver lets come.
//!
//! Amounts are counted from the beginning of a session, so that what says them may come twice, late, or on
//! another connection.

/// Messages, and bytes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Calls and messages.
    pub messages: u64,
    /// Bytes of their payloads, but for those that are lent.
    pub bytes: u64,
}

impl Amount {
    /// One message of so many bytes.
    #[must_use]
    pub const fn one(bytes: u64) -> Self {
        Self { messages: 1, bytes }
    }

    /// Both sums; `None` beyond 64 bits.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            messages: self.messages.checked_add(other.messages)?,
            bytes: self.bytes.checked_add(other.bytes)?,
        })
    }

    /// Whether neither is more than in `limit`.
    #[must_use]
    pub const fn is_within(self, limit: Self) -> bool {
        self.messages <= limit.messages && self.bytes <= limit.bytes
    }

    /// The larger of each.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            messages: self.messages.max(other.messages),
            bytes: self.bytes.max(other.bytes),
        }
    }
}
