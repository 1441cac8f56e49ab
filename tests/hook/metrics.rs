//! What is counted, and under which names.

use super::scene::*;
use metrics_exporter_prometheus::PrometheusBuilder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_counted_once_under_the_channel_and_the_name_of_its_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).expect("the only recorder of these tests");
    let stage = stage(|_| {}).await;
    let body = reply("m-1");
    let line = format!("X-Hook-Signature: {}", signature(SECRET, &body));
    let close = "Connection: close";
    for row in [
        request("/hooks/counted", &[&line, close], &body),
        request("/hooks/counted", &[&line, close], &body),
        request("/hooks/counted", &[&line], "{}"),
        request("/hooks/counted", &[], "{}"),
        request("/hooks/stranger", &[&line], &body),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        send(stage.address, &row).await;
    }
    let text = handle.render();
    let count = |channel: &str, outcome: &str| {
        let name = format!("missived_hook_requests_total{{channel=\"{channel}\",outcome=\"{outcome}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.parse::<u64>().expect("a number")
    };
    let outcomes = ["accepted", "repeated", "signature_wrong", "signature_missing", "kafka_late", "unknown_channel"];
    assert_eq!(outcomes.map(|outcome| count("counted", outcome)), [1, 1, 1, 1, 0, 0]);
    assert!(count("unknown", "unknown_channel") >= 1);
    assert!(count("unknown", "malformed") >= 1);
    assert!(!text.contains("stranger"), "{text}");
}
