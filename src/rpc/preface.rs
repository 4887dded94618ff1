//! The first bytes of a connection. hyper waits for them as long as the peer likes; here they are read
//! under a time-out, and replayed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// What every HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose preface was read and is still to be read by HTTP/2.
#[derive(Debug)]
pub(super) struct Prefaced<IO> {
    unread: &'static [u8],
    io: IO,
}

impl<IO: AsyncRead + Unpin> Prefaced<IO> {
    /// Reads the preface.
    ///
    /// # Errors
    /// When the peer ends before it, or speaks something else.
    pub(super) async fn read(mut io: IO) -> io::Result<Self> {
        let mut read = [0; PREFACE.len()];
        io.read_exact(&mut read).await?;
        if read != PREFACE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer does not speak HTTP/2",
            ));
        }
        static REPLAYED: [u8; PREFACE.len()] = PREFACE;
        Ok(Self {
            unread: &REPLAYED,
            io,
        })
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Prefaced<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let fits = self.unread.len().min(buf.remaining());
        let (now, later) = self.unread.split_at(fits);
        buf.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Prefaced<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_preface_is_read_and_replayed() {
        let (mut client, server) = tokio::io::duplex(256);
        client.write_all(&PREFACE).await.unwrap();
        client.write_all(b"more").await.unwrap();
        drop(client);
        let mut all = Vec::new();
        let mut prefaced = Prefaced::read(server).await.unwrap();
        prefaced.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&PREFACE[..], b"more"].concat());
    }

    #[tokio::test]
    async fn another_protocol_is_refused() {
        for said in [&b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..], b"PRI", b""] {
            let (mut client, server) = tokio::io::duplex(256);
            client.write_all(said).await.unwrap();
            drop(client);
            assert!(Prefaced::read(server).await.is_err());
        }
    }
}
