//! The engine: a log that is open for writing and reading.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, oneshot, watch};

use super::erasure::{BodyToErase, EraseError, MAX_PENDING_ERASURES, Order};
use super::error::{ReadError, SubmitError};
use super::flush::Flushed;
use super::machine::{Machine, Weight};
use super::manifest::{MAX_NOTE_LEN, PublishedNote};
use super::owed::{OwedErasure, OwedErasures};
use super::pool::{Answer, Control, Pool};
use super::reader::{KeptBody, LogReader, Store};
use super::tail::Tail;
use super::view::{LogView, Published};
use crate::hash::Hash;
use crate::merkle::{LeafIndex, TreeSize};
use crate::storage::StorageError;

/// Signs a checkpoint of this size and root; gives the note.
pub type Sign = Arc<dyn Fn(TreeSize, &Hash) -> Vec<u8> + Send + Sync>;

/// A log that is open. Cloning gives another handle on the same log. With the last handle it is closed.
pub struct Engine<M: Machine> {
    shared: Arc<Shared<M>>,
    open: Arc<Open<M>>,
}

impl<M: Machine> Clone for Engine<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), open: Arc::clone(&self.open) }
    }
}

/// The threads of an open log.
struct Open<M: Machine> {
    shared: Arc<Shared<M>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What has to live as long as the log is open: the lock of its directory.
    kept: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl<M: Machine> Open<M> {
    fn close(&self) {
        self.shared.pool.close();
        // Whoever else closes it waits here.
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // Whoever drops the last handle from a waker may be one of them: it ends by itself.
            if thread.thread().id() != std::thread::current().id() {
                // A thread that panicked has latched the engine; there is nothing left to wait for.
                let _ = thread.join();
            }
        }
    }
}

/// Else its threads would hold the files for ever, and the lock would be gone before them.
impl<M: Machine> Drop for Open<M> {
    fn drop(&mut self) {
        self.close();
    }
}

/// An answer that is on its way.
pub struct Pending<M: Machine>(oneshot::Receiver<Answer<M>>);

impl<M: Machine> Pending<M> {
    /// Waits for the commit that the answer rests on.
    pub async fn answer(self) -> Answer<M> {
        self.0.await.unwrap_or_else(|_| lost())
    }

    /// The same on a thread that may block.
    pub fn blocking_answer(self) -> Answer<M> {
        self.0.blocking_recv().unwrap_or_else(|_| lost())
    }
}

impl<M: Machine> Engine<M> {
    pub(crate) fn new(shared: Arc<Shared<M>>, threads: Vec<JoinHandle<()>>) -> Self {
        let open = Open { shared: Arc::clone(&shared), threads: Mutex::new(threads), kept: OnceLock::new() };
        Self { shared, open: Arc::new(open) }
    }

    /// Keeps a value until the last handle is gone.
    pub fn keep(&self, value: Box<dyn Any + Send + Sync>) {
        // A second value would be a second directory, and there is one.
        let _ = self.open.kept.set(value);
    }

    /// Queues a group of entries; at once an error if the pool is full.
    pub fn submit(&self, group: M::Group) -> Result<Pending<M>, SubmitError<M::Refusal>> {
        if let Some(latched) = self.latched() {
            tracing::debug!(reason = latched, "refused");
            return Err(SubmitError::Latched { may_be_logged: false });
        }
        if self.shared.latch.is_held() {
            return Err(SubmitError::Held);
        }
        self.shared.pool.submit(group).map(Pending)
    }

    /// The newest durable size.
    pub fn view(&self) -> Arc<LogView<M::State>> {
        self.shared.view()
    }

    /// What is served at `/checkpoint`; `None` before the first publication.
    pub fn published(&self) -> Option<Arc<Published<M::State>>> {
        self.shared.published.load_full().as_ref().clone()
    }

    /// Reads the log at the size of a view.
    pub fn reader<'a>(&'a self, view: &'a LogView<M::State>) -> LogReader<'a> {
        LogReader::new(&self.shared.store, &view.tail)
    }

    /// Publishes the checkpoint of a view, signed by the log key: durable before it is served. One that is older than
    /// the published one is ignored.
    pub async fn publish(&self, view: &LogView<M::State>, note: Vec<u8>) -> Result<(), StorageError> {
        let published = PublishedNote { size: view.size(), root: view.root(), note };
        self.publish_note(published, view.state().clone()).await
    }

    pub(crate) async fn publish_note(&self, published: PublishedNote, state: M::State) -> Result<(), StorageError> {
        if published.note.len() > MAX_NOTE_LEN {
            let source = std::io::Error::other("the note is longer than could be read back");
            return Err(StorageError::Io { op: "publication", name: "a checkpoint".into(), source });
        }
        let (answer, done) = oneshot::channel();
        self.shared.pool.control(Control::Publish(published, state, answer));
        done.await.unwrap_or_else(|_| Err(stopped("publication")))
    }

    /// Tells the sequencer something.
    pub(crate) fn control(&self, control: Control<M>) {
        self.shared.pool.control(control);
    }

    /// Bytes that are committed and not flushed.
    pub(crate) fn unflushed(&self) -> usize {
        self.shared.unflushed()
    }

    /// Erases the body that is kept beside an entry, and its salt. Returns when neither is in any file of the log, which
    /// takes a flush. Once it has returned no view gives them out, not even one that was taken before. One that was
    /// erased before is erased. Who stops waiting does not stop it. At most [`MAX_PENDING_ERASURES`] may be under way.
    pub async fn erase(&self, index: LeafIndex) -> Result<(), EraseError> {
        let Some(done) = self.order_erasure(index)? else { return Ok(()) };
        done.await.unwrap_or_else(|_| Err(stopped("erasure"))).map_err(EraseError::from)
    }

    /// Orders an erasure that can be carried out, as far as can be seen; `None` where it is done already.
    fn order_erasure(&self, index: LeafIndex) -> Result<Option<ErasureAnswer>, EraseError> {
        let (view, store) = (self.view(), &self.shared.store);
        let reader = self.reader(&view);
        match reader.body(index)? {
            KeptBody::Absent => return Err(EraseError::NoBody),
            // What does not count as under way any more is finished.
            KeptBody::Erased if !store.is_being_erased(index) => return Ok(None),
            KeptBody::Kept(_) | KeptBody::Erased => {}
        }
        if self.latched().is_some() {
            return Err(EraseError::Stopped);
        }
        let place = Arc::clone(&self.shared.erasure_places).try_acquire_owned();
        let place = place.map_err(|_| EraseError::Overloaded)?;
        let body = self.erasable(&reader, index).map_err(|error| match error {
            // It was ordered before, and the damage came after that.
            ReadError::Damaged { .. } if store.is_being_erased(index) => EraseError::Owed(error),
            error => error.into(),
        })?;
        let (order, done) = Order::new(body, place);
        self.shared.pool.control(Control::Erase(order));
        Ok(Some(done))
    }

    /// A body that an order can be given for. The error tells where a file is damaged.
    fn erasable(&self, reader: &LogReader<'_>, index: LeafIndex) -> Result<BodyToErase, ReadError> {
        let body = BodyToErase { index, len: M::body_len(&reader.entry(index)?) };
        self.shared.store.check_erasable(&body, **self.shared.flushed.load())?;
        Ok(body)
    }

    /// Erasures that are ordered and wait for the repair of a damaged file. The bodies are given to nobody.
    pub fn owed_erasures(&self) -> Vec<OwedErasure> {
        self.shared.owed().values().cloned().collect()
    }

    /// Flushes everything that is committed by now, and returns when it is in the public files.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let (answer, done) = oneshot::channel();
        self.shared.pool.control(Control::Flush(answer));
        done.await.unwrap_or_else(|_| Err(stopped("flush")))
    }

    /// Tells of every new view, and of every publication.
    pub fn changes(&self) -> watch::Receiver<TreeSize> {
        self.shared.sizes.subscribe()
    }

    /// Why the engine takes no more writes, if it does not.
    pub fn latched(&self) -> Option<&str> {
        self.shared.latch.reason()
    }

    /// Takes no groups until [`Engine::admit`]; those that were queued before are sequenced. Reads go on.
    pub fn hold(&self) {
        self.shared.latch.set_held(true);
    }

    /// Takes groups again.
    pub fn admit(&self) {
        self.shared.latch.set_held(false);
    }

    /// Whether groups are refused until [`Engine::admit`].
    pub fn is_held(&self) -> bool {
        self.shared.latch.is_held()
    }

    /// Takes no more writes for good, as after an error whose outcome is unknown. Reads go on.
    pub fn stop_writing(&self, why: &str) {
        self.shared.latch.set_reason(why.to_owned());
    }

    /// Whether writes are refused for want of room on disk.
    pub fn is_low_on_space(&self) -> bool {
        self.shared.latch.is_low_on_space()
    }

    /// Whether it was told to stop.
    pub fn is_closed(&self) -> bool {
        self.shared.pool.is_closed()
    }

    /// What waits in the pool.
    pub fn waiting(&self) -> Weight {
        self.shared.pool.waiting()
    }

    /// The size up to which everything is in the public files.
    pub fn flushed(&self) -> TreeSize {
        self.shared.flushed.load().size
    }

    /// Sequences what is queued, flushes, and stops. Returns when everything is on disk.
    pub fn close(&self) {
        self.open.close();
    }
}

/// The answer to an order to erase a body, on its way.
type ErasureAnswer = oneshot::Receiver<Result<(), StorageError>>;

/// The answer where the sequencer broke off while it had the group.
fn lost<M: Machine>() -> Answer<M> {
    Err(SubmitError::Latched { may_be_logged: true })
}

/// The answer to an order that the sequencer does not take any more.
pub(crate) fn stopped(op: &'static str) -> StorageError {
    let source = std::io::Error::other("the engine has stopped writing");
    StorageError::Io { op, name: "the log".into(), source }
}

/// What all handles and threads of an engine share.
pub(crate) struct Shared<M: Machine> {
    pub(crate) pool: Pool<M>,
    pub(crate) latch: Latch,
    pub(crate) store: Store,
    view: ArcSwap<LogView<M::State>>,
    published: ArcSwap<Option<Arc<Published<M::State>>>>,
    sizes: watch::Sender<TreeSize>,
    flushed: ArcSwap<Flushed>,
    owed: ArcSwap<OwedErasures>,
    unflushed_bytes: AtomicUsize,
    erasure_places: Arc<Semaphore>,
}

impl<M: Machine> Shared<M> {
    pub(crate) fn new(
        pool: Pool<M>,
        store: Store,
        view: Arc<LogView<M::State>>,
        published: Option<Published<M::State>>,
        flushed: Flushed,
    ) -> Self {
        let size = view.size();
        Self {
            pool,
            latch: Latch::default(),
            store,
            view: ArcSwap::new(view),
            published: ArcSwap::new(Arc::new(published.map(Arc::new))),
            sizes: watch::Sender::new(size),
            flushed: ArcSwap::from_pointee(flushed),
            owed: ArcSwap::default(),
            unflushed_bytes: AtomicUsize::new(0),
            erasure_places: Arc::new(Semaphore::new(MAX_PENDING_ERASURES)),
        }
    }

    pub(crate) fn view(&self) -> Arc<LogView<M::State>> {
        self.view.load_full()
    }

    pub(crate) fn set_view(&self, view: Arc<LogView<M::State>>) {
        let size = view.size();
        self.view.store(view);
        self.sizes.send_replace(size);
    }

    /// The newest view again, without what has been flushed.
    pub(crate) fn trim_view(&self, tail: &Tail) {
        self.view.store(Arc::new(self.view.load().with_tail(tail.clone())));
    }

    pub(crate) fn set_published(&self, published: Published<M::State>) {
        self.published.store(Arc::new(Some(Arc::new(published))));
        self.sizes.send_modify(|_| {});
    }

    pub(crate) fn set_unflushed(&self, bytes: usize) {
        self.unflushed_bytes.store(bytes, Ordering::Release);
    }

    pub(crate) fn unflushed(&self) -> usize {
        self.unflushed_bytes.load(Ordering::Acquire)
    }

    /// What the newest flush could not erase: nobody is given it.
    pub(crate) fn set_owed(&self, owed: OwedErasures) {
        for index in owed.keys() {
            self.store.begin_erasure(*index);
        }
        self.owed.store(Arc::new(owed));
    }

    pub(crate) fn owed(&self) -> Arc<OwedErasures> {
        self.owed.load_full()
    }

    pub(crate) fn set_flushed(&self, flushed: Flushed) {
        self.flushed.store(Arc::new(flushed));
    }
}

/// Set after an error whose outcome on disk is unknown. There is no way back but to open the directory again.
#[derive(Default)]
pub(crate) struct Latch {
    reason: OnceLock<String>,
    low_on_space: AtomicBool,
    held: AtomicBool,
}

impl Latch {
    pub(crate) fn set(&self, error: &StorageError) {
        self.set_reason(error.to_string());
    }

    pub(crate) fn set_reason(&self, reason: String) {
        tracing::error!(reason, "the engine has latched: no more writes until it is opened again");
        // Only the first reason counts.
        let _ = self.reason.set(reason);
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.reason.get().is_some()
    }

    pub(crate) fn set_low_on_space(&self, low: bool) {
        if self.low_on_space.swap(low, Ordering::AcqRel) != low {
            tracing::warn!(low, "the room on disk decides whether entries are admitted");
        }
    }

    pub(crate) fn is_low_on_space(&self) -> bool {
        self.low_on_space.load(Ordering::Acquire)
    }

    pub(crate) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }
}
