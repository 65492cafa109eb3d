//! Layouts against a model that is nothing but a list of places.
#![cfg(not(loom))]

use maser_shm::tensor::{Layout, RANK_MAX, TensorError};
use proptest::prelude::*;

/// Miri takes some hundred times as long for each.
const CASES: u32 = if cfg!(miri) { 8 } else { 256 };

/// A tensor as a shape and the place of each element in row-major order.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    shape: Vec<usize>,
    places: Vec<usize>,
}

impl Model {
    fn new(shape: &[usize]) -> Self {
        let count = shape.iter().product();
        Self {
            shape: shape.to_vec(),
            places: (0..count).collect(),
        }
    }

    fn at(&self, index: &[usize]) -> usize {
        let axes = index.iter().zip(&self.shape);
        self.places[axes.fold(0, |flat, (at, length)| flat * length + at)]
    }

    /// What each index of `shape` maps to here.
    fn view(&self, shape: Vec<usize>, map: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let places = indices(&shape)
            .into_iter()
            .map(|index| self.at(&map(&index)));
        let places = places.collect();
        Self { shape, places }
    }
}

fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, length| {
        let longer =
            |index: Vec<usize>| (0..*length).map(move |at| [index.clone(), vec![at]].concat());
        all.into_iter().flat_map(longer).collect()
    })
}

/// One step from layout to layout; the numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Slice(usize, usize, usize, isize),
    Select(usize, usize),
    Permute(Vec<usize>),
    Transpose,
    Reshape(Vec<usize>),
    Axis(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4_usize, 0..9_usize, 0..9_usize, -3..4_isize)
            .prop_map(|(axis, a, b, step)| Step::Slice(axis, a.min(b), a.max(b), step)),
        (0..4_usize, 0..6_usize).prop_map(|(axis, at)| Step::Select(axis, at)),
        Just(vec![0, 1, 2, 3])
            .prop_shuffle()
            .prop_map(Step::Permute),
        Just(Step::Transpose),
        prop::collection::vec(1..7_usize, 1..4).prop_map(Step::Reshape),
        (0..4_usize).prop_map(Step::Axis),
    ];
    prop::collection::vec(step, 0..6)
}

/// Both sides of one step; `None` where the layout says that it cannot be.
fn take(step: &Step, layout: &Layout, model: &Model) -> Option<(Layout, Model)> {
    let rank = layout.rank();
    match step {
        Step::Slice(axis, start, end, step) => {
            let possible = *axis < rank && *step != 0 && *end <= model.shape[*axis];
            let view = layout.slice(*axis, *start..*end, *step);
            assert_eq!(view.is_ok(), possible);
            let mut taken: Vec<usize> = (*start..*end).collect();
            if *step < 0 {
                taken.reverse();
            }
            let taken: Vec<usize> = match step.unsigned_abs() {
                0 => return None,
                by => taken.into_iter().step_by(by).collect(),
            };
            let view = view.ok()?;
            let mut shape = model.shape.clone();
            shape[*axis] = taken.len();
            let model = model.view(shape, |index| {
                let mut index = index.to_vec();
                index[*axis] = taken[index[*axis]];
                index
            });
            Some((view, model))
        }
        Step::Select(axis, at) => {
            let view = layout.select(*axis, *at);
            assert_eq!(view.is_ok(), *axis < rank && *at < model.shape[*axis]);
            let view = view.ok()?;
            let mut shape = model.shape.clone();
            shape.remove(*axis);
            let model = model.view(shape, |index| {
                let mut index = index.to_vec();
                index.insert(*axis, *at);
                index
            });
            Some((view, model))
        }
        Step::Permute(axes) => {
            let axes: Vec<usize> = axes.iter().copied().filter(|axis| *axis < rank).collect();
            let view = layout.permuted(&axes);
            assert_eq!(view.is_ok(), axes.len() == rank);
            let view = view.ok()?;
            let shape = axes.iter().map(|axis| model.shape[*axis]).collect();
            let model = model.view(shape, |index| {
                let mut old = vec![0; rank];
                for (at, axis) in axes.iter().enumerate() {
                    old[*axis] = index[at];
                }
                old
            });
            Some((view, model))
        }
        Step::Transpose => {
            let shape = model.shape.iter().rev().copied().collect();
            let model = model.view(shape, |index| index.iter().rev().copied().collect());
            Some((layout.transposed(), model))
        }
        Step::Reshape(shape) => {
            let count: usize = shape.iter().product();
            match layout.reshaped(shape) {
                Ok(view) => {
                    let places = model.places.clone();
                    let shape = shape.clone();
                    Some((view, Model { shape, places }))
                }
                Err(TensorError::ElementCount { .. }) => {
                    assert_ne!(count, layout.len());
                    None
                }
                Err(TensorError::NeedsCopy { .. }) => {
                    assert!(!layout.is_contiguous(), "{layout:?} to {shape:?}");
                    None
                }
                Err(other) => panic!("{other}"),
            }
        }
        Step::Axis(axis) => {
            let view = layout.with_axis(*axis);
            assert_eq!(view.is_ok(), *axis <= rank);
            let view = view.ok()?;
            let mut shape = model.shape.clone();
            shape.insert(*axis, 1);
            let places = model.places.clone();
            Some((view, Model { shape, places }))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn views_name_the_elements_that_the_model_names(
        shape in prop::collection::vec(0..5_usize, 0..4),
        steps in steps(),
    ) {
        let mut layout = Layout::contiguous(&shape).unwrap();
        let mut model = Model::new(&shape);
        for step in steps {
            if let Some(next) = take(&step, &layout, &model) {
                (layout, model) = next;
            }
            prop_assert_eq!(layout.shape(), &model.shape[..]);
            prop_assert_eq!(layout.len(), model.places.len());
            prop_assert_eq!(layout.places().collect::<Vec<_>>(), &model.places[..]);
            for (index, place) in indices(&model.shape).iter().zip(&model.places) {
                prop_assert_eq!(layout.place(index).unwrap(), *place);
            }
            let one_after_the_other = model.places.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            prop_assert_eq!(layout.is_contiguous(), one_after_the_other);
            let (first, span) = layout.span();
            prop_assert_eq!(span == 0, model.places.is_empty());
            if let (Some(low), Some(high)) = (model.places.iter().min(), model.places.iter().max()) {
                prop_assert_eq!((first, span), (*low, high - low + 1));
            }
        }
    }

    #[test]
    fn strides_are_taken_only_if_every_element_is_in_the_buffer(
        shape in prop::collection::vec(0..4_usize, 0..4),
        strides in prop::collection::vec(-5..6_isize, 0..4),
        offset in 0..12_usize,
        available in 0..24_usize,
    ) {
        let made = Layout::strided(&shape, &strides, offset, available);
        if shape.len() != strides.len() {
            let counts = matches!(made, Err(TensorError::StrideCount { .. }));
            prop_assert!(counts);
            return Ok(());
        }
        let places: Vec<isize> = indices(&shape)
            .iter()
            .map(|index| {
                let steps = index.iter().zip(&strides);
                offset as isize + steps.map(|(at, stride)| *at as isize * stride).sum::<isize>()
            })
            .collect();
        let inside = places.iter().all(|place| (0..available as isize).contains(place));
        // A tensor without elements may begin at the end of the buffer, and not beyond.
        let inside = inside && (!places.is_empty() || offset <= available);
        prop_assert_eq!(made.is_ok(), inside, "{:?}", made);
        if let Ok(layout) = made {
            let found: Vec<isize> = layout.places().map(|place| place as isize).collect();
            prop_assert_eq!(found, places);
        }
    }

    #[test]
    fn no_shape_and_no_stride_overflows(
        shape in prop::collection::vec(any::<usize>(), 0..6),
        strides in prop::collection::vec(any::<isize>(), 0..6),
        offset in any::<usize>(),
        available in any::<usize>(),
    ) {
        if let Ok(layout) = Layout::strided(&shape, &strides, offset, available) {
            let (first, span) = layout.span();
            prop_assert!(span <= available && first <= available - span);
        }
        let _any = Layout::contiguous(&shape);
    }
}

#[test]
fn errors_say_what_was_asked_for_and_what_there_is() {
    let layout = Layout::contiguous(&[2, 3]).unwrap();
    let text = |result: Result<Layout, TensorError>| result.unwrap_err().to_string();
    assert_eq!(
        text(layout.reshaped(&[4])),
        "shape [2, 3] has 6 elements and [4] has 4; a reshape keeps their number"
    );
    assert!(text(layout.transposed().reshaped(&[6])).contains("without a copy"));
    assert!(text(layout.permuted(&[0, 0])).contains("[0, 0] is no order of 2 axes"));
    assert!(text(layout.slice(1, 2..4, 1)).contains("2..4 in steps of 1 is no slice of axis 1"));
    assert!(text(layout.select(2, 0)).contains("no axis 2"));
    assert!(text(Layout::contiguous(&[1; RANK_MAX + 1])).contains("33 axes"));
    assert!(text(Layout::contiguous(&[usize::MAX, 2])).contains("more elements than memory"));
    let outside = Layout::strided(&[3], &[-2], 3, 8);
    assert!(text(outside).contains("reaches from element -1 to 3"));
}

#[test]
fn a_number_is_a_tensor_without_axes() {
    let number = Layout::contiguous(&[]).unwrap();
    assert_eq!((number.len(), number.rank()), (1, 0));
    assert_eq!(number.place(&[]).unwrap(), 0);
    assert_eq!(number.reshaped(&[1, 1]).unwrap().shape(), [1, 1]);
}
