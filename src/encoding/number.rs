//! Decimals and times.

/// The greatest integer that every JSON reader holds exactly, and the greatest that any format here allows: 2^53 − 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnixMillis(u64);

impl UnixMillis {
    /// The epoch.
    pub const ZERO: Self = Self(0);

    /// A time from its milliseconds.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This time and `millis` more, at most the greatest that fits.
    pub const fn saturating_add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time, 0 if that is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl core::fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads an unsigned ASCII decimal without sign and without leading zeros (`0` itself excepted).
pub fn parse_decimal(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_decimal;

    #[test]
    fn decimals_are_strict() {
        for (text, value) in [("0", 0), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(parse_decimal(text), Some(value));
        }
        for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1a", "18446744073709551616", "١"] {
            assert_eq!(parse_decimal(text), None, "{text}");
        }
    }
}
