//! DLPack both ways: what comes back is what went out, and deleters are called once.
#![cfg(not(loom))]
#![allow(unsafe_code, reason = "plays a producer of C structs")]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser_shm::tensor::dlpack::{
    DlBorrowed, DlDataType, DlDevice, DlManaged, DlVersion, DlVersioned, FLAG_READ_ONLY, Memory,
};
use maser_shm::tensor::{DType, DlTensor, Imported, Layout, TensorError};
use proptest::prelude::*;

/// Memory that counts how often it was dropped.
struct Counted {
    words: Vec<u64>,
    drops: Arc<AtomicUsize>,
}

impl Memory for Counted {
    fn bytes(&self) -> &[u8] {
        // SAFETY: any byte of a number is a byte.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.words.len() * 8) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted(words: usize) -> (Counted, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let words = (0..words as u64).collect();
    let memory = Counted {
        words,
        drops: drops.clone(),
    };
    (memory, drops)
}

/// The elements of an imported tensor of `u64`, in order.
fn elements(imported: &Imported) -> Vec<u64> {
    let bytes = imported.bytes();
    let element = |place: usize| bytes[place * 8..][..8].try_into().unwrap();
    let places = imported.layout().places();
    places
        .map(|place| u64::from_ne_bytes(element(place)))
        .collect()
}

proptest! {
    #[test]
    fn what_is_exported_comes_back(
        shape in prop::collection::vec(0..5_usize, 0..4),
        reversed in any::<bool>(),
        transposed in any::<bool>(),
        versioned in any::<bool>(),
    ) {
        let mut layout = Layout::contiguous(&shape).unwrap();
        let words = layout.len();
        if reversed && !shape.is_empty() {
            layout = layout.slice(0, 0..shape[0], -1).unwrap();
        }
        if transposed {
            layout = layout.transposed();
        }
        let (memory, drops) = counted(words);
        let start = memory.bytes().as_ptr();
        let exported = match versioned {
            true => DlTensor::export_versioned(memory, DType::U64, &layout).unwrap(),
            false => DlTensor::export_plain(memory, DType::U64, &layout).unwrap(),
        };
        prop_assert_eq!(exported.is_read_only(), versioned);
        let imported = Imported::new(exported).unwrap();
        prop_assert_eq!(imported.layout().shape(), layout.shape());
        let expected: Vec<u64> = layout.places().map(|place| place as u64).collect();
        prop_assert_eq!(elements(&imported), expected);
        if !layout.is_empty() {
            prop_assert_eq!(imported.bytes().as_ptr(), start, "it was not copied");
        }
        let clone = imported.clone();
        drop(imported);
        prop_assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(clone);
        prop_assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}

/// A producer's tensor with figures that a test may spoil.
struct Producer {
    words: Vec<u64>,
    shape: Vec<i64>,
    strides: Vec<i64>,
    managed: DlVersioned,
}

static DELETED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn count_and_free(managed: *mut DlVersioned) {
    // SAFETY: made by `produce`, and not used again.
    drop(unsafe { Box::from_raw((*managed).context.cast::<Producer>()) });
    DELETED.fetch_add(1, Ordering::Relaxed);
}

fn produce(spoil: impl FnOnce(&mut Producer)) -> DlTensor {
    let mut producer = Box::new(Producer {
        words: (0..8).collect(),
        shape: vec![2, 3],
        strides: vec![3, 1],
        managed: DlVersioned {
            version: DlVersion { major: 1, minor: 9 },
            context: std::ptr::null_mut(),
            deleter: Some(count_and_free),
            flags: 0,
            tensor: DlBorrowed {
                data: std::ptr::null_mut(),
                device: DlDevice { kind: 1, number: 0 },
                ndim: 2,
                dtype: DlDataType {
                    code: 1,
                    bits: 64,
                    lanes: 1,
                },
                shape: std::ptr::null_mut(),
                strides: std::ptr::null_mut(),
                byte_offset: 16,
            },
        },
    });
    producer.managed.tensor.data = producer.words.as_mut_ptr().cast();
    producer.managed.tensor.shape = producer.shape.as_mut_ptr();
    producer.managed.tensor.strides = producer.strides.as_mut_ptr();
    spoil(&mut producer);
    let producer = Box::into_raw(producer);
    // SAFETY: just made; the deleter frees it.
    unsafe {
        (*producer).managed.context = producer.cast::<c_void>();
        DlTensor::from_versioned(NonNull::new_unchecked(&raw mut (*producer).managed))
    }
}

/// In one test, because the count is one.
#[test]
fn a_refused_tensor_goes_back_to_its_producer_once() {
    let refused = |spoil: fn(&mut Producer)| {
        let before = DELETED.load(Ordering::Relaxed);
        let error = Imported::new(produce(spoil)).unwrap_err();
        assert_eq!(DELETED.load(Ordering::Relaxed), before + 1, "{error}");
        error
    };
    let error = refused(|producer| producer.managed.tensor.device.kind = 2);
    assert!(
        error.to_string().contains("device type 2 (number 0)"),
        "{error}"
    );
    let error = refused(|producer| producer.managed.version.major = 2);
    assert_eq!(error, TensorError::DlVersion { major: 2, minor: 9 });
    let error = refused(|producer| producer.managed.tensor.dtype.bits = 4);
    assert!(
        matches!(error, TensorError::DlType { bits: 4, .. }),
        "{error}"
    );
    let error = refused(|producer| producer.managed.tensor.dtype.lanes = 4);
    assert!(
        matches!(error, TensorError::DlType { lanes: 4, .. }),
        "{error}"
    );
    let error = refused(|producer| producer.managed.tensor.ndim = -1);
    assert!(matches!(error, TensorError::DlDamaged { .. }), "{error}");
    let error = refused(|producer| producer.managed.tensor.ndim = 1 << 20);
    assert!(matches!(error, TensorError::Rank { .. }), "{error}");
    let error = refused(|producer| producer.shape[0] = -2);
    assert!(matches!(error, TensorError::DlDamaged { .. }), "{error}");
    let error = refused(|producer| producer.shape[0] = i64::MAX);
    assert!(matches!(error, TensorError::TooLarge { .. }), "{error}");
    let error = refused(|producer| producer.strides[0] = i64::MAX);
    assert!(matches!(error, TensorError::TooLarge { .. }), "{error}");
    let error = refused(|producer| producer.managed.tensor.data = std::ptr::null_mut());
    assert!(matches!(error, TensorError::DlDamaged { .. }), "{error}");
    let error = refused(|producer| producer.managed.tensor.byte_offset = 3);
    assert!(
        matches!(error, TensorError::Misaligned { align: 8, .. }),
        "{error}"
    );
    let error = refused(|producer| producer.managed.tensor.shape = std::ptr::null_mut());
    assert!(matches!(error, TensorError::DlDamaged { .. }), "{error}");

    let before = DELETED.load(Ordering::Relaxed);
    let imported = Imported::new(produce(|producer| {
        producer.managed.flags = FLAG_READ_ONLY;
        producer.managed.tensor.strides = std::ptr::null_mut();
    }));
    let imported = imported.unwrap();
    assert!(imported.is_read_only());
    assert_eq!(
        elements(&imported),
        [2, 3, 4, 5, 6, 7],
        "it begins at the byte offset"
    );
    assert_eq!(DELETED.load(Ordering::Relaxed), before);
    drop(imported);
    assert_eq!(DELETED.load(Ordering::Relaxed), before + 1);
}

#[test]
fn a_tensor_that_is_given_away_is_freed_by_its_deleter() {
    let layout = Layout::contiguous(&[4]).unwrap();
    let (memory, drops) = counted(4);
    let exported = DlTensor::export_plain(memory, DType::U64, &layout).unwrap();
    let given: NonNull<DlManaged> = exported.into_plain().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    // SAFETY: as DLPack says: once, by whoever has it.
    unsafe {
        assert_eq!(given.as_ref().tensor.data.addr() % 8, 0);
        (given.as_ref().deleter.unwrap())(given.as_ptr());
    }
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    let (memory, drops) = counted(3);
    let error = DlTensor::export_plain(memory, DType::U64, &layout).unwrap_err();
    assert!(
        matches!(error, TensorError::Bytes { buffer: 24, .. }),
        "{error}"
    );
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}
