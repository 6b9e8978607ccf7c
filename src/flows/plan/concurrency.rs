//! Flows of one `concurrencyKey`: who goes first, and who is stopped.

use super::model::Rival;
use crate::flows::api::ConcurrencyPolicy;

/// A flow's place in line: by creation, equal times by UID.
pub(super) type Place<'a> = (jiff::Timestamp, &'a str);

/// The flow that has to be over before one at `place` may start, if there is one.
///
/// Forbid and Replace wait alike; the difference is that Replace stops the older ones, which they see for themselves
/// by [`replaced_by`]. A flow holds the line from its start to its end; before, only what is sound and not suspended
/// stands in it.
pub(super) fn blocked_by<'r>(
    rivals: &'r [Rival],
    place: Place<'_>,
    policy: ConcurrencyPolicy,
) -> Option<&'r Rival> {
    if policy == ConcurrencyPolicy::Allow {
        return None;
    }
    let ahead = |rival: &&Rival| {
        !rival.over && (rival.started || rival.in_line && (rival.created, rival.uid.as_str()) < place)
    };
    // Whoever runs is named before whoever waits.
    rivals.iter().filter(ahead).min_by_key(|rival| (!rival.started, rival.created, rival.uid.clone()))
}

/// The newer flow that takes the place of one at `place`, if there is one.
pub(super) fn replaced_by<'r>(rivals: &'r [Rival], place: Place<'_>) -> Option<&'r Rival> {
    let takes_over = |rival: &&Rival| {
        rival.replaces
            && !rival.over
            && (rival.started || rival.in_line)
            && (rival.created, rival.uid.as_str()) > place
    };
    rivals.iter().find(takes_over)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn rival(name: &str, second: i64) -> Rival {
        Rival {
            name: name.into(),
            uid: name.into(),
            created: Timestamp::from_second(second).unwrap(),
            started: false,
            over: false,
            in_line: true,
            replaces: false,
        }
    }

    fn me(second: i64) -> Place<'static> {
        (Timestamp::from_second(second).unwrap(), "m")
    }

    #[test]
    fn the_oldest_goes_first_and_equal_times_go_by_uid() {
        let rivals = [rival("a", 5), rival("z", 5)];
        let ahead =
            |second| blocked_by(&rivals, me(second), ConcurrencyPolicy::Forbid).map(|it| it.name.as_str());
        assert_eq!(ahead(4), None);
        assert_eq!(ahead(5), Some("a"));
        assert_eq!(ahead(6), Some("a"));
    }

    #[test]
    fn a_newer_flow_that_runs_already_holds_the_line() {
        let rivals = [rival("old", 1), Rival { started: true, ..rival("new", 9) }];
        assert_eq!(blocked_by(&rivals, me(5), ConcurrencyPolicy::Forbid).unwrap().name, "new");
        assert_eq!(blocked_by(&rivals, me(5), ConcurrencyPolicy::Allow), None);
    }

    #[test]
    fn a_suspended_flow_holds_the_line_only_once_it_has_started() {
        let waiting = Rival { in_line: false, ..rival("a", 1) };
        assert_eq!(blocked_by(std::slice::from_ref(&waiting), me(5), ConcurrencyPolicy::Forbid), None);
        let running = Rival { started: true, ..waiting };
        assert!(blocked_by(&[running], me(5), ConcurrencyPolicy::Forbid).is_some());
    }

    #[test]
    fn only_a_newer_flow_that_replaces_and_is_not_over_takes_over() {
        let newer = Rival { replaces: true, ..rival("new", 9) };
        assert!(replaced_by(std::slice::from_ref(&newer), me(5)).is_some());
        assert_eq!(replaced_by(std::slice::from_ref(&newer), me(10)), None);
        assert_eq!(replaced_by(&[Rival { over: true, ..newer.clone() }], me(5)), None);
        assert_eq!(replaced_by(&[Rival { in_line: false, ..newer.clone() }], me(5)), None);
        assert_eq!(replaced_by(&[Rival { replaces: false, ..newer }], me(5)), None);
    }
}
