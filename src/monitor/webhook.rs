//! Reports, posted somewhere.
//!
//! What cannot be delivered after a few attempts, or does not fit into the queue, is dropped and counted: the reports on
//! standard output are the ones that are not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tokio::runtime::Builder;

use super::report::Report;

/// Most reports that wait.
pub const MAX_QUEUED: usize = 1000;
/// How often one is sent at most.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where reports are posted, one a request, as JSON.
pub struct Webhook {
    queue: Option<SyncSender<Vec<u8>>>,
    dropped: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Webhook {
    /// Begins to deliver to a URL.
    pub fn start(url: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|error| error.to_string())?;
        let (queue, reports) = sync_channel(MAX_QUEUED);
        let dropped = Arc::new(AtomicU64::new(0));
        let ending = Arc::new(AtomicBool::new(false));
        let (lost, ends) = (Arc::clone(&dropped), Arc::clone(&ending));
        let work = move || deliver(&http, &url, &reports, &lost, &ends);
        let worker = thread::Builder::new().name("webhook".into()).spawn(work);
        Ok(Self { queue: Some(queue), dropped, ending, worker: Some(worker.map_err(|error| error.to_string())?) })
    }

    /// Queues a report.
    pub fn send(&self, report: &Report) {
        let json = serde_json::to_vec(report).expect("a report is a map with text keys");
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(json).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports that were not delivered.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        drop(self.queue.take());
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn deliver(
    http: &reqwest::Client,
    url: &reqwest::Url,
    reports: &Receiver<Vec<u8>>,
    dropped: &AtomicU64,
    ending: &AtomicBool,
) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let mut is_away = false;
    while let Ok(report) = reports.recv() {
        // At the end nobody waits for one who does not answer.
        let is_ending = ending.load(Ordering::SeqCst);
        let attempts = if is_ending { 1 } else { ATTEMPTS };
        is_away = (is_ending && is_away) || !runtime.block_on(post(http, url, &report, attempts));
        dropped.fetch_add(u64::from(is_away), Ordering::Relaxed);
    }
}

async fn post(http: &reqwest::Client, url: &reqwest::Url, report: &[u8], attempts: u32) -> bool {
    let mut pause = FIRST_PAUSE;
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let request = http.post(url.clone()).header(CONTENT_TYPE, "application/json").body(report.to_vec());
        if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return true;
        }
    }
    false
}
