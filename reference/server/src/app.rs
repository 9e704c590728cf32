//! A web application that the server gives to browsers beside what it syncs: the files of one folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use syncline::hash::sha256;

use crate::reply::{Body, say};

/// Files of an application.
const FILES_MAX: usize = 256;
/// Bytes of an application, all files together: they are kept in memory.
const BYTES_MAX: usize = 64 << 20;
/// Only what the page brings runs, and it talks to this server only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files, by the path that a request names, as they were when the server started.
///
/// What was not read then is not there to be asked for: a request's path is looked up, and never becomes the path of a file.
#[derive(Debug)]
pub(crate) struct App(BTreeMap<String, File>);

#[derive(Debug)]
struct File {
    content_type: &'static str,
    /// The hash of the text in quotes, so that a browser asks for a whole file once.
    tag: HeaderValue,
    text: String,
}

impl App {
    /// Reads the files that lie in the folder itself; what begins with a dot, links and folders are left out.
    ///
    /// # Errors
    /// The folder or a file cannot be read, is too large or of a kind that is not served; or there is no `index.html`.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        let mut bytes = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| refused(format!("{}: a name is UTF-8", name.display())))?;
            if !entry.file_type()?.is_file() || name.starts_with('.') {
                continue;
            }
            let content_type =
                content_type(&name).ok_or_else(|| refused(format!("{name}: allowed are .html, .js, .css, .svg, .json, .map")))?;
            bytes += usize::try_from(entry.metadata()?.len()).unwrap_or(usize::MAX).min(BYTES_MAX + 1);
            if files.len() == FILES_MAX || bytes > BYTES_MAX {
                return Err(refused(format!("{name}: allowed are {FILES_MAX} files and {BYTES_MAX} bytes together")));
            }
            let text = fs::read_to_string(entry.path()).map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            files.insert(format!("/{name}"), File { content_type, tag: tag(&text), text });
        }
        let index = files.remove("/index.html").ok_or_else(|| refused("no index.html in it".to_owned()))?;
        files.insert("/".to_owned(), index);
        Ok(Self(files))
    }

    /// The answer to a request for a file; none where the path names none or the method does not read.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let file = self.0.get(request.uri().path())?;
        let known = request.headers().get_all(IF_NONE_MATCH).iter().any(|tag| *tag == file.tag);
        let (status, text) = match *request.method() {
            Method::GET | Method::HEAD if known => (StatusCode::NOT_MODIFIED, ""),
            Method::GET => (StatusCode::OK, file.text.as_str()),
            Method::HEAD => (StatusCode::OK, ""),
            _ => return None,
        };
        let mut response = say(status, text);
        response.headers_mut().insert(ETAG, file.tag.clone());
        for (name, value) in [
            (CONTENT_TYPE, file.content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

fn tag(text: &str) -> HeaderValue {
    let hex: String = sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal digits in quotes are a header's value")
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        _ => return None,
    })
}
