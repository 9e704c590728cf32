//! What an operator does with spaces: on a running server through its own door, or on a stopped one's folder. Spec 14.
//!
//! | request | does |
//! |---|---|
//! | `GET /admin/spaces` | lists the spaces |
//! | `PUT /admin/spaces/NAME` | makes one |
//! | `DELETE /admin/spaces/NAME` | deletes it |
//! | `POST /admin/spaces/NAME/purge/COLLECTION/ID` | purges a record |
//!
//! Names are percent-encoded. The token of an administrator stands in `Authorization: Bearer`, never in the address. (BIND-5)

use hyper::{Method, StatusCode};
use serde_json::json;
use syncline::change::RecordName;
use syncline::clock::Now;
use syncline::limits;
use syncline::server::Server;
use syncline::store::{Store, StoreError};

/// Where the spaces are.
const PATH: &str = "/admin/spaces";

/// One thing that an operator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admin {
    /// Lists the spaces.
    List,
    /// Makes a space.
    Make(String),
    /// Deletes a space.
    Delete(String),
    /// Purges a record of a space.
    Purge(String, RecordName),
}

/// What came of it: an HTTP status, and JSON on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 where it was done.
    pub status: StatusCode,
    /// What there is to say.
    pub body: String,
}

impl Admin {
    /// What a request asks for; else the status that refuses it.
    pub(crate) fn from_request(method: &Method, path: &str) -> Result<Self, StatusCode> {
        let rest = path.strip_prefix(PATH).ok_or(StatusCode::NOT_FOUND)?;
        let parts: Option<Vec<String>> = rest.split('/').skip(1).map(decoded).collect();
        let parts = parts.ok_or(StatusCode::BAD_REQUEST)?;
        match (method, parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
            (&Method::GET, []) => Ok(Self::List),
            (&Method::PUT, [space]) => Ok(Self::Make((*space).to_owned())),
            (&Method::DELETE, [space]) => Ok(Self::Delete((*space).to_owned())),
            (&Method::POST, [space, "purge", collection, id]) => {
                Ok(Self::Purge((*space).to_owned(), RecordName { collection: (*collection).to_owned(), id: (*id).to_owned() }))
            }
            (_, [] | [_] | [_, "purge", _, _]) => Err(StatusCode::METHOD_NOT_ALLOWED),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }

    /// The method and the path of the request that asks for it.
    pub fn request(&self) -> (Method, String) {
        match self {
            Self::List => (Method::GET, PATH.to_owned()),
            Self::Make(space) => (Method::PUT, format!("{PATH}/{}", encoded(space))),
            Self::Delete(space) => (Method::DELETE, format!("{PATH}/{}", encoded(space))),
            Self::Purge(space, record) => {
                let (collection, id) = (encoded(&record.collection), encoded(&record.id));
                (Method::POST, format!("{PATH}/{}/purge/{collection}/{id}", encoded(space)))
            }
        }
    }

    /// Does it in the open transaction.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn run(&self, now: Now, server: &mut Server, store: &mut dyn Store) -> Result<Answer, StoreError> {
        let absent = |done: bool| if done { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let (status, body) = match self {
            Self::List => (StatusCode::OK, list(server, store)?),
            Self::Make(space) if !(1..=limits::SPACE_NAME_BYTES_MAX).contains(&space.len()) => {
                let fault = format!("found a name of {} bytes; allowed are 1 to {}", space.len(), limits::SPACE_NAME_BYTES_MAX);
                (StatusCode::BAD_REQUEST, json!({ "error": fault }))
            }
            Self::Make(space) => {
                let made = server.make_space(store, space)?;
                (if made { StatusCode::OK } else { StatusCode::CONFLICT }, json!({ "space": space, "made": made }))
            }
            Self::Delete(space) => {
                let deleted = server.delete_space(store, space)?;
                (absent(deleted), json!({ "space": space, "deleted": deleted }))
            }
            Self::Purge(space, record) => {
                let held = server.purge(now, store, space, record)?;
                (absent(held.is_some()), json!({ "space": space, "purged": held.is_some(), "log_entries": held.unwrap_or(0) }))
            }
        };
        Ok(Answer { status, body: body.to_string() })
    }

    /// Whether it is to leave nothing behind in the file.
    pub(crate) fn erases(&self) -> bool {
        matches!(self, Self::Delete(_) | Self::Purge(..))
    }
}

fn list(server: &Server, store: &dyn Store) -> Result<serde_json::Value, StoreError> {
    let row = |info: syncline::server::SpaceInfo| {
        json!({
            "space": info.name, "position": info.position, "replicas": info.replicas,
            "records": info.usage.records, "bytes": info.usage.bytes,
        })
    };
    Ok(server.space_infos(store)?.into_iter().map(row).collect())
}

/// A name as a segment of a path: all but letters, digits, `-`, `_` and `~` as percent and hexadecimal.
pub(crate) fn encoded(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(one).collect()
}

/// The name of a segment; none where it is no text.
pub(crate) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        bytes.push(match byte {
            b'%' => (digit(rest.next()?)? * 16 + digit(rest.next()?)?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_understood() {
        let record = RecordName { collection: "my people".to_owned(), id: "p/1?&#%ä".to_owned() };
        let all = [Admin::List, Admin::Make("a/b".into()), Admin::Delete("..".into()), Admin::Purge("home".into(), record)];
        for admin in all {
            let (method, path) = admin.request();
            assert!(path.is_ascii() && !path.contains([' ', '?', '#']), "{path}");
            assert_eq!(Admin::from_request(&method, &path), Ok(admin), "{path}");
        }
    }

    #[test]
    fn other_requests_are_refused() {
        let status = |method, path| Admin::from_request(&method, path).expect_err(path).as_u16();
        assert_eq!(status(Method::POST, "/admin/spaces"), 405);
        assert_eq!(status(Method::GET, "/admin/spaces/home/purge/a/b"), 405);
        assert_eq!(status(Method::GET, "/admin/spaces/home/x"), 404);
        assert_eq!(status(Method::GET, "/admin"), 404);
        assert_eq!(status(Method::PUT, "/admin/spaces/%ff"), 400);
        assert_eq!(status(Method::PUT, "/admin/spaces/%4"), 400);
    }
}
