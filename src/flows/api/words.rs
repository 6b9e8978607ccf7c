//! Closed lists of words, such as phases and reasons: an enum whose variants know their names.

/// Declares an enum of words with `ALL`, `NAMES`, `as_str`, `parse` and `Display`.
///
/// A word that is not in the list is read as `Unknown`: another version of headworks may have written it, and that must
/// not make an object unreadable.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $Name:ident { $($(#[$about:meta])* $Variant:ident),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $Name {
            $($(#[$about])* $Variant,)*
            /// A word that this version does not know.
            Unknown,
        }

        impl $Name {
            /// Every word but `Unknown`.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),*];

            /// The words of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($Variant)),*];

            /// The word, as it stands in the object.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Variant => stringify!($Variant),)*
                    Self::Unknown => "Unknown",
                }
            }

            /// Reads a word.
            pub fn parse(text: &str) -> Self {
                match text {
                    $(stringify!($Variant) => Self::$Variant,)*
                    _ => Self::Unknown,
                }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// Gives an enum of [`words!`] its place in an object: read and written as its word, and in the schema an `enum` of the
/// known ones.
macro_rules! words_in_objects {
    ($Name:ident) => {
        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::parse(&word))
            }
        }

        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": Self::NAMES})
            }
        }
    };
}

pub(super) use {words, words_in_objects};
