//! Flows of one `concurrencyKey`: the order in which they start, and which of them is replaced.

use super::model::Rival;
use crate::flows::api::ConcurrencyPolicy;

/// A flow's position in the queue of its key: by creation time, equal times by UID.
pub(super) type Position<'a> = (jiff::Timestamp, &'a str);

/// Returns the flow that has to be over before the one at `position` may start, if there is one.
///
/// Forbid and Replace wait in the same way; the difference is that Replace stops the older flows, which they find out
/// themselves by [`replaced_by`]. A flow blocks the others from its start to its end; before its start, only a flow
/// that is valid and not suspended is queued.
pub(super) fn blocked_by<'r>(
    rivals: &'r [Rival],
    position: Position<'_>,
    policy: ConcurrencyPolicy,
) -> Option<&'r Rival> {
    if policy == ConcurrencyPolicy::Allow {
        return None;
    }
    let ahead = |rival: &&Rival| {
        !rival.over && (rival.started || rival.queued && (rival.created, rival.uid.as_str()) < position)
    };
    // A flow that runs is named before one that waits.
    rivals.iter().filter(ahead).min_by_key(|rival| (!rival.started, rival.created, rival.uid.clone()))
}

/// Returns the newer flow that replaces the one at `position`, if there is one.
pub(super) fn replaced_by<'r>(rivals: &'r [Rival], position: Position<'_>) -> Option<&'r Rival> {
    let takes_over = |rival: &&Rival| {
        rival.replaces
            && !rival.over
            && (rival.started || rival.queued)
            && (rival.created, rival.uid.as_str()) > position
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
            queued: true,
            replaces: false,
        }
    }

    fn me(second: i64) -> Position<'static> {
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
        let waiting = Rival { queued: false, ..rival("a", 1) };
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
        assert_eq!(replaced_by(&[Rival { queued: false, ..newer.clone() }], me(5)), None);
        assert_eq!(replaced_by(&[Rival { replaces: false, ..newer }], me(5)), None);
    }
}
