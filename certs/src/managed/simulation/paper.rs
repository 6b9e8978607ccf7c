//! Fake certificates without cryptography, for speed: a line of text holds the facts of an X.509 certificate.

use std::cell::Cell;

use jiff::Timestamp;

use crate::facts::Facts;
use crate::issue::{IssueError, KeyPem, Lifetimes};
use crate::managed::plan::notary::Notary;
use crate::managed::plan::secret::Material;
use crate::pair::Rejection;

/// Makes fake certificates, numbered from 1.
#[derive(Clone, Default)]
pub(super) struct Paper(Cell<u64>);

/// One fake certificate: the line `ca|leaf SERIAL FROM TO SIGNER NAME,NAME`.
struct Sheet<'a> {
    is_ca: bool,
    serial: &'a str,
    from: i64,
    to: i64,
    signer: &'a str,
    names: &'a str,
}

impl<'a> Sheet<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let is_ca = match words.next()? {
            "ca" => true,
            "leaf" => false,
            _ => return None,
        };
        let serial = words.next()?;
        let (from, to) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { is_ca, serial, from, to, signer: words.next()?, names: words.next()? })
    }

    fn valid_at(&self, now: Timestamp) -> bool {
        (self.from..=self.to).contains(&now.as_second())
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.split(',').any(|one| one == name)
    }
}

fn sheets(text: &[u8]) -> impl Iterator<Item = (&str, Sheet<'_>)> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.lines().filter_map(|line| Sheet::read(line).map(|sheet| (line, sheet)))
}

impl Paper {
    fn make(
        &self,
        kind: &str,
        signer: Option<&str>,
        names: &str,
        (lifetimes, now, until): (&Lifetimes, Timestamp, Timestamp),
    ) -> Material {
        let number = self.0.get() + 1;
        self.0.set(number);
        // The last four digits are the jitter.
        let serial = format!("{number:06x}{:04x}", number.wrapping_mul(40_503) & 0xffff);
        let from = (now - lifetimes.backdate).as_second();
        let signer = signer.unwrap_or(&serial);
        let cert = format!("{kind} {serial} {from} {} {signer} {names}\n", until.as_second());
        Material { cert: cert.into_bytes(), key: Some(KeyPem::new(serial)) }
    }
}

impl Notary for Paper {
    fn facts(&self, cert: &[u8]) -> Result<Facts, String> {
        let (_, sheet) = sheets(cert).next().ok_or("no certificate")?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(|error| error.to_string());
        Ok(Facts {
            serial: sheet.serial.to_owned(),
            not_before: time(sheet.from)?,
            not_after: time(sheet.to)?,
            names: sheet.names.split(',').map(str::to_owned).collect(),
            is_ca: sheet.is_ca,
            server_auth: !sheet.is_ca,
        })
    }

    fn signs(&self, ca: &Material) -> Result<(), IssueError> {
        let facts = self.facts(&ca.cert).map_err(IssueError::Authority)?;
        let key = ca.key.as_ref().ok_or(IssueError::Key)?;
        if key.expose() == facts.serial { Ok(()) } else { Err(IssueError::Mismatch) }
    }

    fn pair(&self, leaf: &Material, name: &str, now: Timestamp) -> Result<Facts, Rejection> {
        let facts = self.facts(&leaf.cert).map_err(Rejection::Certificate)?;
        if leaf.key.as_ref().is_none_or(|key| key.expose() != facts.serial) {
            return Err(Rejection::Mismatch);
        }
        if now < facts.not_before {
            return Err(Rejection::NotYetValid { not_before: facts.not_before, now });
        }
        if facts.not_after < now {
            return Err(Rejection::Expired { not_after: facts.not_after, now });
        }
        if !facts.names.iter().any(|one| one == name) {
            return Err(Rejection::Name { expected: name.to_owned(), found: facts.names });
        }
        Ok(facts)
    }

    fn bundle(&self, sources: &[&[u8]], now: Timestamp) -> Vec<String> {
        let all = sources.iter().flat_map(|text| sheets(text));
        let mut members: Vec<_> = all
            .filter(|(_, sheet)| now.as_second() <= sheet.to)
            .map(|(line, _)| format!("{line}\n"))
            .collect();
        members.sort_unstable();
        members.dedup();
        members
    }

    fn verify(&self, bundle: &[u8], leaf: &[u8], name: &str, now: Timestamp) -> Result<(), String> {
        let (_, leaf) = sheets(leaf).next().ok_or("no certificate")?;
        let signed = sheets(bundle).any(|(_, ca)| ca.is_ca && ca.serial == leaf.signer && ca.valid_at(now));
        let sound = signed && leaf.is_named(name) && leaf.valid_at(now);
        if sound { Ok(()) } else { Err("does not verify".to_owned()) }
    }

    fn make_ca(&self, name: &str, lifetimes: &Lifetimes, now: Timestamp) -> Result<Material, IssueError> {
        Ok(self.make("ca", None, name, (lifetimes, now, now + lifetimes.ca)))
    }

    fn make_leaf(
        &self,
        ca: &Material,
        names: &[String],
        lifetimes: &Lifetimes,
        now: Timestamp,
    ) -> Result<Material, IssueError> {
        self.signs(ca)?;
        let authority = self.facts(&ca.cert).map_err(IssueError::Authority)?;
        let until = (now + lifetimes.leaf).min(authority.not_after);
        Ok(self.make("leaf", Some(&authority.serial), &names.join(","), (lifetimes, now, until)))
    }
}
