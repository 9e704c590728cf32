//! What tokens grant: those of the settings, and JSON Web Tokens. Spec 14.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use syncline::clock::Replica;
use syncline::server::{Anyone, Grant, Revoked, Right, Rights, Tokens, Verifier};

/// A shared secret shorter than this is refused: it could be guessed.
const SECRET_BYTES_MIN: usize = 32;

/// Where the keys for JSON Web Tokens are, and whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// A JSON Web Key Set: Ed25519 public keys, and secrets for HS256. Read again when it changes.
    pub keys: PathBuf,
    /// The issuer that `iss` is to name; none: any.
    pub issuer: Option<String>,
    /// The audience that `aud` is to name; none: any.
    pub audience: Option<String>,
}

/// Takes the tokens of the settings, then JSON Web Tokens.
#[derive(Debug)]
pub(crate) struct Doors {
    /// None where everyone may come in.
    tokens: Option<Tokens>,
    jwt: Option<JwtVerifier>,
}

impl Doors {
    pub(crate) fn new(tokens: Option<BTreeMap<String, Grant>>, jwt: Option<JwtVerifier>) -> Self {
        Self { tokens: tokens.map(Tokens), jwt }
    }
}

impl Verifier for Doors {
    fn verify(&self, token: Option<&str>, now_ms: u64) -> Option<Grant> {
        if self.tokens.is_none() && self.jwt.is_none() {
            return Anyone.verify(token, now_ms);
        }
        let listed = self.tokens.as_ref().and_then(|tokens| tokens.verify(token, now_ms));
        listed.or_else(|| self.jwt.as_ref()?.verify(token?, now_ms))
    }
}

/// A key and the one algorithm it is used with: a token does not choose.
struct Key {
    id: Option<String>,
    validation: Validation,
    key: DecodingKey,
}

/// Checks JSON Web Tokens.
pub(crate) struct JwtVerifier {
    keys: Vec<Key>,
}

/// What a token says. All but these claims is ignored.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    nbf: Option<u64>,
    jti: Option<String>,
    #[serde(default)]
    spaces: BTreeMap<String, String>,
    creates: Option<bool>,
    #[serde(default)]
    admin: bool,
}

impl JwtVerifier {
    /// The verifier for a key set, or what is wrong with it.
    pub(crate) fn new(config: &JwtConfig, keys: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct KeySet {
            keys: Vec<Jwk>,
        }
        let set: KeySet = serde_json::from_str(keys).map_err(|error| format!("not a JSON Web Key Set: line {}", error.line()))?;
        if set.keys.is_empty() {
            return Err("keys: the list is empty; add a key".to_owned());
        }
        let key = |(i, jwk): (usize, &Jwk)| key(config, jwk).map_err(|fault| format!("keys[{i}]: {fault}"));
        let keys: Vec<Key> = set.keys.iter().enumerate().map(key).collect::<Result<_, _>>()?;
        for (i, key) in keys.iter().enumerate() {
            if keys[..i].iter().any(|other| other.id == key.id) {
                return Err(format!("keys[{i}].kid: the same as an earlier key's; each key of several needs a `kid` of its own"));
            }
        }
        Ok(Self { keys })
    }

    fn verify(&self, token: &str, now_ms: u64) -> Option<Grant> {
        let header = decode_header(token).ok()?;
        let key = match (&header.kid, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_ref() == Some(id))?,
            (None, [only]) => only,
            (None, _) => return None,
        };
        let claims = decode::<Claims>(token, &key.key, &key.validation).ok()?.claims;
        let early = claims.nbf.is_some_and(|from| from.saturating_mul(1_000) > now_ms);
        if early || claims.sub.is_empty() || claims.sub.chars().any(char::is_control) {
            return None;
        }
        // A right that is no word of ours is none, rather than a token that is none.
        let right = |(space, word): (String, String)| (space, Right::from_word(&word).unwrap_or(Right::None));
        Some(Grant {
            subject: claims.sub,
            rights: claims.spaces.into_iter().map(right).collect::<Rights>(),
            creates: claims.creates.unwrap_or(true),
            admin: claims.admin,
            expires_ms: Some(claims.exp.saturating_mul(1_000)),
            token_id: claims.jti,
        })
    }
}

impl fmt::Debug for JwtVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

fn key(config: &JwtConfig, jwk: &Jwk) -> Result<Key, String> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        // Base64 writes 3 bytes as 4 letters.
        AlgorithmParameters::OctetKey(secret) if secret.value.len() * 3 / 4 >= SECRET_BYTES_MIN => Algorithm::HS256,
        AlgorithmParameters::OctetKey(_) => return Err(format!("k: a short secret; allowed are {SECRET_BYTES_MIN} bytes and more")),
        _ => return Err("found another kind of key; allowed are kty OKP with crv Ed25519, and kty oct for HS256".to_owned()),
    };
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "the key is not written in base64url".to_owned())?;
    let mut validation = Validation::new(algorithm);
    // The time is the caller's.
    validation.validate_exp = false;
    validation.validate_aud = config.audience.is_some();
    let mut required = vec!["exp", "sub"];
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &config.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    Ok(Key { id: jwk.common.key_id.clone(), validation, key })
}

/// The list of what is not let in any more, as a TOML file holds it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_revoked(file: &Path, text: &str) -> Result<Revoked, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        subjects: Vec<String>,
        #[serde(default)]
        tokens: Vec<String>,
        #[serde(default)]
        replicas: Vec<String>,
    }
    let at = |fault: String| format!("{}: {fault}", file.display());
    let read: File = toml::from_str(text).map_err(|error| at(error.message().to_owned()))?;
    let mut revoked =
        Revoked { subjects: read.subjects.into_iter().collect(), tokens: read.tokens.into_iter().collect(), ..Revoked::default() };
    for (i, hex) in read.replicas.iter().enumerate() {
        let id = replica(hex).ok_or_else(|| at(format!("replicas[{i}]: found \"{hex}\"; allowed are 32 hexadecimal digits")))?;
        revoked.replicas.insert(id);
    }
    Ok(revoked)
}

fn replica(hex: &str) -> Option<Replica> {
    let digits = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(hex, 16).ok()).flatten().map(|number| Replica(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    /// RFC 8032, 7.1, test 1: the secret key behind its PKCS #8 head, and the public key.
    const SECRET: &str = "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const SHARED: &[u8] = b"a secret of at least thirty-two bytes";

    fn keys() -> String {
        let shared = "YSBzZWNyZXQgb2YgYXQgbGVhc3QgdGhpcnR5LXR3byBieXRlcw";
        json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": PUBLIC},
            {"kty": "oct", "kid": "hs", "k": shared},
        ]})
        .to_string()
    }

    fn config() -> JwtConfig {
        JwtConfig { keys: PathBuf::new(), issuer: Some("us".to_owned()), audience: Some("sync".to_owned()) }
    }

    fn claims() -> Value {
        json!({"sub": "alice", "exp": NOW_MS / 1_000 + 60, "iss": "us", "aud": "sync", "jti": "j1", "spaces": {"home": "read", "team-*": "write"}})
    }

    fn sign(id: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let bytes: Vec<u8> = (0..SECRET.len() / 2).map(|i| u8::from_str_radix(&SECRET[2 * i..2 * i + 2], 16).expect("hex")).collect();
        let key = if algorithm == Algorithm::EdDSA { EncodingKey::from_ed_der(&bytes) } else { EncodingKey::from_secret(SHARED) };
        let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, claims, &key).expect("it is signed")
    }

    fn verify(token: &str) -> Option<Grant> {
        JwtVerifier::new(&config(), &keys()).expect("good keys").verify(token, NOW_MS)
    }

    #[test]
    fn a_good_token_grants_what_it_says() {
        for (id, algorithm) in [("ed", Algorithm::EdDSA), ("hs", Algorithm::HS256)] {
            let grant = verify(&sign(Some(id), algorithm, &claims())).expect(id);
            assert_eq!((grant.subject.as_str(), grant.expires_ms), ("alice", Some(NOW_MS + 60_000)));
            let rights = ["home", "team-1", "other"].map(|space| grant.rights.of(space));
            assert_eq!(rights, [Right::Read, Right::Write, Right::None]);
            assert_eq!((grant.token_id.as_deref(), grant.creates, grant.admin), (Some("j1"), true, false));
        }
    }

    #[test]
    fn a_token_that_is_not_good_grants_nothing() {
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            sign(Some("ed"), Algorithm::EdDSA, &claims)
        };
        let good = sign(Some("ed"), Algorithm::EdDSA, &claims());
        let (signed, signature) = good.rsplit_once('.').expect("it has a signature");
        let payload = signed.split_once('.').expect("it has a payload").1;
        let (none, other) = ("eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsImtpZCI6ImVkIn0");
        let cases = [
            ("not yet valid", with("nbf", json!(NOW_MS / 1_000 + 1))),
            ("another issuer", with("iss", json!("them"))),
            ("another audience", with("aud", json!("mail"))),
            ("no subject", with("sub", json!(""))),
            ("an odd subject", with("sub", json!("a\u{0}"))),
            ("no end", with("exp", Value::Null)),
            ("cut", format!("{signed}.{}", &signature[..signature.len() - 4])),
            ("no signature", format!("{signed}.")),
            ("the algorithm none", format!("{none}.{payload}.")),
            ("another algorithm than the key's", format!("{other}.{payload}.{signature}")),
            ("the public key as a shared secret", sign(Some("ed"), Algorithm::HS256, &claims())),
            ("an unknown key", sign(Some("x"), Algorithm::EdDSA, &claims())),
            ("one of several keys unnamed", sign(None, Algorithm::EdDSA, &claims())),
            ("garbage", "a.b.c".to_owned()),
            ("nothing", String::new()),
        ];
        for (what, token) in cases {
            assert_eq!(verify(&token), None, "SESS-5: {what}");
        }
    }

    #[test]
    fn keys_that_cannot_be_used_are_told() {
        let told = |keys: &str| JwtVerifier::new(&config(), keys).expect_err(keys);
        assert!(told("{").contains("JSON Web Key Set"));
        assert!(told("{\"keys\": []}").contains("empty"));
        assert!(told("{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2hvcnQ\"}]}").contains("32 bytes"));
        let rsa = "{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}]}";
        assert!(told(rsa).contains("Ed25519"), "{}", told(rsa));
        let twice = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}, {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}]});
        assert!(told(&twice.to_string()).contains("keys[1].kid"));
    }

    #[test]
    fn a_list_of_revocations_is_read_strictly() {
        let read = |text: &str| parse_revoked(Path::new("r.toml"), text);
        let id = "000102030405060708090a0b0c0d0e0f";
        let revoked = read(&format!("subjects = ['bob']\ntokens = ['j1']\nreplicas = ['{id}']")).expect("a good list");
        assert!(revoked.subjects.contains("bob") && revoked.tokens.contains("j1") && revoked.replicas.len() == 1);
        assert_eq!(read(""), Ok(Revoked::default()));
        for (text, word) in [("subject = ['bob']", "subjects"), ("replicas = ['00']", "replicas[0]"), ("tokens = 1", "r.toml")] {
            let fault = read(text).expect_err(text);
            assert!(fault.contains(word), "{fault}");
        }
    }
}
