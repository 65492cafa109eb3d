//! A store that spills.

use super::*;

pub fn a_store_of_8_mib_holds_40_and_its_file_is_empty_afterwards(io: &Arc<dyn FileIo>) {
    let folder = Folder::new();
    let file = Arc::new(SpillFile::create(&folder.0, io.clone()).expect("a spill file"));
    let mut config = StoreConfig::new(8 * MIB);
    config.huge_pages = HugePages::Off;
    config.spill = Some(file.clone());
    let store = Store::new(config).expect("a store");
    let shelved: Vec<Shelved> = (0..40)
        .map(|seed| {
            let mut made = store.create(MIB).expect("room, after spilling");
            made.copy_from_slice(&object(MIB, seed));
            store.shelve(made.seal(), Leave::ToDisk).expect("spillable")
        })
        .collect();
    assert!(file.usage().objects >= 32, "{:?}", file.usage());
    for (seed, shelved) in (0..40).zip(&shelved) {
        let back = shelved.get().expect("restored");
        assert!(back[..] == object(MIB, seed)[..], "{seed}");
    }
    drop(shelved);
    assert_eq!((file.usage().objects, file.usage().disk_bytes), (0, 0));
}

pub fn a_store_names_the_full_disk_and_loses_nothing(io: &Arc<dyn FileIo>) {
    let disk: Arc<dyn FileIo> = Arc::new(BadDisk {
        good: io.clone(),
        room: 4 * MIB as u64,
        is_full_late: false,
        flips: false,
    });
    let (folder, file) = spill_file(&disk);
    let mut config = StoreConfig::new(8 * MIB);
    config.huge_pages = HugePages::Off;
    config.spill = Some(Arc::new(file));
    let store = Store::new(config).expect("a store");
    let mut shelved = Vec::new();
    let error = loop {
        assert!(shelved.len() < 20, "12 MiB are all there is");
        match store.create(MIB) {
            Ok(mut made) => {
                made.copy_from_slice(&object(MIB, shelved.len() as u8));
                shelved.push(store.shelve(made.seal(), Leave::ToDisk).expect("spillable"));
            }
            Err(error) => break error.to_string(),
        }
    };
    let directory = folder.0.to_str().expect("text");
    assert!(
        error.contains("no room to spill") && error.contains(directory),
        "{error}"
    );
    // Memory and disk are both full; those that are here make room for those that are away.
    let (here, away): (Vec<_>, Vec<_>) = (0..)
        .zip(shelved)
        .partition(|(_, shelved)| shelved.is_here());
    assert_eq!(away.len(), 4);
    for (seed, shelved) in here.into_iter().chain(away) {
        let back = shelved.get().expect("here, or room for it");
        assert!(back[..] == object(MIB, seed)[..], "{seed}");
    }
}
