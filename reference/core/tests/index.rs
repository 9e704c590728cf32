//! The merge of the collections' indexes is the sorted list of what changed, however it is paged. (SYNC-8, SUB-5, SUB-6)

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use syncline::change::RecordName;
use syncline::space::{Changed, Space};
use syncline::store::MemoryStore;

const COLLECTIONS: [&str; 4] = ["a", "a\0", "ab", "b"];

fn name(changed: &Changed) -> &RecordName {
    match changed {
        Changed::Life(record, _) | Changed::Cell(record, ..) => record,
    }
}

proptest! {
    #[test]
    fn collections_merge_by_position(
        raised in vec((0usize..4, 0u8..5), 0..60),
        above in vec(prop::option::of(0u64..60), 4),
        limit in 1usize..30,
        left in prop::option::of(0usize..4),
    ) {
        let mut store = MemoryStore::default();
        let space = Space::new(b"x");
        let mut lives: BTreeMap<RecordName, (u64, u64)> = BTreeMap::new();
        for (position, (collection, id)) in (1..).zip(raised) {
            let record = RecordName { collection: COLLECTIONS[collection].into(), id: id.to_string() };
            let life = lives.get(&record).map_or(1, |(_, life)| life + 1);
            space.set_life(&mut store, &record, life, position).expect("a store in memory does not fail");
            lives.insert(record, (position, life));
        }
        if let Some(left) = left {
            space.clear_collection(&mut store, COLLECTIONS[left]).expect("a store in memory does not fail");
            lives.retain(|record, _| record.collection != COLLECTIONS[left]);
        }
        let from = |collection: &str| above[COLLECTIONS.iter().position(|known| *known == collection)?];
        let changed = space.changed_after(&store, from, limit).expect("a store in memory does not fail");
        let found: Vec<(u64, RecordName)> = changed.iter().map(|(position, changed)| (*position, name(changed).clone())).collect();
        let wanted = |(record, (position, _)): (&RecordName, &(u64, u64))| {
            from(&record.collection).is_some_and(|above| *position > above).then(|| (*position, record.clone()))
        };
        let mut expected: Vec<(u64, RecordName)> = lives.iter().filter_map(wanted).collect();
        expected.sort();
        expected.truncate(limit);
        prop_assert_eq!(found, expected);
        let mut there: Vec<&str> = lives.keys().map(|record| record.collection.as_str()).collect();
        there.dedup();
        prop_assert_eq!(space.collections(&store).expect("a store in memory does not fail"), there);
    }
}
