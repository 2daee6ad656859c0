//! A connection whose peer has to take what it asked for.
//!
//! Between two writes no time passes: the bound is on writes that the system does not take, because the peer reads
//! nothing or next to nothing. A stream that has nothing to say waits for as long as it likes.
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

/// The time over which the rate is taken at which writes that wait go on.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(30);

/// Bytes a second that a peer has to take while writes wait for it.
const LEAST_RATE: u128 = 2 << 10;

/// Attempts within that time at a write that waits.
const ATTEMPTS: u32 = 8;

/// Writes that follow each other so closely are of one answer, or of answers that were asked for together.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection that fails with `TimedOut` once its peer has taken too little for the bound.
pub(super) struct StallBounded {
    stream: TcpStream,
    bound: Duration,
    /// While a write waits: until the next attempt.
    stalled: Option<Interval>,
    window: Option<Window>,
    /// Who wants to read, and may when the write has gone on.
    reader: Option<Waker>,
}

/// What was taken since a write first waited, for at most the bound.
struct Window {
    since: Instant,
    taken: usize,
    last_taken: Instant,
}

impl Window {
    fn from(now: Instant) -> Self {
        Self { since: now, taken: 0, last_taken: now }
    }
}

impl StallBounded {
    pub(super) const fn new(stream: TcpStream, bound: Duration) -> Self {
        Self { stream, bound, stalled: None, window: None, reader: None }
    }

    /// What a write came to, where it waits perhaps for too long. `again` is the same write past the runtime.
    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        again: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            return Poll::Ready(self.go_on(written));
        }
        loop {
            ready!(self.ticks().poll_tick(cx));
            // The system says that a socket is writable when a good part of its buffer is free. A slow reader may take
            // longer for that than the bound, and is no dead one: whether anything was taken only a write tells.
            match again(&self.stream) {
                Err(Errno::AGAIN) => {}
                other => return Poll::Ready(self.go_on(other.map_err(io::Error::from))),
            }
            if !self.takes_enough() {
                return Poll::Ready(Err(self.give_up()));
            }
        }
    }

    /// The attempts at the write that waits.
    fn ticks(&mut self) -> &mut Interval {
        let bound = self.bound;
        let window = &mut self.window;
        self.stalled.get_or_insert_with(|| {
            let now = Instant::now();
            if window.as_ref().is_none_or(|window| now - window.last_taken > PAUSE) {
                *window = Some(Window::from(now));
            }
            let step = (bound / ATTEMPTS).max(Duration::from_millis(1));
            let mut ticks = interval_at(now + step, step);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        })
    }

    fn takes_enough(&mut self) -> bool {
        let now = Instant::now();
        let window = self.window.get_or_insert_with(|| Window::from(now));
        let passed = now - window.since;
        if passed < self.bound {
            return true;
        }
        let enough = window.taken as u128 >= passed.as_millis() * LEAST_RATE / 1000;
        *window = Window::from(now);
        enough
    }

    /// Something was taken, or the connection has failed. Who takes a little at each attempt takes too little all the same.
    fn go_on(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        let has_waited = self.stalled.take().is_some();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        let written = written?;
        if let Some(window) = &mut self.window {
            window.taken += written;
            window.last_taken = Instant::now();
        }
        if has_waited && !self.takes_enough() { Err(self.give_up()) } else { Ok(written) }
    }

    fn give_up(&self) -> io::Error {
        // What nobody reads is not kept in the system's buffers either.
        let _ = self.stream.set_zero_linger();
        metrics::counter!(CONNECTIONS_CLOSED, "reason" => "stalled").increment(1);
        io::Error::new(io::ErrorKind::TimedOut, "the peer does not read what it asked for")
    }
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::advance;

    use super::*;

    /// Whether the connection lives through attempts that all take so many bytes, for twice the time of a window.
    async fn lives(each: usize) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut bounded = StallBounded::new(stream, WRITE_STALL);
        for _ in 0..2 * ATTEMPTS {
            bounded.ticks();
            advance(WRITE_STALL / ATTEMPTS).await;
            if bounded.go_on(Ok(each)).is_err() {
                return false;
            }
        }
        true
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_at_each_attempt_takes_too_little() {
        assert!(!lives(7_000).await, "1,866 bytes a second");
        assert!(lives(8_000).await, "2,133 bytes a second");
    }
}
