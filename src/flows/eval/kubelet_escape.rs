//! Values where Kubernetes expands `$(NAME)` once more: the kubelet replaces it by a variable of the container, and
//! `$$` by `$`, in the values of `env`, in `command`, `args` and `subPathExpr` (`third_party/forked/golang/expansion`).
//!
//! A value is text, so what the kubelet would make something of is written so that it comes out as it was. What the
//! template's author wrote around it is left alone: there `$(NAME)` is meant.

use crate::problem::field_path::{FieldPath, Segment};

/// Tests whether the kubelet expands the text at a path of a template.
pub(super) fn is_expanded(path: &FieldPath) -> bool {
    use Segment::{Field, Index};
    match path.0.as_slice() {
        [.., Field(list), Index(_), Field(field)] => {
            list == "env" && field == "value" || list == "volumeMounts" && field == "subPathExpr"
        }
        [.., Field(containers), Index(_), Field(list), Index(_)] => {
            (containers == "containers" || containers == "initContainers")
                && (list == "command" || list == "args")
        }
        _ => false,
    }
}

/// Appends a value so that the kubelet makes `text`, expanded, and the value as it is out of it.
pub(super) fn push(text: &mut String, value: &str) {
    // A `$` that still looks for its partner would find it in the value.
    let open = text.bytes().rev().take_while(|byte| *byte == b'$').count() % 2 == 1;
    if open && value.starts_with(matters) {
        text.push('$');
    }
    let mut rest = value.chars().peekable();
    while let Some(letter) = rest.next() {
        text.push(letter);
        // At the end it is what comes next that decides, and two are always one.
        if letter == '$' && rest.peek().is_none_or(|next| matters(*next)) {
            text.push('$');
        }
    }
}

/// Tests whether the kubelet changes a single `$` before this character: it also breaks characters beyond ASCII there.
fn matters(next: char) -> bool {
    matches!(next, '$' | '(') || !next.is_ascii()
}

/// The kubelet's `expansion.Expand`, where every variable is `!`.
#[cfg(test)]
pub(super) fn expand(text: &str) -> String {
    let text = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let next = text.get(at + 1).filter(|_| text[at] == b'$');
        let end = text[at..].iter().position(|byte| *byte == b')');
        at += match (next, end) {
            (Some(b'$'), _) => {
                out.push(b'$');
                2
            }
            (Some(b'('), Some(end)) => {
                out.push(b'!');
                end + 1
            }
            (Some(byte), _) => {
                // Taken for a character of its own, which it is only in ASCII.
                out.extend(format!("${}", char::from(*byte)).into_bytes());
                2
            }
            (None, _) => {
                out.push(text[at]);
                1
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_needs_no_care_is_written_as_it_is() {
        let mut text = String::from("a $(X) ");
        push(&mut text, "$HOME ${X} 5$ (b)");
        assert_eq!(text, "a $(X) $HOME ${X} 5$ (b)");
    }

    #[test]
    fn the_kubelet_expands_what_the_author_wrote_and_nothing_else() {
        let mut text = String::from("$(X) ");
        push(&mut text, "$(Y) $$ $é $");
        text.push_str("(Z)");
        assert_eq!(expand(&text), "! $(Y) $$ $é $(Z)");
    }

    proptest! {
        #[test]
        fn a_value_comes_out_as_it_was(
            parts in prop::collection::vec(("(a|é|\\$|\\)|\\$\\$|\\$\\(X\\)){0,4}", "[$()aé]{1,6}"), 1..4),
        ) {
            let (mut text, mut expected) = (String::new(), String::new());
            for (around, value) in &parts {
                // The author's text is expanded by itself: a bracket in it must not belong to a `$` before it.
                text.push_str(around);
                expected.push_str(&expand(around));
                push(&mut text, value);
                expected.push_str(value);
            }
            prop_assert_eq!(expand(&text), expected, "{}", text);
        }
    }

    #[test]
    fn only_where_the_kubelet_expands() {
        let container = || {
            FieldPath::default().field("spec").field("template").field("spec").field("containers").index(0)
        };
        assert!(is_expanded(&container().field("env").index(1).field("value")));
        assert!(is_expanded(&container().field("args").index(0)));
        assert!(is_expanded(&container().field("command").index(2)));
        assert!(is_expanded(&container().field("volumeMounts").index(0).field("subPathExpr")));
        assert!(!is_expanded(&container().field("image")));
        assert!(!is_expanded(&container().field("volumeMounts").index(0).field("mountPath")));
        assert!(!is_expanded(
            &container().field("lifecycle").field("preStop").field("exec").field("command").index(0)
        ));
    }
}
