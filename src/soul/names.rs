//! The names that closed sets of values have in text.

/// Gives an enum its names: a list of all values, `as_str`, `from_name` and `Display`.
macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// All of them, in the order of the format.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The names of all of them, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use names;
