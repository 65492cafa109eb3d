//! Arrays and tensors within one process, in files of other formats, and for other libraries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use maser::dlpack::Memory;
use maser::dtype::{bf16, f16};
use maser::{
    Array, Bool, Bytes, Complex, Config, DType, DlTensor, Element, Error, HugePages, Mode, Tensor,
    TensorError,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn config() -> Config {
    Config::new()
        .num_cpus(1)
        .mode(Mode::Silent)
        .huge_pages(HugePages::Off)
        .store_bytes(64 << 20)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    label: String,
    values: Option<Array<f64>>,
    image: Tensor,
}

fn sample() -> Sample {
    Sample {
        label: "one".into(),
        values: Some(Array::from_vec(vec![0.5, -1.5])),
        image: Tensor::from_vec((0..6_i16).collect(), &[2, 3])
            .unwrap()
            .transpose(),
    }
}

#[maser::task]
fn same(sample: Sample) -> Sample {
    sample
}

fn address(sample: &Sample) -> *const f64 {
    sample.values.as_ref().unwrap().as_ptr()
}

#[test]
fn values_within_a_process_share_their_arrays() {
    for mode in [Mode::Silent, Mode::Inline] {
        maser::run(config().mode(mode), |_| {
            let sample = sample();
            let back = same::remote(sample.clone()).get().unwrap();
            assert_eq!(back, sample);
            assert_eq!(address(&back), address(&sample), "{mode:?}");
            assert_eq!(maser::store_usage().unwrap().objects, 0);
        })
        .unwrap();
    }
}

#[test]
fn other_formats_see_sequences() {
    let sample = sample();
    let text = serde_json::to_string(&sample).unwrap();
    let expected = concat!(
        r#"{"label":"one","values":[0.5,-1.5],"#,
        r#""image":{"dtype":"int16","shape":[3,2],"elements":[0,3,1,4,2,5]}}"#
    );
    assert_eq!(text, expected);
    assert_eq!(serde_json::from_str::<Sample>(&text).unwrap(), sample);
    let wrong = r#"{"dtype":"int16","shape":[2],"elements":[1]}"#;
    let error = serde_json::from_str::<Tensor>(wrong).unwrap_err();
    assert!(error.to_string().contains("[2] has 2"), "{error}");
    let wrong = r#"{"dtype":"int17","shape":[1],"elements":[1]}"#;
    let error = serde_json::from_str::<Tensor>(wrong).unwrap_err();
    assert!(error.to_string().contains("int17 is no type"), "{error}");
    serde_json::from_str::<Array<u8>>("[1,256]").unwrap_err();
}

fn through_text<T: Element + PartialEq + std::fmt::Debug>(elements: Vec<T>) {
    let array = Array::from_vec(elements);
    let text = serde_json::to_string(&array).unwrap();
    assert_eq!(serde_json::from_str::<Array<T>>(&text).unwrap(), array);
}

#[test]
fn every_type_of_element_has_a_text() {
    through_text(vec![Bool::TRUE, Bool::FALSE]);
    through_text(vec![u8::MAX, 0]);
    through_text(vec![i8::MIN, 1]);
    through_text(vec![u16::MAX]);
    through_text(vec![i16::MIN]);
    through_text(vec![u32::MAX]);
    through_text(vec![i32::MIN]);
    through_text(vec![u64::MAX]);
    through_text(vec![i64::MIN]);
    through_text(vec![f16::from_f32(0.1), f16::MAX]);
    through_text(vec![bf16::from_f32(0.1), bf16::MIN]);
    through_text(vec![f32::MIN_POSITIVE, -0.1]);
    through_text(vec![f64::MAX, 0.1]);
    through_text(vec![Complex {
        re: 1.5_f32,
        im: -2.0,
    }]);
    through_text(vec![Complex {
        re: 0.1_f64,
        im: 1e300,
    }]);
    through_text(Vec::<f32>::new());
}

proptest! {
    #[test]
    fn slices_of_arrays_are_those_of_vectors(
        elements in prop::collection::vec(any::<u32>(), 0..40),
        from in 0..40_usize,
        to in 0..40_usize,
    ) {
        let array = Array::from_vec(elements.clone());
        let to = to.min(elements.len());
        let from = from.min(to);
        let part = array.slice(from..to);
        prop_assert_eq!(&part[..], &elements[from..to]);
        prop_assert_eq!(part.as_ptr(), array[from..to].as_ptr());
        prop_assert_eq!(&part.slice(..)[..], &elements[from..to]);
    }
}

#[test]
#[should_panic(expected = "2..5 of an array of 4 elements")]
fn a_slice_beyond_the_end_panics() {
    drop(Array::from_vec(vec![0_u8; 4]).slice(2..=4));
}

#[test]
fn an_array_in_the_store_is_written_in_place() {
    let array = maser::run(config(), |_| {
        let mut array = Array::<u64>::in_store(100).unwrap();
        array.fill(7);
        let place = array.as_ptr();
        let array = array.seal();
        assert_eq!(array.as_ptr(), place);
        assert!(array.is_in_store() && !array.is_foreign());
        assert_eq!(array.as_ptr().addr() % 64, 0);
        assert_eq!(maser::store_usage().unwrap().objects, 1);
        drop(Array::<u64>::in_store(5).unwrap());
        assert_eq!(maser::store_usage().unwrap().objects, 1);
        assert_eq!(Array::copied(&array).unwrap(), array);
        assert_eq!(Array::<f64>::in_store(0).unwrap().seal().len(), 0);
        array
    })
    .unwrap();
    // Its runtime is gone, and it is still there.
    assert_eq!(array[..], [7; 100]);
}

#[test]
fn what_the_store_cannot_do_is_a_typed_error() {
    let error = Array::<u8>::in_store(1).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "{error}");
    maser::run(config(), |_| {
        let error = Array::<u8>::in_store(65 << 20).unwrap_err();
        let Error::StoreFull(full) = &error else {
            panic!("{error}");
        };
        assert_eq!((full.asked, full.budget), (65 << 20, 64 << 20));
        let error = Array::<u64>::in_store(usize::MAX / 2).unwrap_err();
        assert!(matches!(error, Error::Store(_)), "{error}");
        assert!(error.to_string().contains("the largest has"), "{error}");
    })
    .unwrap();
    let missing = config().spill_directory("/nonexistent/spill");
    maser::run(missing, |_| {
        let error = Array::<u8>::in_store(1).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/spill"), "{error}");
    })
    .unwrap();
}

#[test]
fn bytes_are_text_where_they_are() {
    let bytes = Bytes::from("hello");
    assert_eq!(bytes, "hello");
    assert_eq!(bytes.as_str(), Ok("hello"));
    Bytes::from(&[0xff]).as_str().unwrap_err();
    let long = format!("{:?}", Bytes::from_vec(vec![1; 1000]));
    assert!(long.contains("992 more"), "{long}");
}

#[test]
fn a_tensor_is_seen_as_what_it_is() {
    let tensor = Tensor::from_vec((0..12_i32).collect(), &[3, 4]).unwrap();
    let error = tensor.view::<f32>().err().unwrap();
    let text = "the elements are int32, not float32; ask for int32";
    assert_eq!(error.to_string(), text);
    let view = tensor.view::<i32>().unwrap();
    assert_eq!(view.get(&[2, 3]), Some(&11));
    assert_eq!(view.get(&[3, 0]), None);
    let column = tensor.select(1, 2).unwrap();
    assert_eq!(
        column.view::<i32>().unwrap().iter().collect::<Vec<_>>(),
        [2, 6, 10]
    );
    let error = column.to_array::<i32>().unwrap_err();
    assert!(
        matches!(&error, Error::Tensor(inner) if matches!(**inner, TensorError::NotContiguous { .. })),
        "{error}"
    );
    let copied = column.to_contiguous().unwrap();
    assert_eq!(copied.to_array::<i32>().unwrap()[..], [2, 6, 10]);
    let row = tensor.select(0, 1).unwrap().to_array::<i32>().unwrap();
    assert_eq!(row[..], [4, 5, 6, 7]);
    let error = Tensor::from_vec(vec![0_u8; 3], &[2, 2]).unwrap_err();
    assert!(error.to_string().contains("[2, 2] has 4"), "{error}");
    let error = Tensor::strided(&row, &[2], &[-3], 2).unwrap_err();
    assert!(
        error.to_string().contains("reaches from element -1 to 2"),
        "{error}"
    );
    let reversed = Tensor::strided(&row, &[4], &[-1], 3).unwrap();
    assert_eq!(
        reversed.view::<i32>().unwrap().iter().collect::<Vec<_>>(),
        [7, 6, 5, 4]
    );
}

/// Another library's memory.
struct Theirs(Vec<u8>, Arc<AtomicUsize>);

impl Memory for Theirs {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_tensor_of_another_library_goes_back_to_it_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let theirs = Theirs((0..12).collect(), drops.clone());
    let address = theirs.0.as_ptr();
    let layout = Tensor::from_vec(vec![0_u8; 12], &[3, 4]).unwrap();
    assert_eq!(layout.dtype(), DType::U8);
    let exported = maser::DlTensor::export_versioned(
        theirs,
        DType::U8,
        &maser::Layout::contiguous(layout.shape()).unwrap(),
    );
    let tensor = Tensor::from_dlpack(exported.unwrap()).unwrap();
    assert!(!tensor.is_in_store());
    let row = tensor.select(0, 1).unwrap();
    drop(tensor);
    let array = row.to_array::<u8>().unwrap();
    drop(row);
    assert_eq!(array[..], [4, 5, 6, 7]);
    assert_eq!(array.as_ptr(), address.wrapping_add(4), "it was not copied");
    // And on to a third one, which keeps it.
    let on: DlTensor = Tensor::try_from(array).unwrap().to_dlpack().unwrap();
    assert!(on.is_read_only());
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    drop(on.into_plain().unwrap_err());
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}
