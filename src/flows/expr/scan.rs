//! One pass over an expression before it is parsed: bounds what hostile text could cost, brings names with `-` and
//! deprecated spellings into plain CEL, and keeps where every piece came from.

use std::borrow::Cow;

use cel::parser::pratt_parser::{Lexer, LexerPosition, Token, TokenKind};

use super::fault::Fault;
use super::names::{is_reserved, longest, path, run, show};
use super::{MAX_BYTES, Scope, go_template};
use crate::problem::code;

/// The deepest nesting of brackets; each costs the parser a few stack frames.
pub(super) const MAX_BRACKETS: usize = 32;
/// The deepest syntax tree, as far as tokens show: brackets, chains of operators and selections, conditionals. The
/// tree is walked and dropped recursively, on threads with 2 MiB of stack.
pub(super) const MAX_DEPTH: usize = 128;

/// An expression in plain CEL.
#[derive(Debug)]
pub(super) struct Scanned<'a> {
    pub(super) cel: Cow<'a, str>,
    /// Replaced pieces, ascending: (end in `cel`, end in the user's text).
    edits: Vec<(usize, usize)>,
    /// The first deprecated spelling and its modern form.
    pub(super) legacy: Option<(String, String)>,
}

impl Scanned<'_> {
    /// The offset in the user's text of an offset in `cel`.
    pub(super) fn origin(&self, offset: usize) -> usize {
        match self.edits.iter().rev().find(|(end, _)| *end <= offset) {
            Some((end, origin)) => origin + (offset - end),
            None => offset,
        }
    }
}

/// A map of names that stands at the root.
#[derive(Clone, Copy, PartialEq)]
enum Root {
    Parameters,
    Steps,
    Resources,
}

/// The scanner's position in a path such as `steps.load.outputs.rows`.
#[derive(Clone)]
enum Spot<'a> {
    Elsewhere,
    Root(Root),
    /// After `steps[` or `steps["load"`.
    Bracket(Option<&'a str>),
    Step(&'a str),
    Outputs(&'a str),
}

struct Scanner<'a, 's> {
    text: &'a str,
    scope: &'s dyn Scope,
    lexer: Lexer<'a>,
    cel: String,
    copied: usize,
    edits: Vec<(usize, usize)>,
    legacy: Option<(String, String)>,
    spot: Spot<'a>,
    /// True if the last token ends an operand, so that a `.` selects from it.
    operand: bool,
    /// True if the last token is a `.`.
    selected: bool,
    levels: Vec<Level>,
}

#[derive(Clone, Copy, Default)]
struct Level {
    conditionals: usize,
    chain: usize,
}

/// Translates `text` into plain CEL, or returns why that cannot be.
pub(super) fn scan<'a>(text: &'a str, scope: &dyn Scope) -> Result<Scanned<'a>, Fault> {
    if text.len() > MAX_BYTES {
        let what = format!("an expression has at most {MAX_BYTES} bytes, and this one has {}", text.len());
        return Err(too_large(0, what));
    }
    if let Some(fault) = go_template::refuse(text) {
        return Err(fault);
    }
    let mut scanner = Scanner {
        text,
        scope,
        lexer: Lexer::new(text),
        cel: String::new(),
        copied: 0,
        edits: Vec::new(),
        legacy: None,
        spot: Spot::Elsewhere,
        operand: false,
        selected: false,
        levels: vec![Level::default()],
    };
    loop {
        let token = scanner.lexer.lex();
        match token.kind {
            TokenKind::TokEnd => break,
            TokenKind::TokWhitespace | TokenKind::TokComment => {}
            TokenKind::TokError => scanner.error(token)?,
            _ => scanner.token(token)?,
        }
    }
    let Scanner { mut cel, copied, edits, legacy, .. } = scanner;
    let cel = if edits.is_empty() {
        Cow::Borrowed(text)
    } else {
        cel.push_str(&text[copied..]);
        Cow::Owned(cel)
    };
    Ok(Scanned { cel, edits, legacy })
}

impl<'a> Scanner<'a, '_> {
    fn token(&mut self, token: Token) -> Result<(), Fault> {
        use TokenKind as T;
        self.measure(token)?;
        let spot = std::mem::replace(&mut self.spot, Spot::Elsewhere);
        let selected = std::mem::replace(&mut self.selected, token.kind == T::TokDot);
        let word = &self.text[token.start..token.end];
        match token.kind {
            T::TokDot if !self.operand => return self.leading_dot(token),
            T::TokDot => {
                return match spot {
                    Spot::Root(root) => self.name(root, token),
                    Spot::Outputs(step) => {
                        self.known(token.end, |scope| scope.outputs(step), "outputs").map(|_| ())
                    }
                    // Kept for the property after the dot.
                    Spot::Step(_) => {
                        self.spot = spot;
                        Ok(())
                    }
                    _ => Ok(()),
                };
            }
            T::TokIdent if selected => {
                if let (Spot::Step(step), "outputs") = (spot, word) {
                    self.spot = Spot::Outputs(step);
                }
            }
            T::TokIdent => {
                self.spot = match word {
                    "parameters" => Spot::Root(Root::Parameters),
                    "steps" => Spot::Root(Root::Steps),
                    "resources" => Spot::Root(Root::Resources),
                    _ => Spot::Elsewhere,
                };
            }
            T::TokLeftBracket if matches!(spot, Spot::Root(Root::Steps)) => self.spot = Spot::Bracket(None),
            T::TokString if matches!(spot, Spot::Bracket(None)) => {
                self.spot = Spot::Bracket(Some(word.trim_matches(['"', '\''])));
            }
            T::TokRightBracket => {
                if let Spot::Bracket(Some(step)) = spot {
                    self.spot = Spot::Step(step);
                }
            }
            _ => {}
        }
        self.operand = matches!(
            token.kind,
            T::TokIdent
                | T::TokReservedWord
                | T::TokNull
                | T::TokTrue
                | T::TokFalse
                | T::TokInt
                | T::TokUint
                | T::TokFloat
                | T::TokString
                | T::TokBytes
                | T::TokRightBracket
                | T::TokRightBrace
                | T::TokRightParen
        );
        Ok(())
    }

    /// Counts the depth of the syntax tree.
    fn measure(&mut self, token: Token) -> Result<(), Fault> {
        use TokenKind as T;
        let count = self.levels.len();
        if let Some(level) = self.levels.last_mut() {
            match token.kind {
                T::TokLogicalAnd | T::TokLogicalOr | T::TokColon => level.chain = 0,
                T::TokComma => *level = Level::default(),
                T::TokQuestion => *level = Level { conditionals: level.conditionals + 1, chain: 0 },
                T::TokDot
                | T::TokMinus
                | T::TokPlus
                | T::TokAsterisk
                | T::TokSlash
                | T::TokPercent
                | T::TokExclamation
                | T::TokEqualEqual
                | T::TokExclamationEqual
                | T::TokLess
                | T::TokLessEqual
                | T::TokGreater
                | T::TokGreaterEqual
                | T::TokIn => level.chain += 1,
                T::TokLeftBracket | T::TokLeftBrace | T::TokLeftParen => {
                    level.chain += 1;
                    self.levels.push(Level::default());
                }
                T::TokRightBracket | T::TokRightBrace | T::TokRightParen if count > 1 => {
                    self.levels.pop();
                }
                _ => return Ok(()),
            }
        }
        let depth: usize = self.levels.iter().map(|level| 1 + level.conditionals + level.chain).sum();
        if self.levels.len() > MAX_BRACKETS || depth > MAX_DEPTH {
            return Err(too_large(token.start, "the expression is nested too deep".to_owned())
                .hint("compute a part of it in an input parameter"));
        }
        Ok(())
    }

    /// After `parameters.`, `steps.` or `resources.`: a name, which may have `-` in it.
    fn name(&mut self, root: Root, dot: Token) -> Result<(), Fault> {
        let name = match root {
            Root::Parameters => self.known(dot.end, |scope| scope.parameters(), "parameters"),
            Root::Resources => self.known(dot.end, |scope| scope.resources(), "resources"),
            Root::Steps => self.known(dot.end, |scope| scope.steps().to_vec(), "steps"),
        }?;
        if let (Root::Steps, Some(name)) = (root, name) {
            self.spot = Spot::Step(name);
            self.selected = false;
            self.operand = true;
        }
        Ok(())
    }

    /// Reads the whole name at `start`: the longest known one, else letters, digits and `-` before letters.
    fn known(
        &mut self,
        start: usize,
        names: impl FnOnce(&dyn Scope) -> Vec<&str>,
        root: &str,
    ) -> Result<Option<&'a str>, Fault> {
        let run = run(&self.text[start..]);
        if run.is_empty() {
            return Ok(None);
        }
        let plain = run.find('-').unwrap_or(run.len());
        let name = if plain == run.len() { run } else { longest(run, &names(self.scope)) };
        if is_reserved(name) {
            return Err(Fault::syntax(start, format!("`{name}` is a reserved word of CEL"))
                .hint(format!("write {root}[\"{name}\"]")));
        }
        let end = start + name.len();
        if name.len() > plain || name.starts_with(|c: char| c.is_ascii_digit()) {
            // `.name` becomes `["name"]`.
            self.replace(start - 1, end, &format!("[\"{name}\"]"));
        } else {
            self.go_on(end);
        }
        self.operand = true;
        self.selected = false;
        Ok(Some(name))
    }

    /// A `.` with nothing before it: zen-flow's spellings, or a Go template.
    fn leading_dot(&mut self, dot: Token) -> Result<(), Fault> {
        let end = dot.end + path(&self.text[dot.end..]).len();
        let old = &self.text[dot.start..end];
        let Some(modern) = go_template::modern(old) else {
            return Err(go_template::dotted(old, dot.start, self.scope));
        };
        self.old_spelling(dot.start, end, &modern);
        Ok(())
    }

    fn error(&mut self, token: Token) -> Result<(), Fault> {
        let rest = &self.text[token.start..];
        if let Some(inner) = rest.strip_prefix("${parameters.") {
            let name = run(inner);
            if inner[name.len()..].starts_with('}') && !name.is_empty() {
                let end = token.start + "${parameters.".len() + name.len() + 1;
                self.old_spelling(token.start, end, &show("parameters", name));
                return Ok(());
            }
        }
        let character = rest.chars().next().unwrap_or(' ');
        let message = self.lexer.get_error().map_or("", |error| error.message.as_str());
        Err(match character {
            '|' => go_template::pipe(self.text, token.start),
            '$' => go_template::fault(token.start, "`$` starts a Go template variable")
                .hint("write parameters.NAME, steps.NAME.phase or flow.name"),
            '&' => Fault::syntax(token.start, "unexpected `&`").hint("write && for \"and\""),
            _ if message.starts_with("unexpected") => {
                Fault::syntax(token.start, format!("unexpected `{character}`"))
            }
            _ if message.contains("unterminated") => {
                Fault::syntax(token.start, "a string is not closed").hint("close it with the same quote")
            }
            _ => Fault::syntax(token.start, message),
        })
    }

    fn old_spelling(&mut self, start: usize, end: usize, modern: &str) {
        if self.legacy.is_none() {
            self.legacy = Some((self.text[start..end].to_owned(), modern.to_owned()));
        }
        self.replace(start, end, modern);
        self.operand = true;
        self.selected = false;
        self.spot = Spot::Elsewhere;
    }

    fn replace(&mut self, start: usize, end: usize, with: &str) {
        self.cel.push_str(&self.text[self.copied..start]);
        self.cel.push_str(with);
        self.copied = end;
        self.edits.push((self.cel.len(), end));
        self.go_on(end);
    }

    fn go_on(&mut self, pos: usize) {
        self.lexer.restore_position(LexerPosition { pos, at_end: false, done: false, err: None });
    }
}

fn too_large(offset: usize, what: String) -> Fault {
    Fault { code: code::EXPRESSION_TOO_LARGE, offset, what, hint: None }
}
