//! The ConfigMaps and Secrets that have to be read before something can be evaluated. Found in the expressions, so
//! that all of them are asked for together.

use std::collections::{BTreeSet, HashSet};

use super::reader::Reader;
use super::{Lack, Source, Unready};
use crate::flows::declared::Parameter;
use crate::flows::expr;
use crate::flows::expr::Read;

impl Reader<'_> {
    /// Fails if ConfigMaps or Secrets have to be read before `reads` can be.
    pub(super) fn ask<'r>(&self, reads: impl IntoIterator<Item = &'r Read>) -> Result<(), Unready> {
        let needed = unread(self, reads)?;
        if needed.is_empty() { Ok(()) } else { Err(Unready::Needs(needed)) }
    }
}

/// Collects the objects that `reads` need and that were not read yet.
fn unread<'r>(
    reader: &Reader<'_>,
    reads: impl IntoIterator<Item = &'r Read>,
) -> Result<BTreeSet<Source>, Lack> {
    let mut needed = BTreeSet::new();
    let mut seen = HashSet::new();
    let mut open: Vec<String> = reads.into_iter().filter_map(parameter).collect();
    while let Some(name) = open.pop() {
        if seen.contains(&name) {
            continue;
        }
        // A missing parameter is reported where it is read.
        if let Some(found) = Parameter::find(reader.scene.flow, reader.step, &name) {
            let config = found.config_map_key().map(|key| Source::ConfigMap(key.name.clone()));
            let secret = found.secret_key().map(|key| Source::Secret(key.name.clone()));
            let sources = reader.scene.sources;
            let unread =
                |source: &Source| !sources.read.contains_key(source) && !sources.unread.contains_key(source);
            needed.extend(config.into_iter().chain(secret).filter(unread));
            if let Some(text) = found.expression() {
                let place = reader.place(found).field("valueFrom").field("expression");
                let parsed = reader.parse(text, &place, expr::parse_expression)?;
                let reads = parsed.iter().flat_map(|parsed| parsed.bind().reads);
                open.extend(reads.filter_map(|read| parameter(&read)));
            }
        }
        seen.insert(name);
    }
    Ok(needed)
}

fn parameter(read: &Read) -> Option<String> {
    match read {
        Read::Parameter(name) => Some(name.clone()),
        Read::Has(read) => parameter(read),
        _ => None,
    }
}
