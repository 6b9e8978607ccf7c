//! Named declarations of a flow: parameters, outputs, objects made from resource templates.
//!
//! The validator and the evaluation look names up here, so that a name means the same to both.

use serde_json::Value;

use super::api::{FlowParameter, InputParameter, JobFlow, KeyRef, OutputParameter, Step, ValueType};

/// A parameter as a step sees it: its own input shadows the flow's parameter of that name.
#[derive(Clone, Copy, Debug)]
pub enum Parameter<'f> {
    /// An input of the step.
    Input(&'f InputParameter),
    /// A parameter of the flow.
    Flow(&'f FlowParameter),
}

impl<'f> Parameter<'f> {
    /// Finds the parameter of this name.
    pub fn find(flow: &'f JobFlow, step: &'f Step, name: &str) -> Option<Self> {
        let own = inputs(step).iter().find(|parameter| parameter.name == name);
        let of_flow = || flow.spec.parameters.iter().find(|parameter| parameter.name == name);
        own.map(Self::Input).or_else(|| of_flow().map(Self::Flow))
    }

    /// The type that expressions see.
    pub fn value_type(self) -> ValueType {
        let declared = match self {
            Self::Input(input) => input.type_,
            Self::Flow(parameter) => parameter.type_,
        };
        declared.unwrap_or(ValueType::String)
    }

    /// The value, taken literally.
    pub fn value(self) -> Option<&'f str> {
        match self {
            Self::Input(input) => input.value.as_deref(),
            Self::Flow(parameter) => parameter.value.as_deref(),
        }
    }

    /// The value if its source has none.
    pub fn default(self) -> Option<&'f str> {
        match self {
            Self::Input(input) => input.default.as_deref(),
            Self::Flow(parameter) => parameter.default.as_deref(),
        }
    }

    /// The key of a ConfigMap that it comes from.
    pub fn config_map_key(self) -> Option<&'f KeyRef> {
        match self {
            Self::Input(input) => input.value_from.as_ref()?.config_map_key_ref.as_ref(),
            Self::Flow(parameter) => parameter.value_from.as_ref()?.config_map_key_ref.as_ref(),
        }
    }

    /// The key of a Secret that it comes from.
    pub fn secret_key(self) -> Option<&'f KeyRef> {
        match self {
            Self::Input(input) => input.value_from.as_ref()?.secret_key_ref.as_ref(),
            Self::Flow(parameter) => parameter.value_from.as_ref()?.secret_key_ref.as_ref(),
        }
    }

    /// The expression that gives it.
    pub fn expression(self) -> Option<&'f str> {
        match self {
            Self::Input(input) => input.value_from.as_ref()?.expression.as_deref(),
            Self::Flow(_) => None,
        }
    }

    /// The path in an earlier step's result document that gives it, `STEP:PATH` or `PATH`.
    pub fn json_path(self) -> Option<&'f str> {
        match self {
            Self::Input(input) => input.value_from.as_ref()?.json_path.as_deref(),
            Self::Flow(_) => None,
        }
    }
}

/// The input parameters of a step.
pub fn inputs(step: &Step) -> &[InputParameter] {
    step.inputs.as_ref().map_or(&[], |inputs| &inputs.parameters)
}

/// The output parameters of a step.
pub fn outputs(step: &Step) -> &[OutputParameter] {
    step.outputs.as_ref().map_or(&[], |outputs| &outputs.parameters)
}

/// Lists the names of a step's parameters: its own, then the flow's.
pub fn parameters<'f>(flow: &'f JobFlow, step: &'f Step) -> impl Iterator<Item = &'f str> {
    let own = inputs(step).iter().map(|parameter| parameter.name.as_str());
    own.chain(flow.spec.parameters.iter().map(|parameter| parameter.name.as_str()))
}

/// Lists the names of the resource templates, claims first.
pub fn resources(flow: &JobFlow) -> Vec<&str> {
    let templates = flow.spec.resource_templates.iter();
    templates
        .flat_map(|templates| templates.volume_claim_templates.iter().chain(&templates.config_map_templates))
        .filter_map(|template| template.pointer("/metadata/name").and_then(Value::as_str))
        .collect()
}
