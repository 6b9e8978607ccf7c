//! The stable numbers of everything that can be wrong, and the text behind each.
//!
//! A code is never given another meaning and never reused. Its explanation is a page of `src/problem/code/`, written
//! for the person who met it: what it means, an example that a test runs, and a fix. `headworks explain HW201`
//! prints the page; `docs/errors.md` is all of them.

use std::fmt;

/// A stable problem number, written `HW201`. The hundreds are its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// Reads `HW201` (any case) or `201`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = match text.get(..2) {
            Some(letters) if letters.eq_ignore_ascii_case("hw") => &text[2..],
            _ => text,
        };
        let number: u16 = digits.parse().ok()?;
        CODES.iter().map(|entry| entry.code).find(|code| code.0 == number)
    }

    /// Tests whether this code marks a warning.
    pub fn is_warning(self) -> bool {
        self.0 >= 900
    }

    /// The entry of the catalogue.
    pub fn entry(self) -> Option<&'static Entry> {
        CODES.iter().find(|entry| entry.code == self)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HW{:03}", self.0)
    }
}

/// The catalogue's entry for a code.
#[derive(Debug)]
pub struct Entry {
    /// The number.
    pub code: Code,
    /// One line.
    pub title: &'static str,
    /// The whole explanation, in Markdown: what it means, an example that a test runs, a fix.
    pub page: &'static str,
}

impl Entry {
    /// The words of its family, such as "the graph".
    pub fn family(&self) -> &'static str {
        let hundred = self.code.0 / 100;
        FAMILIES.iter().find(|(number, _)| *number == hundred).map_or("", |(_, words)| words)
    }

    /// The fenced blocks of the page's example as (mark, text): the mark is empty for an object by itself, `old` and
    /// `new` for an update.
    pub fn examples(&self) -> Vec<(&'static str, &'static str)> {
        let mut examples = Vec::new();
        let mut rest = self.page;
        while let Some((_, after)) = rest.split_once("```yaml") {
            let Some((mark, after)) = after.split_once('\n') else { break };
            let Some((text, after)) = after.split_once("```") else { break };
            examples.push((mark.trim(), text));
            rest = after;
        }
        examples
    }
}

/// Every page in one Markdown text: `docs/errors.md`.
pub fn catalogue() -> String {
    let mut text = String::from(
        "# Error catalogue\n\nEverything that headworks can say of an object, by its stable number. \
         Printed by `headworks explain --all --format markdown`; do not edit.\n",
    );
    for (hundred, words) in FAMILIES {
        text += &format!("\n## HW{hundred}xx: {words}\n");
        for entry in CODES.iter().filter(|entry| entry.code.0 / 100 == hundred) {
            text += &format!("\n### {}: {}\n\n{}\n", entry.code, entry.title, entry.page.trim());
        }
    }
    text
}

/// The families, by their hundred.
pub const FAMILIES: [(u16, &str); 9] = [
    (1, "names and shape"),
    (2, "the graph"),
    (3, "expressions"),
    (4, "data: parameters and artifacts"),
    (5, "Job templates"),
    (6, "policies and resource templates"),
    (7, "updates and identity"),
    (8, "Services with a leader"),
    (9, "warnings"),
];

macro_rules! codes {
    ($($number:literal $name:ident $title:literal)*) => {
        $(
            #[doc = $title]
            pub const $name: Code = Code($number);
        )*
        /// Every code, ascending.
        pub const CODES: &[Entry] = &[$(Entry {
            code: $name,
            title: $title,
            page: include_str!(concat!("code/HW", stringify!($number), ".md")),
        }),*];
    };
}

codes! {
    101 WRONG_TYPE "a value has the wrong type"
    102 UNKNOWN_FIELD "a field that the API does not know"
    103 MISSING_FIELD "a required field is missing"
    104 UNSUPPORTED_VALUE "a value is none of the allowed ones"
    105 OUT_OF_RANGE "a number is out of its range"
    106 INVALID_NAME "a step name is not a DNS label"
    107 DUPLICATE_STEP "two steps have one name"
    108 NO_STEPS "a flow without steps"
    109 TOO_MANY_ITEMS "a list has too many entries"
    110 INVALID_DURATION "a duration is malformed or out of range"
    111 UNSUPPORTED_API_VERSION "a JobFlow of an apiVersion that is not served"
    112 MISSING_TEMPLATE "a Job step without a template"
    113 INVALID_METADATA "a label or annotation of a step is malformed"
    114 RESERVED_METADATA "a label or annotation key of a step is reserved"
    115 TEXT_TOO_LONG "a text is too long"
    201 UNKNOWN_DEPENDENCY "a dependency names no step"
    202 SELF_DEPENDENCY "a step depends on itself"
    203 CYCLE "steps depend on each other in a circle"
    204 DUPLICATE_DEPENDENCY "a dependency is listed twice"
    301 EXPRESSION_SYNTAX "an expression cannot be parsed"
    302 UNCLOSED_EXPRESSION "an expression is not closed"
    303 UNKNOWN_VARIABLE "an expression names an unknown variable"
    304 UNKNOWN_PARAMETER "an expression names an unknown parameter"
    305 UNKNOWN_STEP "an expression names an unknown step"
    306 UNKNOWN_OUTPUT "an expression names an output that its step does not declare"
    307 UNKNOWN_PHASE "an expression compares with a phase that does not exist"
    308 NOT_AN_ANCESTOR "an expression looks at a step that may not have run"
    309 WRONG_RESULT_TYPE "an expression gives the wrong type"
    310 UNKNOWN_FUNCTION "an expression calls a function that does not exist"
    311 GO_TEMPLATE "Go template syntax that has to be written as CEL"
    312 EXPRESSION_TOO_LARGE "an expression is too long or nested too deep"
    313 UNKNOWN_PROPERTY "an expression asks a step or the flow for something it does not have"
    314 UNKNOWN_RESOURCE "an expression names an unknown resource template"
    315 PARAMETER_CYCLE "a step's input parameters need each other"
    401 INVALID_PARAMETER_NAME "a parameter or artifact name is malformed"
    402 DUPLICATE_PARAMETER "two parameters have one name"
    403 PARAMETER_SOURCE "a parameter needs exactly one source"
    404 JSONPATH_SYNTAX "a JSONPath cannot be parsed"
    405 JSONPATH_STEP "a JSONPath names an unknown step"
    406 DATA_NOT_AN_ANCESTOR "data is taken from a step that may not have run"
    407 JSONPATH_NEEDS_STEP "a JSONPath does not say whose result it reads"
    408 DUPLICATE_ARTIFACT "two artifacts have one name"
    409 ARTIFACT_FROM "an artifact reference is malformed"
    410 UNKNOWN_ARTIFACT "an artifact reference names nothing"
    411 ARTIFACT_PATH "an artifact path is not usable"
    412 ARTIFACT_SOURCE "an artifact needs exactly one source"
    413 ARTIFACT_URL "an artifact URL is not usable"
    414 INCOMPLETE_S3 "an S3 location is incomplete"
    415 ARCHIVE "archive and compression do not fit together"
    416 ARTIFACT_COLLISION "two artifacts share one path"
    417 MOUNT_COLLISION "an artifact's path collides with a mount of the template"
    418 NO_ARTIFACT_STORE "artifacts are passed on but there is no store"
    419 INCOMPLETE_KEY_REF "a reference to a key is incomplete"
    420 VALUE_TYPE "a value does not fit its declared type"
    421 DATA_TOO_LARGE "values are too large together"
    422 CHECKSUM "a checksum is malformed"
    423 UNKNOWN_CONTAINER "an output names a container that the step does not have"
    424 HTTP_HEADER "a header of a download is malformed"
    425 ARTIFACTS_UNAVAILABLE "artifacts are not available yet"
    501 TEMPLATE_TYPE "a value in a Job template has the wrong type"
    502 TEMPLATE_REQUIRED "a Job template lacks something"
    503 TEMPLATE_NAME "a name in a Job template is malformed"
    504 RESTART_POLICY "restartPolicy must be Never or OnFailure"
    505 QUANTITY "a resource quantity is malformed"
    506 LIMIT_BELOW_REQUEST "a resource limit is below its request"
    507 TEMPLATE_NUMBER "a number in a Job template is out of its range"
    508 TEMPLATE_DUPLICATE "a name in a Job template is used twice"
    509 ENV_NAME "the name of an environment variable is malformed"
    510 UNKNOWN_VOLUME "a mount names a volume that does not exist"
    511 RESERVED_LABEL "a label or annotation key in a Job template is reserved"
    512 RESERVED_NAME "a container or volume name is reserved"
    513 PARTIAL_EXPRESSION "an expression must be the whole value where the schema wants no text"
    514 IMAGE "an image reference is malformed"
    515 TEMPLATE_KIND "a template is no Job"
    516 TEMPLATE_VALUE "a value in a Job template is none of the allowed ones"
    517 TEMPLATE_METADATA "a label or annotation in a Job template is malformed"
    518 RAW_TEMPLATE "`template.raw` is not supported"
    519 TEMPLATE_CONFLICT "fields of a Job template contradict each other"
    520 UNKNOWN_TEMPLATE_CONTAINER "a rule of a Job template names a container that does not exist"
    521 TEMPLATE_RESOURCE "a resource name in a Job template is not known"
    601 POLICY_VALUE "a policy has none of the allowed values"
    602 POLICY_NUMBER "a number of a policy is out of its range"
    603 FAILURE_RULE "a rule of podFailurePolicy is incomplete"
    604 EXIT_CODES "exit codes of a rule are not usable"
    605 FAILURE_RULE_CONTAINER "a rule names a container that no step has"
    606 FAILURE_POLICY_RESTART "podFailurePolicy needs restartPolicy Never"
    607 RESOURCE_NAME "a resource template's name is not usable"
    608 DUPLICATE_RESOURCE "two resource templates have one name"
    609 CLAIM_SPEC "a volume claim template is incomplete"
    610 RESOURCE_TYPE "a value in a resource template has the wrong type"
    611 NAME_TOO_LONG "a generated name cannot fit"
    612 CONFIG_MAP_DATA "a ConfigMap template's data is not usable"
    701 IMMUTABLE "the spec of a started flow is changed"
    702 APPROVAL_STEP "an approval names an unknown step"
    703 APPROVAL_NOT_MANUAL "an approval names a step that waits for none"
    704 APPROVAL_VALUE "an approval is neither \"true\" nor \"false\""
    705 FORGED_STAMP "an identity stamp was written by hand"
    801 SERVICE_ENABLED "`zen-lead.io/enabled` is neither \"true\" nor \"false\""
    802 SERVICE_ANNOTATION "an unknown `zen-lead.io/` annotation"
    803 SERVICE_BOOLEAN "an annotation is neither \"true\" nor \"false\""
    804 SERVICE_DURATION "an annotation is no duration"
    805 SERVICE_STRATEGY "an unknown strategy"
    806 LEADER_NAME "the leader Service's name is not usable"
    807 SERVICE_SELECTOR "the Service selects nothing"
    808 SERVICE_TYPE "a Service of this type cannot have a leader"
    809 CANDIDATE_SELECTOR "the candidate selector cannot be parsed"
    810 CANDIDATE_CONTRADICTION "the candidate selector can never match"
    811 SELECTOR_LABEL "a selector key or value is no label"
    812 SERVICE_PORT "a port of the Service is not usable"
    813 LEASE_NAME "the strategy lease needs a Lease name"
    814 SERVICE_VALUE "an annotation's value is malformed"
    820 LEADER_SERVICE_EDIT "a leader Service is edited by hand"
    901 IMAGE_TAG "an image without a fixed tag"
    902 NO_REQUESTS "a container without resource requests"
    903 MULTIPLIED_RETRIES "retries of the Job and of the step multiply"
    904 ON_FAILURE "restartPolicy OnFailure hides exit codes"
    905 SHORT_TTL "results may be gone before they are read"
    906 SECRET_IN_CLEAR "a Secret's value ends in the Job in clear"
    907 UNREAD_OUTPUT "an output that nobody reads"
    908 UNUSED_PARAMETER "a parameter that nobody uses"
    909 NEVER_RUNS "a step that can never run"
    910 BARE_RESOURCE_NAME "a resource template's bare name"
    911 PRIVILEGED "more rights than a batch job usually needs"
    912 UNKNOWN_TEMPLATE_FIELD "a field that the Job schema does not know"
    913 DEPRECATED "a deprecated spelling"
    914 DEFAULT_BACKOFF "a failing step is tried seven times"
    915 LITERAL_BRACES "an expression in a place that is taken literally"
    916 UNUSED_TEMPLATE "a Manual step's template is not used"
    917 STORE_UNKNOWN "artifacts are passed on and no store is named"
    918 UNBOUNDED_IGNORE "failed pods may be replaced for ever"
    919 RULE_NOT_APPLIED "a policy does not apply to a step"
    920 SERVICE_TYPE_CHANGED "the leader Service will be a ClusterIP"
    921 SERVICE_WITHOUT_PORTS "a headless Service without ports"
    922 SERVICE_NOT_READY_ADDRESSES "publishNotReadyAddresses does not reach the leader"
    923 SERVICE_NOT_ENABLED "leader annotations without an effect"
    924 LEADER_NAME_CUT "the leader Service's name had to be cut"
    925 SELECTS_NOBODY "a changed selector matches no pod now"
    926 LOSES_LEADER "a changed selector does not match the leader"
}

#[cfg(test)]
mod tests;
