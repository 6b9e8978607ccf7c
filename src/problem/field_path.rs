//! Paths of fields in an object: `spec.steps[3].template.metadata.labels[team]`.
//!
//! Two forms of one thing. [`Place`] lives on the stack while rules walk an object and costs nothing; [`FieldPath`]
//! is what a [`Problem`](super::Problem) keeps. Map keys are written in brackets, as Kubernetes does.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// One step from an object to a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A field that the schema names.
    Field(String),
    /// An entry of a list.
    Index(usize),
    /// A key that the user chose, as in `labels[team]` or `requests[cpu]`.
    Key(String),
}

/// An owned field path, from the object's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(pub Vec<Segment>);

impl FieldPath {
    /// Reads a path of fields and indices such as `spec.steps[0].name`; what stands in brackets and is no number is a
    /// key.
    pub fn parse(text: &str) -> Self {
        let mut segments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let end = inner.find(']').unwrap_or(inner.len());
                let word = &inner[..end];
                segments.push(word.parse().map_or_else(|_| Segment::Key(word.to_owned()), Segment::Index));
                rest = inner.get(end + 1..).unwrap_or("");
            } else {
                rest = rest.strip_prefix('.').unwrap_or(rest);
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                segments.push(Segment::Field(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        Self(segments)
    }

    /// The field `name` of this place.
    #[must_use]
    pub fn field(mut self, name: &str) -> Self {
        self.0.push(Segment::Field(name.to_owned()));
        self
    }

    /// The entry `index` of the list at this place.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }

    /// The entry `key` of the map at this place.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Segment::Key(key.to_owned()));
        self
    }

    /// Appends `inner` to this path.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(&inner.0).cloned().collect())
    }

    /// Tests whether `self` is `other` or lies inside it.
    pub fn starts_with(&self, other: &FieldPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Tests whether `self` is one of `places` or lies inside one.
    pub fn is_inside(&self, places: &HashSet<FieldPath>) -> bool {
        if places.is_empty() {
            return false;
        }
        let mut path = self.clone();
        while !places.contains(&path) {
            if path.0.pop().is_none() {
                return false;
            }
        }
        true
    }
}

/// One line, whatever a user's keys hold: control characters are shown as spaces.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if i == 0 => f.write_str(&one_line(name))?,
                Segment::Field(name) => write!(f, ".{}", one_line(name))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{}]", one_line(key))?,
            }
        }
        Ok(())
    }
}

/// Control characters would break the line, or make the API server drop a whole warning.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.replace(char::is_control, " "))
    } else {
        Cow::Borrowed(text)
    }
}

/// A borrowed field path: a chain of stack frames, materialised only when there is something to report.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    link: Link<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Link<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl Place<'_> {
    /// The object itself.
    pub const ROOT: Place<'static> = Place { parent: None, link: Link::Root };

    /// The field `name` of this place.
    pub fn field<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place { parent: Some(self), link: Link::Field(name) }
    }

    /// The entry `index` of the list at this place.
    pub fn index(&self, index: usize) -> Place<'_> {
        Place { parent: Some(self), link: Link::Index(index) }
    }

    /// The entry `key` of the map at this place.
    pub fn key<'b>(&'b self, key: &'b str) -> Place<'b> {
        Place { parent: Some(self), link: Link::Key(key) }
    }

    /// The path to keep.
    pub fn path(&self) -> FieldPath {
        let mut segments = Vec::new();
        let mut here = Some(self);
        while let Some(place) = here {
            match place.link {
                Link::Root => {}
                Link::Field(name) => segments.push(Segment::Field(name.to_owned())),
                Link::Index(index) => segments.push(Segment::Index(index)),
                Link::Key(key) => segments.push(Segment::Key(key.to_owned())),
            }
            here = place.parent;
        }
        segments.reverse();
        FieldPath(segments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_kubernetes_writes_them() {
        let spec = Place::ROOT.field("spec");
        let steps = spec.field("steps");
        let step = steps.index(3);
        let metadata = step.field("metadata");
        let labels = metadata.field("labels");
        let path = labels.key("team").path();
        assert_eq!(path.to_string(), "spec.steps[3].metadata.labels[team]");
        assert_eq!(FieldPath::parse("spec.steps[3].metadata.labels[team]"), path);
    }

    #[test]
    fn a_key_with_a_line_break_stays_on_one_line() {
        let spec = Place::ROOT.field("sp\0ec");
        assert_eq!(spec.key("a\nb").path().to_string(), "sp ec[a b]");
    }
}
