//! Libraries that merge documents, each with the same shape: a root map of records, a map of scalars for each.

use std::collections::HashMap;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, ObjId, ObjType, ROOT, ReadDoc, ScalarValue};
use loro::{ExportMode, LoroDoc, LoroMap, LoroValue, VersionVector};
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, MapPrelim, MapRef, Out, ReadTxn, StateVector, Transact, Update};

use crate::data::{FIELDS, Record, Scalar};

const ROOT_MAP: &str = "records";
/// Records of one transaction while loading.
const LOAD_BATCH: usize = 100;
const OURS: &str = "bytes that the same library wrote";

/// What a workload asks of a library.
pub trait Library: Sized {
    const NAME: &'static str;
    /// What a document has seen.
    type Version;

    /// An empty document of a replica.
    fn new(replica: u64) -> Self;
    /// Adds records, a hundred to a transaction.
    fn load(&mut self, records: &[Record]);
    /// One edit in a transaction of its own; its update, as it would be sent, where that is asked for.
    fn edit(&mut self, id: &str, field: usize, value: &Scalar, wanted: bool) -> Vec<u8>;
    fn version(&mut self) -> Self::Version;
    /// What changed since.
    fn delta(&mut self, since: &Self::Version) -> Vec<u8>;
    /// The whole document, for one who has nothing.
    fn snapshot(&mut self) -> Vec<u8>;
    /// Takes in a delta or a snapshot.
    fn apply(&mut self, bytes: &[u8]);
    /// Reads every field, and says how many there were.
    fn read_all(&self) -> usize;
}

pub struct Yrs {
    doc: Doc,
    records: MapRef,
}

fn any(scalar: &Scalar) -> Any {
    match scalar {
        // A number of JavaScript.
        Scalar::Int(int) => Any::from(*int as f64),
        Scalar::Text(text) => Any::String(text.as_str().into()),
    }
}

impl Library for Yrs {
    const NAME: &'static str = "yrs";
    type Version = StateVector;

    fn new(replica: u64) -> Self {
        // As wide as the 32 bits that yjs draws.
        let doc = Doc::with_client_id(0x9000_0000 + replica);
        let records = doc.get_or_insert_map(ROOT_MAP);
        Self { doc, records }
    }

    fn load(&mut self, records: &[Record]) {
        for batch in records.chunks(LOAD_BATCH) {
            let mut txn = self.doc.transact_mut();
            for record in batch {
                let fields: MapPrelim = FIELDS.iter().zip(&record.fields).map(|(name, value)| ((*name).to_owned(), any(value))).collect();
                self.records.insert(&mut txn, record.id.as_str(), fields);
            }
        }
    }

    fn edit(&mut self, id: &str, field: usize, value: &Scalar, wanted: bool) -> Vec<u8> {
        let mut txn = self.doc.transact_mut();
        let Some(Out::YMap(record)) = self.records.get(&txn, id) else { panic!("{id} is a record") };
        record.insert(&mut txn, FIELDS[field], any(value));
        if wanted { txn.encode_update_v1() } else { Vec::new() }
    }

    fn version(&mut self) -> StateVector {
        self.doc.transact().state_vector()
    }

    fn delta(&mut self, since: &StateVector) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(since)
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.delta(&StateVector::default())
    }

    fn apply(&mut self, bytes: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(bytes).expect(OURS)).expect(OURS);
    }

    fn read_all(&self) -> usize {
        let txn = self.doc.transact();
        let fields = |record: Out| if let Out::YMap(record) = record { record.iter(&txn).count() } else { 0 };
        self.records.iter(&txn).map(|(_, record)| fields(record)).sum()
    }
}

pub struct Loro {
    doc: LoroDoc,
    records: LoroMap,
}

fn loro_value(scalar: &Scalar) -> LoroValue {
    match scalar {
        Scalar::Int(int) => LoroValue::from(*int),
        Scalar::Text(text) => LoroValue::from(text.as_str()),
    }
}

impl Library for Loro {
    const NAME: &'static str = "loro";
    type Version = VersionVector;

    fn new(replica: u64) -> Self {
        let doc = LoroDoc::new();
        doc.set_peer_id(0x9e37_79b9_0000_0000 + replica).expect("an id of a peer");
        let records = doc.get_map(ROOT_MAP);
        Self { doc, records }
    }

    fn load(&mut self, records: &[Record]) {
        for batch in records.chunks(LOAD_BATCH) {
            for record in batch {
                let map = self.records.insert_container(&record.id, LoroMap::new()).expect("a map in a map");
                for (name, value) in FIELDS.iter().zip(&record.fields) {
                    map.insert(name, loro_value(value)).expect("a scalar in a map");
                }
            }
            self.doc.commit();
        }
    }

    fn edit(&mut self, id: &str, field: usize, value: &Scalar, wanted: bool) -> Vec<u8> {
        let before = self.version();
        let record = self.records.get(id).and_then(|found| found.into_container().ok()).and_then(|found| found.into_map().ok());
        record.expect("a record").insert(FIELDS[field], loro_value(value)).expect("a scalar in a map");
        self.doc.commit();
        if wanted { self.delta(&before) } else { Vec::new() }
    }

    fn version(&mut self) -> VersionVector {
        self.doc.oplog_vv()
    }

    fn delta(&mut self, since: &VersionVector) -> Vec<u8> {
        self.doc.export(ExportMode::updates(since)).expect("what it holds")
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.doc.export(ExportMode::Snapshot).expect("what it holds")
    }

    fn apply(&mut self, bytes: &[u8]) {
        self.doc.import(bytes).expect(OURS);
    }

    fn read_all(&self) -> usize {
        let LoroValue::Map(records) = self.records.get_deep_value() else { return 0 };
        records.values().map(|record| if let LoroValue::Map(fields) = record { fields.len() } else { 0 }).sum()
    }
}

pub struct Automerge {
    doc: AutoCommit,
    records: Option<ObjId>,
    known: HashMap<String, ObjId>,
}

fn scalar(value: &Scalar) -> ScalarValue {
    match value {
        Scalar::Int(int) => ScalarValue::Int(*int),
        Scalar::Text(text) => ScalarValue::Str(text.as_str().into()),
    }
}

impl Automerge {
    fn find(&mut self) -> ObjId {
        if self.records.is_none() {
            self.records = self.doc.get(ROOT, ROOT_MAP).expect("a document").map(|(_, id)| id);
        }
        self.records.clone().expect("a root map")
    }
}

impl Library for Automerge {
    const NAME: &'static str = "automerge";
    type Version = Vec<automerge::ChangeHash>;

    fn new(replica: u64) -> Self {
        let mut actor = [0x9e; 16];
        actor[8..].copy_from_slice(&replica.to_be_bytes());
        let doc = AutoCommit::new().with_actor(automerge::ActorId::from(actor));
        Self { doc, records: None, known: HashMap::new() }
    }

    fn load(&mut self, records: &[Record]) {
        let root = self.doc.put_object(ROOT, ROOT_MAP, ObjType::Map).expect("a map in the root");
        for batch in records.chunks(LOAD_BATCH) {
            for record in batch {
                let map = self.doc.put_object(&root, record.id.as_str(), ObjType::Map).expect("a map in a map");
                for (name, value) in FIELDS.iter().zip(&record.fields) {
                    self.doc.put(&map, *name, scalar(value)).expect("a scalar in a map");
                }
            }
            self.doc.commit();
        }
        self.records = Some(root);
    }

    fn edit(&mut self, id: &str, field: usize, value: &Scalar, wanted: bool) -> Vec<u8> {
        let root = self.find();
        let before = if wanted { self.version() } else { Vec::new() };
        if !self.known.contains_key(id) {
            let (_, map) = self.doc.get(&root, id).expect("a document").expect("a record");
            self.known.insert(id.to_owned(), map);
        }
        self.doc.put(&self.known[id], FIELDS[field], scalar(value)).expect("a scalar in a map");
        self.doc.commit();
        if wanted { self.delta(&before) } else { Vec::new() }
    }

    fn version(&mut self) -> Self::Version {
        self.doc.get_heads()
    }

    fn delta(&mut self, since: &Self::Version) -> Vec<u8> {
        self.doc.save_after(since)
    }

    fn snapshot(&mut self) -> Vec<u8> {
        self.doc.save()
    }

    fn apply(&mut self, bytes: &[u8]) {
        self.doc.load_incremental(bytes).expect(OURS);
    }

    fn read_all(&self) -> usize {
        let Some((_, root)) = self.doc.get(ROOT, ROOT_MAP).expect("a document") else { return 0 };
        let ids: Vec<String> = self.doc.keys(&root).collect();
        ids.iter().map(|id| self.doc.get(&root, id.as_str()).expect("a document").map_or(0, |(_, map)| self.doc.length(&map))).sum()
    }
}
