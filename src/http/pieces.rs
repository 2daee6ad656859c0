//! Answers in pieces.
//!
//! The server waits for the next request from the moment that it holds the last byte of an answer, sent or not. A bundle
//! of 16 MB in one piece would leave its reader no more time for it than for a head. So the pieces are so short that who
//! takes the least rate takes the last of them, and what the server buffers, in less time than a head has.
//!
//! A long answer is copied piece by piece: what is not taken of the last one does not keep the whole of it in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::connections::HeldBytes;

/// Most bytes that are given away at once.
const PIECE_LEN: usize = 16 << 10;

/// How long a long answer may hold its memory, however fast it is taken. One of 16 MB takes 28 KB/s then.
pub(super) const MAX_ANSWER_TIME: Duration = Duration::from_mins(10);

/// A body that gives what it has in pieces.
pub(super) struct Pieces {
    body: Body,
    /// The memory of the whole body.
    held: HeldBytes,
    until: Instant,
    /// What is left of the data that it gave last.
    rest: Bytes,
}

impl Pieces {
    /// What holds nothing comes back where there is no room for the body.
    pub(super) fn new(body: Body, mut held: HeldBytes) -> Result<Self, HeldBytes> {
        let len = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if held.hold(len) { Ok(Self::small(body, held)) } else { Err(held) }
    }

    /// A body of a few bytes.
    pub(super) fn small(body: Body, held: HeldBytes) -> Self {
        Self { body, held, until: Instant::now() + MAX_ANSWER_TIME, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE_LEN));
        Frame::data(if self.held.is_counted() { Bytes::copy_from_slice(&piece) } else { piece })
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.held.is_counted() && Instant::now() > this.until {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the answer is not taken in time");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx)?);
        let frame = frame.map(|frame| match frame.into_data() {
            Ok(data) => {
                this.rest = data;
                this.piece()
            }
            Err(other) => other,
        });
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
