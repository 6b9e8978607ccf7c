//! Phases of flows and steps.

use super::words::{words, words_in_objects};

words! {
    /// The state of a flow.
    #[expect(missing_docs, reason = "the names say it")]
    pub enum FlowPhase {
        Pending,
        Running,
        Suspended,
        /// A Manual step waits and nothing else runs.
        Paused,
        Succeeded,
        Failed,
    }
}
words_in_objects!(FlowPhase);

impl FlowPhase {
    /// Tests whether the flow has ended; it never leaves such a phase.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

words! {
    /// The state of a step.
    #[expect(missing_docs, reason = "the names say it")]
    pub enum StepPhase {
        Pending,
        Running,
        PendingApproval,
        Succeeded,
        Failed,
        Skipped,
        Cancelled,
    }
}
words_in_objects!(StepPhase);

impl StepPhase {
    /// Tests whether the step has ended; it never leaves such a phase.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn phases_are_read_and_written_by_their_names() {
        for &phase in StepPhase::ALL {
            assert_eq!(to_value(phase).unwrap(), json!(phase.as_str()));
            assert_eq!(from_value::<StepPhase>(json!(phase.as_str())).unwrap(), phase);
        }
        for &phase in FlowPhase::ALL {
            assert_eq!(from_value::<FlowPhase>(json!(phase.as_str())).unwrap(), phase);
        }
    }

    #[test]
    fn a_phase_of_another_version_is_unknown_and_not_an_error() {
        assert_eq!(from_value::<StepPhase>(json!("Hibernating")).unwrap(), StepPhase::Unknown);
        assert_eq!(from_value::<FlowPhase>(json!("Hibernating")).unwrap(), FlowPhase::Unknown);
        assert!(from_value::<FlowPhase>(json!(3)).is_err());
        assert!(!StepPhase::Unknown.is_final() && !FlowPhase::Unknown.is_over());
    }
}
