//! "did you mean": the known name nearest to one that nobody knows.

/// The longest names that are worth comparing; above this a suggestion costs more than it helps.
const LONGEST: usize = 64;
/// At most this many known names are compared, so that a hostile object cannot make the search expensive.
const MOST: usize = 5_000;

/// A hint naming the nearest of `known`, if one is near enough: edit distance of at most 2 (1 for names of two or
/// three letters, 0 for one), the same letters in another case or with other separators, or singular against plural.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean \"{near}\"?"))
}

/// The nearest of `known`, ties broken by their order.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let limit = match name.chars().count() {
        1 => 0,
        2 | 3 => 1,
        _ => 2,
    };
    known
        .into_iter()
        .take(MOST)
        .filter(|candidate| *candidate != name && !candidate.is_empty())
        .filter_map(|candidate| rank(name, candidate, limit).map(|rank| (rank, candidate)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

fn rank(name: &str, candidate: &str, limit: usize) -> Option<usize> {
    if letters(name) == letters(candidate) || is_plural(name, candidate) || is_plural(candidate, name) {
        return Some(0);
    }
    distance(name, candidate, limit)
}

fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_plural(one: &str, many: &str) -> bool {
    many.strip_prefix(one).is_some_and(|rest| rest == "s" || rest == "es")
        || one.strip_suffix('y').is_some_and(|stem| many.strip_prefix(stem) == Some("ies"))
}

/// Damerau's edit distance (a swap of two neighbours is one edit), or `None` above `limit`.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.len().abs_diff(b.len()) > limit || b.len() > LONGEST {
        return None;
    }
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &cb) in b.iter().enumerate() {
            row[j + 1] = (last[j] + usize::from(ca != cb)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    Some(last[b.len()]).filter(|edits| *edits <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let known = ["extract", "transform", "load", "maxRows"];
        assert_eq!(nearest("extrct", known), Some("extract"));
        assert_eq!(nearest("laod", known), Some("load"));
        assert_eq!(nearest("loads", known), Some("load"));
        assert_eq!(nearest("max-rows", known), Some("maxRows"));
        assert_eq!(nearest("quality", known), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("ab", ["ax"]), Some("ax"));
        assert_eq!(nearest("ab", ["xy"]), None);
    }
}
