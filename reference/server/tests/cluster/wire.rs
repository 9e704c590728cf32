//! A network between a server and the stream's servers that can be cut and healed.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CHUNK_BYTES: usize = 64 * 1024;

/// Addresses that stand for others. While it is cut nothing passes and nobody is told; what was sent meanwhile comes late.
pub struct Wire {
    pub addresses: Vec<SocketAddr>,
    whole: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(targets: &[SocketAddr]) -> Self {
        let (whole, _) = watch::channel(true);
        let mut addresses = Vec::new();
        for target in targets {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            addresses.push(listener.local_addr().expect("it is bound"));
            tokio::spawn(carry(listener, *target, whole.clone()));
        }
        Self { addresses, whole }
    }

    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn heal(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(listener: TcpListener, target: SocketAddr, whole: watch::Sender<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let whole = whole.clone();
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(target).await else { return };
            let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
            // One way that ends, ends both.
            tokio::select! {
                () = carry_on(near_reads, far_writes, whole.subscribe()) => {}
                () = carry_on(far_reads, near_writes, whole.subscribe()) => {}
            }
        });
    }
}

async fn carry_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        if whole.wait_for(|whole| *whole).await.is_err() || to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}
