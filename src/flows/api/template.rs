//! The template of a step's Job.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A Job of batch/v1, as a user wrote it; its schema is the cluster's.
///
/// Most of a flow is templates, and each is used a single time, when its Job is made. So what is read from JSON stays
/// text: as a tree it takes some ten times the memory, and a controller keeps every flow that there is.
#[derive(Clone, Debug)]
pub struct JobTemplate(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Text(Box<RawValue>),
    Tree(Value),
}

impl JobTemplate {
    /// The template as JSON; parsed at each call if it was read as text. `null` if it is nested more deeply than
    /// `serde_json` reads (128 levels): the validator refuses such a flow.
    pub fn value(&self) -> Cow<'_, Value> {
        match &self.0 {
            Kept::Text(text) => Cow::Owned(serde_json::from_str(text.get()).unwrap_or_default()),
            Kept::Tree(value) => Cow::Borrowed(value),
        }
    }
}

impl From<Value> for JobTemplate {
    fn from(value: Value) -> Self {
        Self(Kept::Tree(value))
    }
}

impl PartialEq for JobTemplate {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kept::Text(one), Kept::Text(other)) if one.get() == other.get() => true,
            _ => self.value() == other.value(),
        }
    }
}

impl Serialize for JobTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Kept::Text(text) => text.serialize(serializer),
            Kept::Tree(value) => value.serialize(serializer),
        }
    }
}

/// From JSON alone, as text or as a `Value`: no other format has a text to keep.
impl<'de> Deserialize<'de> for JobTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Kept::Text(Box::deserialize(deserializer)?)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_the_same_as_text_and_as_a_tree() {
        let value = json!({"spec": {"completions": 2, "template": {"spec": {"containers": [{"name": "a\n\u{1F600}"}]}}}});
        let text = value.to_string();
        let read: JobTemplate = serde_json::from_str(&text).unwrap();
        assert_eq!(*read.value(), value);
        assert_eq!(read, JobTemplate::from(value.clone()));
        assert_ne!(read, JobTemplate::from(json!({"spec": {}})));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
        assert_eq!(serde_json::to_value(JobTemplate::from(value.clone())).unwrap(), value);
        assert_eq!(serde_json::from_value::<JobTemplate>(value).unwrap(), read);
    }

    #[test]
    fn what_is_nested_without_end_is_nothing() {
        let deep = "[".repeat(9_999) + &"]".repeat(9_999);
        let read: JobTemplate = serde_json::from_str(&deep).unwrap();
        assert_eq!(*read.value(), Value::Null);
        assert!(serde_json::to_value(&read).is_err());
    }
}
