//! Log lines, and contents that never get into them.

use std::io;
use std::sync::{Arc, Mutex};

use headworks_webhook::Limits;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::rig::{PATH, Rig, review, until};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn each_review_is_one_line_and_no_object_is_in_any_at_the_finest_level() {
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(captured.clone())
        .finish()
        .init();
    let rig = Rig::start(Limits::default()).await;
    let mut client = rig.client().await;
    for name in ["log-fine", "wrong", "panic"] {
        let mut body: Value = serde_json::from_str(&review(name)).unwrap();
        let request = &mut body["request"];
        request["uid"] = format!("logged-{name}").into();
        for field in ["object", "oldObject", "options"] {
            request[field] = json!({"canary-key": "canary-value"});
        }
        request["userInfo"]["extra"] = json!({"canary-token": ["canary-token"]});
        client.post(PATH, body.to_string()).await.review();
        // As text where an object should be, cut short, and where the body must be refused.
        client.post(PATH, body.to_string().replace(r#""CREATE""#, r#""canary-verb""#)).await.review();
        client.post(PATH, body.to_string().replace("}}", "canary")).await.review();
        client.post("/nowhere", body.to_string()).await;
    }
    until(|| captured.text().contains("logged-panic")).await;
    let text = captured.text();
    assert!(
        !text.contains("canary"),
        "{}",
        text.lines().find(|line| line.contains("canary")).unwrap_or_default()
    );
    assert!(text.contains(r#""level":"TRACE""#), "the finest level was on");
    for (name, decision, causes) in
        [("log-fine", "allowed", 0), ("wrong", "denied", 1), ("panic", "panicked", 0)]
    {
        let uid = format!("logged-{name}");
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<Value> = events
            .filter(|event| {
                event["fields"]["uid"] == uid.as_str() && event["fields"]["decision"] != "malformed"
            })
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let fields = &lines[0]["fields"];
        assert_eq!(
            json!([fields["kind"], fields["operation"], fields["namespace"], fields["decision"]]),
            json!(["JobFlow", "CREATE", "team", decision])
        );
        assert!(fields["seconds"].is_f64());
        assert!(fields["causes"].is_u64() && (name == "panic" || fields["causes"] == causes));
        assert_eq!(lines[0]["span"]["name"], "review");
        assert_eq!(lines[0]["span"]["uid"], uid.as_str());
    }
}
