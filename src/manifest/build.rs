//! From the events of the YAML parser to a JSON value and the places of its parts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::positions::{Children, Node, Position, Positions};
use super::scalar;
use super::split::{Chunk, Lines};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 200;
/// The most values that all aliases of a document may add: go-yaml refuses "excessive aliasing" as well.
const MAX_ALIASED: usize = 100_000;

/// Line, column (both from 1) and what is wrong.
type Fault = (usize, usize, String);

/// Reads one document; `None` if there is nothing in it but comments.
pub(super) fn document(chunk: &Chunk<'_>, lines: &Lines) -> Result<Option<(Value, Positions)>, Fault> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        block_scalar_eof_without_line_feed: true,
    };
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(chunk.text, options),
        chunk,
        lines,
        anchors: HashMap::new(),
        aliased: 0,
        depth: 0,
    };
    let read = reader.stream();
    if !chunk.json {
        return read.map(|read| read.map(|built| (built.value, Positions(built.node))));
    }
    // JSON's own reading of numbers and escapes holds; the events only tell where things are.
    let value: Value = serde_json::from_str(chunk.text)
        .map_err(|error| (chunk.line + error.line(), error.column(), format!("this is no JSON: {error}")))?;
    let node = match read {
        Ok(Some(built)) => built.node,
        Err((line, column, message)) if message.starts_with(DUPLICATE) => {
            return Err((line, column, message));
        }
        _ => reader.leaf(chunk.line + 1, chunk.column + 1, None),
    };
    Ok(Some((value, Positions(node))))
}

const DUPLICATE: &str = "duplicate key";

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    chunk: &'a Chunk<'a>,
    lines: &'a Lines,
    anchors: HashMap<usize, Built>,
    aliased: usize,
    depth: usize,
}

/// A value, the places of its parts, and how many values it holds, itself included.
#[derive(Clone)]
struct Built {
    value: Value,
    node: Rc<Node>,
    size: usize,
}

impl<'a> Reader<'a> {
    fn stream(&mut self) -> Result<Option<Built>, Fault> {
        let mut document = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if document.is_some() => {
                    let (line, column) = self.place(&span);
                    let message = "content after the end of the document is ignored by kubectl; \
                                   separate documents by a line of `---`";
                    return Err((line, column, message.to_owned()));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => document = Some(self.node(event, &span)?),
            }
        }
        // Nothing but comments, or an empty document.
        Ok(document.filter(|built| !built.value.is_null()))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn expect_next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        let line = self.chunk.line + 1;
        self.next()?.ok_or_else(|| (line, 1, "the document ends too early".to_owned()))
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let (line, column) = self.shift(error.marker().line(), error.marker().col());
        let message = match error.kind() {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation => "a tab may not stand here; indent with spaces".to_owned(),
            _ => format!("cannot be read: {}", error.info()),
        };
        (line, column, message)
    }

    /// Line and column in the file of a place in the chunk.
    fn shift(&self, line: usize, column: usize) -> (usize, usize) {
        let before = if line <= 1 { self.chunk.column } else { 0 };
        self.lines.clamp(self.chunk.line + line, before + column + 1)
    }

    fn place(&self, span: &Span) -> (usize, usize) {
        self.shift(span.start.line(), span.start.col())
    }

    fn position(&self, span: &Span) -> Position {
        let (line, column) = self.place(span);
        let (end_line, end) = self.shift(span.end.line(), span.end.col());
        Position { line, column, end_column: (end_line == line && end > column).then_some(end) }
    }

    fn leaf(&self, line: usize, column: usize, end_column: Option<usize>) -> Rc<Node> {
        let (line, column) = self.lines.clamp(line, column);
        Rc::new(Node { position: Position { line, column, end_column }, children: Children::None })
    }

    fn fault<T>(&self, span: &Span, message: impl Into<String>) -> Result<T, Fault> {
        let (line, column) = self.place(span);
        Err((line, column, message.into()))
    }

    fn node(&mut self, event: Event<'a>, span: &Span) -> Result<Built, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fault(span, format!("is nested deeper than {MAX_DEPTH} levels"));
        }
        let (built, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = resolve(&text, style, tag.as_deref()).or_else(|wrong| self.fault(span, wrong))?;
                let node = Rc::new(Node { position: self.position(span), children: Children::None });
                (Built { value, node, size: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(span)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(span)?, anchor),
            Event::Alias(anchor) => {
                let Some(built) = self.anchors.get(&anchor).cloned() else {
                    return self.fault(span, "the alias stands inside its own anchor");
                };
                self.aliased += built.size;
                if self.aliased > MAX_ALIASED {
                    return self.fault(
                        span,
                        format!("the aliases stand for more than {MAX_ALIASED} values together"),
                    );
                }
                (built, 0)
            }
            _ => return self.fault(span, "a value is needed here"),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        self.depth -= 1;
        Ok(built)
    }

    fn sequence(&mut self, span: &Span) -> Result<Built, Fault> {
        let (mut values, mut nodes, mut size) = (Vec::new(), Vec::new(), 1);
        loop {
            let (event, inner) = self.expect_next()?;
            if event == Event::SequenceEnd {
                break;
            }
            let built = self.node(event, &inner)?;
            size += built.size;
            values.push(built.value);
            nodes.push(built.node);
        }
        let node = Node { position: self.start(span), children: Children::List(nodes) };
        Ok(Built { value: Value::Array(values), node: Rc::new(node), size })
    }

    fn mapping(&mut self, span: &Span) -> Result<Built, Fault> {
        let (mut map, mut places, mut size) = (Map::new(), HashMap::new(), 1);
        let mut written: HashSet<String> = HashSet::new();
        loop {
            let (event, at) = self.expect_next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, &at)?;
            let (event, inner) = self.expect_next()?;
            let built = self.node(event, &inner)?;
            size += built.size + 1;
            if merge {
                // Merged keys count at the place of the merge, as in go-yaml 2: later keys win.
                if !merge_into(&mut map, &mut places, &built) {
                    return self.fault(&inner, "`<<` merges an object or a list of objects");
                }
                continue;
            }
            if key.value.is_array() || key.value.is_object() {
                return self.fault(&at, "a key must be a text, a number or true or false");
            }
            let key = scalar::key(key.value).or_else(|wrong| self.fault(&at, wrong))?;
            if !written.insert(key.clone()) {
                let first = places.get(&key).map_or(0, |(position, _): &(Position, _)| position.line);
                return self
                    .fault(&at, format!("{DUPLICATE} \"{key}\", which stands in line {first} already"));
            }
            places.insert(key.clone(), (self.position(&at), built.node));
            map.insert(key, built.value);
        }
        let node = Node { position: self.start(span), children: Children::Map(places) };
        Ok(Built { value: Value::Object(map), node: Rc::new(node), size })
    }

    /// The place where a list or object starts.
    fn start(&self, span: &Span) -> Position {
        let (line, column) = self.place(span);
        Position { line, column, end_column: None }
    }
}

type Places = HashMap<String, (Position, Rc<Node>)>;

fn merge_into(map: &mut Map<String, Value>, places: &mut Places, from: &Built) -> bool {
    match (&from.value, &from.node.children) {
        (Value::Object(values), Children::Map(nodes)) => {
            for (key, value) in values {
                map.insert(key.clone(), value.clone());
                if let Some((position, node)) = nodes.get(key) {
                    places.insert(key.clone(), (*position, Rc::clone(node)));
                }
            }
            true
        }
        // The first of a list wins.
        (Value::Array(values), Children::List(nodes)) => {
            values.iter().zip(nodes).rev().all(|(value, node)| {
                value.is_object()
                    && merge_into(
                        map,
                        places,
                        &Built { value: value.clone(), node: Rc::clone(node), size: 1 },
                    )
            })
        }
        _ => false,
    }
}

fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let own = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
    match (own, style) {
        (Some(Cow::Borrowed(name)), _) => scalar::tagged(name, text),
        (Some(Cow::Owned(name)), _) => scalar::tagged(&name, text),
        // `! 5` is a text by YAML's rule for the non-specific tag.
        (None, _) if tag.is_some_and(|tag| tag.original() == "!") => Ok(Value::from(text)),
        (None, ScalarStyle::Plain) => scalar::plain(text),
        _ => Ok(Value::from(text)),
    }
}
