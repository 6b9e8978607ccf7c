//! The default name of a leader Service: `<service>-leader`, cut and hashed where that is too long.

use crate::k8s::hash;
use crate::k8s::hash::hash;
use crate::names::MAX_LABEL;

const SUFFIX: &str = "-leader";

/// The default name of the leader Service of `service`. It has at most 63 characters, never changes between versions,
/// and differs for two Services with the same beginning.
pub(crate) fn leader_name(service: &str) -> String {
    if service.len() + SUFFIX.len() <= MAX_LABEL {
        return format!("{service}{SUFFIX}");
    }
    let room = MAX_LABEL - SUFFIX.len() - hash::LENGTH - 1;
    let head = service.get(..room).unwrap_or("service");
    format!("{}-{}{SUFFIX}", head.trim_end_matches('-'), hash(service))
}

/// Checks whether the plain name is too long and is cut.
pub(crate) fn is_cut(service: &str) -> bool {
    service.len() + SUFFIX.len() > MAX_LABEL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::name_rules::dns_label;

    #[test]
    fn short_names_keep_their_name() {
        assert_eq!(leader_name("db"), "db-leader");
        assert_eq!(leader_name(&"a".repeat(56)), format!("{}-leader", "a".repeat(56)));
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        for length in 57..=63 {
            let name = leader_name(&"a".repeat(length));
            assert_eq!(dns_label(&name), None, "{name}");
            assert!(name.ends_with("-leader") && name.len() <= 63, "{name}");
            assert!(is_cut(&"a".repeat(length)));
        }
        let stem = "a".repeat(60);
        assert_ne!(leader_name(&format!("{stem}-x")), leader_name(&format!("{stem}-y")));
        // Pinned: a controller of a later version must find the Services of an earlier one.
        assert_eq!(leader_name(&"a".repeat(63)), format!("{}-nkb9b94n85-leader", "a".repeat(45)));
        assert_eq!(dns_label(&leader_name(&format!("{}-{}", "a".repeat(44), "b".repeat(18)))), None);
    }
}
