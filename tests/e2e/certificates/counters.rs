//! What the API server counts about the calls of our webhooks.
//!
//! It counts a call that failed once for the webhook that could not be called, whether the user's request was refused
//! for it (failurePolicy Fail) or let through (Ignore).

use std::collections::BTreeMap;
use std::fmt;

use kube::Client;

/// The counters at one moment, each series by its labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Calls that failed: refused for it, or let through.
    pub(super) lost: BTreeMap<String, u64>,
    /// All calls, by the code of their answer.
    pub(super) calls: BTreeMap<String, u64>,
}

impl Counters {
    /// As they are now.
    pub(super) async fn read(client: &Client) -> Self {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        Self::parse(&client.request_text(request).await.unwrap())
    }

    fn parse(text: &str) -> Self {
        let mut counters = Self::default();
        for line in text.lines().filter(|line| line.contains(".headworks.kube-zen.io\"")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Some(series) = series.strip_prefix("apiserver_admission_webhook_") else { continue };
            let value = || value.parse::<u64>().unwrap();
            if series.starts_with("rejection_count{") && !series.contains("error_type=\"no_error\"")
                || series.starts_with("fail_open_count{")
            {
                counters.lost.insert(series.to_owned(), value());
            } else if series.starts_with("request_total{") {
                let code = series.split_once("code=\"").and_then(|(_, rest)| rest.split_once('"'));
                *counters.calls.entry(code.unwrap().0.to_owned()).or_default() += value();
            }
        }
        counters
    }

    /// What came on top of `before`; series that stand still are left out.
    pub(super) fn since(&self, before: &Self) -> Self {
        let grown = |now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>| {
            let more = |(name, value): (&String, &u64)| {
                let more = value - then.get(name).copied().unwrap_or_default();
                (more > 0).then(|| (name.clone(), more))
            };
            now.iter().filter_map(more).collect()
        };
        Self { lost: grown(&self.lost, &before.lost), calls: grown(&self.calls, &before.calls) }
    }

    pub(super) fn total_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    pub(super) fn total_lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it made {} webhook calls (by code {:?})", self.total_calls(), self.calls)?;
        write!(f, " and counts {} of them as failed {:?}", self.total_lost(), self.lost)
    }
}

#[test]
fn every_failure_is_counted_and_no_refusal() {
    let counters = Counters::parse(
        "# HELP apiserver_admission_webhook_rejection_count x\n\
         apiserver_admission_webhook_rejection_count{error_type=\"calling_webhook_error\",name=\"jobflows.headworks.kube-zen.io\",operation=\"CREATE\",rejection_code=\"0\",type=\"admit\"} 3\n\
         apiserver_admission_webhook_rejection_count{error_type=\"no_error\",name=\"jobflows.headworks.kube-zen.io\",operation=\"CREATE\",rejection_code=\"422\",type=\"admit\"} 5\n\
         apiserver_admission_webhook_rejection_count{error_type=\"calling_webhook_error\",name=\"other.example.com\",operation=\"CREATE\",rejection_code=\"0\",type=\"admit\"} 7\n\
         apiserver_admission_webhook_fail_open_count{name=\"services.headworks.kube-zen.io\",type=\"admit\"} 2\n\
         apiserver_admission_webhook_request_total{code=\"200\",name=\"jobflows.headworks.kube-zen.io\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"} 11\n\
         apiserver_admission_webhook_request_total{code=\"200\",name=\"jobflows.headworks.kube-zen.io\",operation=\"UPDATE\",rejected=\"false\",type=\"admit\"} 13\n",
    );
    assert_eq!((counters.total_lost(), counters.total_calls()), (5, 24));
    assert_eq!(counters.since(&counters), Counters::default());
}
