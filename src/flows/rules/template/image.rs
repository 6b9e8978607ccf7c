//! References to images (`github.com/distribution/reference`).

use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// Checks an image reference.
pub(super) fn check(image: &str, place: &Place<'_>) -> Option<Problem> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    // The last colon starts a tag unless a `/` follows: then it belongs to the registry's port.
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    if let Some((what, hint)) = wrong(path, tag, digest) {
        return Some(Problem::invalid(code::IMAGE, place, image, what).maybe_hint(hint));
    }
    if digest.is_some() {
        return None;
    }
    match tag {
        None => Some(
            Problem::warning(code::IMAGE_TAG, place, format!("`{image}` has no tag")).hint("name a version"),
        ),
        Some("latest") => Some(
            Problem::warning(code::IMAGE_TAG, place, format!("`{image}` changes under its tag"))
                .hint("name a version"),
        ),
        Some(_) => None,
    }
}

/// Describes the mistake in a reference, with a fix.
fn wrong(path: &str, tag: Option<&str>, digest: Option<&str>) -> Option<(String, Option<String>)> {
    let (domain, repository) = match path.split_once('/') {
        Some((first, rest)) if is_domain(first) => (Some(first), rest),
        _ => (None, path),
    };
    let sound = domain.is_none_or(is_sound_domain)
        && is_repository(repository)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest);
    if sound {
        return None;
    }
    let words = |what: &str| Some((what.to_owned(), None));
    if [Some(path), tag, digest].into_iter().flatten().any(|part| part.contains(char::is_whitespace)) {
        return words("must not contain blanks");
    }
    if path.is_empty() {
        return words("has no name");
    }
    if path.contains("://") {
        return Some((
            "must not start with a scheme".to_owned(),
            Some("remove what is before the host".to_owned()),
        ));
    }
    if !domain.is_none_or(is_sound_domain) {
        return words("the registry before the first `/` is malformed");
    }
    if repository.len() > 255 {
        return words("the name must be no more than 255 characters");
    }
    if !is_repository(repository) {
        if repository.bytes().any(|c| c.is_ascii_uppercase()) {
            let lower = repository.to_ascii_lowercase();
            let near = is_repository(&lower).then(|| format!("write `{lower}`"));
            return Some(("the repository must be lower case".to_owned(), near));
        }
        return words("the repository must be lower case letters and digits, joined by `.`, `_`, `-` or `/`");
    }
    if !tag.is_none_or(is_tag) {
        return words(
            "the tag must be 1 to 128 letters, digits, `_`, `.` and `-`, and not start with `.` or `-`",
        );
    }
    words("the digest must be an algorithm, `:` and its hexadecimal value, such as sha256:...")
}

/// The first part of a path is a registry if it could be no directory of Docker Hub.
fn is_domain(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|c| c.is_ascii_uppercase())
}

fn is_sound_domain(domain: &str) -> bool {
    let (host, port) = if let Some(end) = domain.find(']') {
        let (host, rest) = domain.split_at(end + 1);
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or_default();
        let hex =
            !address.is_empty() && address.bytes().all(|c| c.is_ascii_hexdigit() || c == b':' || c == b'.');
        if !hex || !(rest.is_empty() || rest.starts_with(':')) {
            return false;
        }
        return rest.is_empty() || is_port(&rest[1..]);
    } else {
        domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)))
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit())
}

fn is_repository(path: &str) -> bool {
    path.len() <= 255 && path.split('/').all(is_component)
}

/// Runs of letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !edge(first) || !edge(last) {
        return false;
    }
    let mut run = 0..0;
    for (i, &c) in bytes.iter().enumerate() {
        if edge(c) {
            let joint = &bytes[run.clone()];
            if !(joint.is_empty() || matches!(joint, b"." | b"_" | b"__") || joint.iter().all(|&c| c == b'-'))
            {
                return false;
            }
            run = i + 1..i + 1;
        } else {
            run.end = i + 1;
        }
    }
    true
}

fn is_tag(tag: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|c| word(c) || c == b'.' || c == b'-')
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let sound = !algorithm.is_empty()
            && algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && algorithm.bytes().all(|c| c.is_ascii_alphanumeric() || b"+._-".contains(&c));
        let length = match algorithm {
            "sha256" => hex.len() == 64,
            "sha512" => hex.len() == 128,
            _ => hex.len() >= 32,
        };
        sound && length && hex.bytes().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(image: &str) -> Option<String> {
        check(image, &Place::ROOT).map(|problem| problem.message())
    }

    #[test]
    fn sound_references_with_a_version_pass() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for image in [
            "busybox:1.36",
            "library/busybox:1.36",
            "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "localhost:5000/a/b__c/d---e:v1",
            "[::1]:5000/a:1",
            "ghcr.io/Org.x/a:1",
            &format!("busybox@{digest}"),
            &format!("busybox:latest@{digest}"),
        ] {
            if image != "ghcr.io/Org.x/a:1" {
                assert_eq!(words(image), None, "{image}");
            }
        }
    }

    #[test]
    fn malformed_references_are_told() {
        for image in [
            "Busybox:1",
            "bus ybox:1",
            "busybox:",
            ":1",
            "a//b:1",
            "/a:1",
            "a/:1",
            "a:-1",
            "a@sha256:xyz",
            "a@",
            "-a:1",
            "a_-b:1",
            "https://docker.io/a:1",
            "a..b:1",
            "host:port/a:1",
            "docker.io/Library/a:1",
        ] {
            let words = words(image).unwrap_or_default();
            assert!(words.contains("(HW514)"), "{image}: {words}");
        }
        assert!(words("Busybox:1").unwrap_or_default().contains("write `busybox`"));
    }

    #[test]
    fn an_image_without_a_fixed_tag_is_a_warning() {
        assert_eq!(words("busybox").as_deref(), Some("`busybox` has no tag; name a version (HW901)"));
        assert!(words("localhost:5000/busybox").unwrap_or_default().contains("HW901"));
        assert!(words("busybox:latest").unwrap_or_default().contains("HW901"));
    }
}
