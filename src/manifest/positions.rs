//! Positions of the parts of an object in a text.

use std::collections::HashMap;
use std::rc::Rc;

use crate::problem::field_path::{FieldPath, Segment};

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// One past the last character, where it is on the same line.
    pub end_column: Option<usize>,
}

/// The places of a value and of everything in it.
#[derive(Clone, Debug)]
pub struct Positions(pub(super) Rc<Node>);

#[derive(Debug)]
pub(super) struct Node {
    pub position: Position,
    pub children: Children,
}

#[derive(Debug)]
pub(super) enum Children {
    None,
    /// By key, each with the key's own place.
    Map(HashMap<String, (Position, Rc<Node>)>),
    List(Vec<Rc<Node>>),
}

impl Node {
    fn child(&self, segment: &Segment) -> Option<(Option<Position>, &Rc<Node>)> {
        match (&self.children, segment) {
            (Children::Map(map), Segment::Field(key) | Segment::Key(key)) => {
                map.get(key).map(|(key, node)| (Some(*key), node))
            }
            // A key that is a number reads like an index.
            (Children::Map(map), Segment::Index(i)) => {
                map.get(&i.to_string()).map(|(key, node)| (Some(*key), node))
            }
            (Children::List(list), Segment::Index(i)) => list.get(*i).map(|node| (None, node)),
            _ => None,
        }
    }
}

impl Positions {
    /// Finds the position of the value at `path`, or of the nearest part around it; of its key if `key` is set.
    pub fn locate(&self, path: &FieldPath, key: bool) -> Option<Position> {
        let mut node = &self.0;
        let mut found = node.position;
        for (i, segment) in path.0.iter().enumerate() {
            let Some((key_position, child)) = node.child(segment) else { break };
            let last = i + 1 == path.0.len();
            let by_key = !matches!(child.children, Children::None)
                || (last && (key || matches!(segment, Segment::Key(_))));
            found = key_position.filter(|_| by_key).unwrap_or(child.position);
            node = child;
        }
        Some(found)
    }

    /// The positions inside the value at `path`, if it is there.
    pub fn at(&self, path: &FieldPath) -> Option<Self> {
        let mut node = &self.0;
        for segment in &path.0 {
            node = node.child(segment)?.1;
        }
        Some(Self(Rc::clone(node)))
    }
}
