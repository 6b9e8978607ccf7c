//! Label selectors as text: `app=db,role in (primary,backup),!draining`.
//!
//! The grammar of `k8s.io/apimachinery/pkg/labels.Parse` without `<` and `>`. Errors carry the column, counted from 1
//! in characters. Commas mean "and"; `!=` and `notin` also match where the key is absent, as in Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::name_rules;

/// The longest text that is read.
pub const LONGEST: usize = 4_096;

/// A selector; without requirements it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// All of them must hold.
    pub requirements: Vec<Requirement>,
}

/// One condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The condition on its value.
    pub operator: Operator,
    /// Column at which it starts in the text, from 1.
    pub column: usize,
}

/// A condition on the value of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// It has one of these values: `=`, `==`, `in`.
    In(BTreeSet<String>),
    /// It is absent or has none of these values: `!=`, `notin`.
    NotIn(BTreeSet<String>),
    /// It is there: `key`.
    Exists,
    /// It is absent: `!key`.
    Absent,
}

/// The mistake for which a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at column {column}")]
pub struct SelectorError {
    /// Description of the mistake, for people.
    pub what: String,
    /// Column of the mistake, in characters from 1.
    pub column: usize,
}

/// Two requirements that no label can meet together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The label's key.
    pub key: String,
    /// Column of the requirement that makes it impossible.
    pub column: usize,
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > LONGEST {
            return Err(SelectorError { what: format!("longer than {LONGEST} characters"), column: 1 });
        }
        Parser { tokens: tokens(text), at: 0, end: text.chars().count() + 1 }.selector()
    }

    /// Tests whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels.get(&requirement.key)))
    }

    /// The keys of which no value can meet all requirements, in the order of the text.
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut keys: BTreeMap<&str, Vec<&Requirement>> = BTreeMap::new();
        for requirement in &self.requirements {
            keys.entry(&requirement.key).or_default().push(requirement);
        }
        let mut found: Vec<Contradiction> =
            keys.into_values().filter_map(|list| contradiction(&list)).collect();
        found.sort_by_key(|contradiction| contradiction.column);
        found
    }
}

impl Requirement {
    fn matches(&self, value: Option<&String>) -> bool {
        match (&self.operator, value) {
            (Operator::In(values), Some(value)) => values.contains(value),
            (Operator::NotIn(values), Some(value)) => !values.contains(value),
            (Operator::Exists, value) => value.is_some(),
            (Operator::Absent, value) => value.is_none(),
            (Operator::In(_), None) => false,
            (Operator::NotIn(_), None) => true,
        }
    }
}

/// Finds the requirement on one key that makes them impossible together, read from left to right.
fn contradiction(list: &[&Requirement]) -> Option<Contradiction> {
    let mut present = false;
    let mut absent = false;
    let mut allowed: Option<BTreeSet<&str>> = None;
    let mut refused: BTreeSet<&str> = BTreeSet::new();
    for requirement in list {
        match &requirement.operator {
            Operator::Exists => present = true,
            Operator::Absent => absent = true,
            Operator::In(values) => {
                present = true;
                let values = values.iter().map(String::as_str).filter(|value| !refused.contains(value));
                allowed = Some(match allowed {
                    Some(allowed) => values.filter(|value| allowed.contains(value)).collect(),
                    None => values.collect(),
                });
            }
            Operator::NotIn(values) => {
                if let Some(allowed) = &mut allowed {
                    allowed.retain(|value| !values.contains(*value));
                }
                refused.extend(values.iter().map(String::as_str));
            }
        }
        if present && absent || allowed.as_ref().is_some_and(BTreeSet::is_empty) {
            return Some(Contradiction { key: requirement.key.clone(), column: requirement.column });
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(&'static str),
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Word(text) | Self::Sign(text)) = self;
        write!(f, "`{}`", text.chars().take(40).collect::<String>())
    }
}

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

/// The tokens with their columns.
fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
    let mut list = Vec::new();
    let mut rest = text;
    let mut column = 1;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            list.push((Token::Sign(sign), column));
            sign.len()
        } else {
            let end = |c: char| c.is_whitespace() || "=!(),<>".contains(c);
            let length = rest.find(end).unwrap_or(rest.len());
            list.push((Token::Word(&rest[..length]), column));
            length
        };
        column += rest[..length].chars().count();
        rest = &rest[length..];
    }
    list
}

struct Parser<'a> {
    tokens: Vec<(Token<'a>, usize)>,
    at: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Selector, SelectorError> {
        let mut requirements = Vec::new();
        while self.peek().is_some() {
            requirements.push(self.requirement()?);
            match self.next() {
                None => break,
                Some((Token::Sign(","), column)) if self.peek().is_none() => {
                    return Err(SelectorError { what: "nothing follows the `,`".to_owned(), column });
                }
                Some((Token::Sign(","), _)) => {}
                Some(found) => return Err(unexpected(Some(found), "`,`", self.end)),
            }
        }
        Ok(Selector { requirements })
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let first = self.next();
        if let Some((Token::Sign("!"), column)) = first {
            let next = self.next();
            let key = key(next, self.end)?;
            return Ok(Requirement { key, operator: Operator::Absent, column });
        }
        let column = first.map_or(self.end, |(_, column)| column);
        let key = key(first, self.end)?;
        let operator = match self.peek() {
            None | Some(Token::Sign(",")) => Operator::Exists,
            Some(Token::Sign("=" | "==")) => {
                self.at += 1;
                Operator::In(BTreeSet::from([self.value()?]))
            }
            Some(Token::Sign("!=")) => {
                self.at += 1;
                Operator::NotIn(BTreeSet::from([self.value()?]))
            }
            Some(Token::Word("in")) => {
                self.at += 1;
                Operator::In(self.values()?)
            }
            Some(Token::Word("notin")) => {
                self.at += 1;
                Operator::NotIn(self.values()?)
            }
            Some(_) => {
                let next = self.next();
                return Err(unexpected(next, "`=`, `!=`, `in`, `notin` or `,`", self.end));
            }
        };
        Ok(Requirement { key, operator, column })
    }

    /// One value; nothing before a comma or the end is the empty one.
    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            None | Some(Token::Sign(",")) => Ok(String::new()),
            Some(_) => {
                let next = self.next();
                value(next, self.end)
            }
        }
    }

    /// Values in parentheses; an empty one may stand between commas, as in Kubernetes.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let open = self.next();
        if !matches!(open, Some((Token::Sign("("), _))) {
            return Err(unexpected(open, "`(`", self.end));
        }
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                Some((Token::Sign(","), _)) => {
                    values.insert(String::new());
                }
                Some((Token::Sign(")"), _)) => {
                    values.insert(String::new());
                    return Ok(values);
                }
                word => {
                    values.insert(value(word, self.end)?);
                    match self.next() {
                        Some((Token::Sign(","), _)) => {}
                        Some((Token::Sign(")"), _)) => return Ok(values),
                        other => return Err(unexpected(other, "`,` or `)`", self.end)),
                    }
                }
            }
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    fn next(&mut self) -> Option<(Token<'a>, usize)> {
        let token = self.tokens.get(self.at).copied();
        self.at += 1;
        token
    }
}

fn key(token: Option<(Token<'_>, usize)>, end: usize) -> Result<String, SelectorError> {
    let Some((Token::Word(word), column)) = token else { return Err(unexpected(token, "a key", end)) };
    match name_rules::qualified_name(word) {
        Some(wrong) => Err(SelectorError { what: format!("the key {} {wrong},", Token::Word(word)), column }),
        None => Ok(word.to_owned()),
    }
}

fn value(token: Option<(Token<'_>, usize)>, end: usize) -> Result<String, SelectorError> {
    let Some((Token::Word(word), column)) = token else { return Err(unexpected(token, "a value", end)) };
    match name_rules::label_value(word) {
        Some(wrong) => {
            Err(SelectorError { what: format!("the value {} {wrong},", Token::Word(word)), column })
        }
        None => Ok(word.to_owned()),
    }
}

fn unexpected(found: Option<(Token<'_>, usize)>, wanted: &str, end: usize) -> SelectorError {
    match found {
        Some((Token::Sign(sign @ ("<" | ">")), column)) => {
            SelectorError { what: format!("`{sign}` is not supported: {wanted} is wanted"), column }
        }
        Some((token, column)) => SelectorError { what: format!("{token} where {wanted} is wanted"), column },
        None => SelectorError { what: format!("it ends where {wanted} is wanted"), column: end },
    }
}

#[cfg(test)]
mod tests;
