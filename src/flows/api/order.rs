//! The order in which the API's types declare their fields: the order in which people read a flow.
//!
//! A JSON schema has no order of its own. serde does know it: a derived decoder tells the names of a struct's fields,
//! in their order, to the format that it asks for them.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use super::{
    Archive, ArtifactStore, Backoff, ExecutionPolicy, FlowParameter, FlowValueSource, HttpSource,
    InputArtifact, InputParameter, InputValueSource, Inputs, JobFlowSpec, KeyRef, OnExitCodes,
    OnPodCondition, OutputArtifact, OutputParameter, OutputValueSource, Outputs, PodFailurePolicy,
    PodFailureRule, ResourceTemplates, RetryPolicy, S3Location, Step, StepMetadata, VolumeClaimStore,
};

/// The fields of a type of a flow's spec, by the type's name.
pub fn fields(type_name: &str) -> Option<&'static [&'static str]> {
    macro_rules! by_name {
        ($($type:ident)*) => {
            match type_name {
                $(stringify!($type) => fields_of::<$type>(),)*
                _ => None,
            }
        };
    }
    by_name! {
        JobFlowSpec ResourceTemplates ExecutionPolicy PodFailurePolicy PodFailureRule OnExitCodes OnPodCondition
        RetryPolicy Backoff Step StepMetadata Inputs Outputs FlowParameter FlowValueSource InputParameter
        InputValueSource OutputParameter OutputValueSource KeyRef InputArtifact HttpSource S3Location OutputArtifact
        Archive ArtifactStore VolumeClaimStore
    }
}

fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    match T::deserialize(Probe) {
        Err(Asked(fields)) => fields,
        Ok(_) => None,
    }
}

/// A format that decodes nothing and remembers what it was asked for.
struct Probe;

/// The fields that were asked for.
#[derive(Debug)]
struct Asked(Option<&'static [&'static str]>);

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing can be decoded from here")
    }
}

impl std::error::Error for Asked {}

impl Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked(None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked(Some(fields)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_as_they_are_declared() {
        assert_eq!(fields("KeyRef"), Some(["name", "key", "optional"].as_slice()));
        assert_eq!(fields("Step").unwrap()[..3], ["name", "type", "message"]);
        assert_eq!(fields("Nobody"), None);
    }

    #[test]
    fn every_type_of_the_schema_has_its_order() {
        let schema = schemars::schema_for!(JobFlowSpec).to_value();
        let types = schema["$defs"].as_object().unwrap();
        let structs = types.iter().filter(|(_, schema)| schema.get("properties").is_some());
        let missing: Vec<&String> =
            structs.map(|(name, _)| name).filter(|name| fields(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
