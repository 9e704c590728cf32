//! Peer links of a replica over byte streams. Spec 11 and 21.

use std::collections::BTreeMap;
use std::time::Instant;

use syncline::client::{Event, Input, Output};
use syncline::peer::LinkId;
use syncline::store::StoreError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::framing::{read_frame, write_frame};
use crate::local::Local;

/// Frames that wait between a stream and the replica.
const FRAMES_MAX: usize = 64;

/// What a stream brought.
enum Came {
    Frame(Vec<u8>),
    End,
}

/// A replica and its peer links.
pub struct Links {
    local: Local,
    out: BTreeMap<LinkId, mpsc::UnboundedSender<Vec<u8>>>,
    came: mpsc::Receiver<(LinkId, Came)>,
    bring: mpsc::Sender<(LinkId, Came)>,
    made: u64,
    wake: Option<Instant>,
}

impl Links {
    /// A replica without links; `token` is what the other side of each has to show, and is shown. (PEER-2)
    pub fn new(mut local: Local, token: Option<String>) -> Self {
        local.set_link_token(token);
        let (bring, came) = mpsc::channel(FRAMES_MAX);
        Self { local, out: BTreeMap::new(), came, bring, made: 0, wake: None }
    }

    /// How many links stand.
    pub fn count(&self) -> usize {
        self.out.len()
    }

    /// Links the replica over a byte stream that was dialled, or that another dialled. Needs a tokio runtime. (BIND-7)
    ///
    /// # Errors
    /// When the store fails.
    pub fn add<R, W>(&mut self, mut reader: R, mut writer: W, dials: bool) -> Result<(), StoreError>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        self.made += 1;
        let id = LinkId(self.made);
        let (send, mut sending) = mpsc::unbounded_channel::<Vec<u8>>();
        self.out.insert(id, send);
        tokio::spawn(async move {
            while let Some(frame) = sending.recv().await {
                if write_frame(&mut writer, &frame).await.is_err() {
                    return;
                }
            }
        });
        let bring = self.bring.clone();
        tokio::spawn(async move {
            while let Ok(Some(frame)) = read_frame(&mut reader).await {
                if bring.send((id, Came::Frame(frame))).await.is_err() {
                    return;
                }
            }
            // Who would hear of it may be gone.
            let _ = bring.send((id, Came::End)).await;
        });
        self.local.handle(Input::Linked(id, dials))
    }

    /// Carries one step: until something arrived or time asked for something. Returns what the application is told.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn step(&mut self) -> Result<Vec<Event>, StoreError> {
        let events = self.perform();
        if !events.is_empty() {
            return Ok(events);
        }
        let wake = self.wake;
        let sleep = async move {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = self.came.recv() => match came {
                Some((id, Came::Frame(frame))) => self.local.handle(Input::LinkFrame(id, &frame))?,
                Some((id, Came::End)) => {
                    self.out.remove(&id);
                    self.local.handle(Input::Unlinked(id))?;
                }
                None => {}
            },
            () = sleep => {
                self.wake = None;
                self.local.handle(Input::Tick)?;
            }
        }
        Ok(self.perform())
    }

    /// Does what the core wants done.
    fn perform(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(output) = self.local.take_output() {
            match output {
                Output::LinkSend(id, frame) => {
                    if let Some(out) = self.out.get(&id) {
                        // A stream that ended says so by itself.
                        let _ = out.send(frame);
                    }
                }
                Output::Unlink(id) => drop(self.out.remove(&id)),
                Output::Event(event) => events.push(event),
                Output::WakeAt(mono_ms) => self.wake = Some(self.local.instant(mono_ms)),
                Output::Connect | Output::Send(_) | Output::Close => {}
            }
        }
        events
    }

    /// Gives the replica back.
    pub fn into_local(self) -> Local {
        self.local
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use syncline::change::RecordName;
    use syncline::client::Write;
    use syncline::value::Value;

    use super::*;

    fn local(name: &str) -> Local {
        let path = std::env::temp_dir().join(format!("syncline-link-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Local::open(&path, "home", None).expect("a fresh store opens")
    }

    /// Two replicas over one byte stream show the same. (BIND-7, PEER-16)
    #[tokio::test]
    async fn replicas_on_one_stream_become_equal() {
        let (mut a, b) = (local("a"), local("b"));
        let fields = vec![("title".to_owned(), Some(Value::Text("Buy milk".into())))];
        a.write(&[Write::Put { collection: "todos".into(), id: "t1".into(), fields }]).expect("it can be written");
        let (mut a, mut b) = (Links::new(a, Some("s".into())), Links::new(b, Some("s".into())));
        let (one, other) = tokio::io::duplex(64);
        let ((read_a, write_a), (read_b, write_b)) = (tokio::io::split(one), tokio::io::split(other));
        b.add(read_b, write_b, false).expect("the store works");
        a.add(read_a, write_a, true).expect("the store works");
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        let name = RecordName { collection: "todos".into(), id: "t1".into() };
        while b.local.record(&name).expect("the store works").is_none() {
            let step = async {
                tokio::select! { it = a.step() => it, it = b.step() => it }
            };
            tokio::time::timeout_at(until, step).await.expect("it comes in time").expect("the store works");
        }
    }
}
