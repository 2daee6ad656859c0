//! Answers in pieces.
//!
//! The server waits for the next request from the moment that it holds the last byte of an answer, sent or not. A bundle
//! of 16 MB in one piece would leave its reader no more time for it than for a head.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Most bytes that are given away at once.
const PIECE_LEN: usize = 64 << 10;

/// A body that gives what it has in pieces.
pub(super) struct Pieces {
    body: Body,
    /// What is left of the data that it gave last.
    rest: Bytes,
}

impl Pieces {
    pub(super) const fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE_LEN)))
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
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
