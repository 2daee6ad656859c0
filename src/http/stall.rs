//! A connection whose peer has to take what it asked for.
//!
//! Between two writes no time passes: the bound is on a write that the system does not take, because the peer reads
//! nothing. A stream that has nothing to say waits for as long as it likes.
//!
//! While a write waits nothing is read: else answers to what is asked meanwhile would pile up in memory.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::metrics::CONNECTIONS_CLOSED;

/// How long a write may wait without a byte of it being taken.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(30);

/// Attempts at a write that waits, until it has waited for the bound.
const ATTEMPTS: u32 = 8;

/// A connection that fails with `TimedOut` once a write has stalled for the bound.
pub(super) struct StallBounded {
    stream: TcpStream,
    bound: Duration,
    /// While a write waits: until the next attempt, and how many there were.
    stalled: Option<(Interval, u32)>,
    /// Who wants to read, and may when the write has gone on.
    reader: Option<Waker>,
}

impl StallBounded {
    pub(super) const fn new(stream: TcpStream, bound: Duration) -> Self {
        Self { stream, bound, stalled: None, reader: None }
    }

    /// What a write came to, where it waits perhaps for too long. `again` is the same write past the runtime.
    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        again: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.go_on();
            return written;
        }
        let bound = self.bound;
        let (ticks, attempts) = self.stalled.get_or_insert_with(|| (attempts_within(bound), 0));
        loop {
            ready!(ticks.poll_tick(cx));
            *attempts += 1;
            // The system says that a socket is writable when a good part of its buffer is free. A slow reader may take
            // longer for that than the bound, and is no dead one: whether anything was taken only a write tells.
            match again(&self.stream) {
                Err(Errno::AGAIN) if *attempts < ATTEMPTS => {}
                Err(Errno::AGAIN) => return Poll::Ready(Err(self.give_up())),
                other => {
                    self.go_on();
                    return Poll::Ready(other.map_err(io::Error::from));
                }
            }
        }
    }

    fn go_on(&mut self) {
        self.stalled = None;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn give_up(&self) -> io::Error {
        // What nobody reads is not kept in the system's buffers either.
        let _ = self.stream.set_zero_linger();
        metrics::counter!(CONNECTIONS_CLOSED, "reason" => "stalled").increment(1);
        io::Error::new(io::ErrorKind::TimedOut, "the peer does not read what it asked for")
    }
}

fn attempts_within(bound: Duration) -> Interval {
    let step = (bound / ATTEMPTS).max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + step, step);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl AsyncRead for StallBounded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.stalled.is_some() {
            this.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for StallBounded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.bounded(cx, written, |stream| rustix::io::write(stream, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.bounded(cx, written, |stream| rustix::io::writev(stream, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
