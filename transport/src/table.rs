//! The endpoints of one transport, in places that are used again under another generation.

use crate::endpoint::Endpoint;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Endpoints<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    max: usize,
}

impl<T> Endpoints<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            max,
        }
    }

    /// A place for what `make` gives; `None` if there are as many as there may be.
    pub(crate) fn insert(&mut self, make: impl FnOnce(Endpoint) -> T) -> Option<Endpoint> {
        if self.free.is_empty() {
            let index = u32::try_from(self.places.len()).ok()?;
            if self.places.len() >= self.max {
                return None;
            }
            self.places.push((0, None));
            self.free.push(index);
        }
        let index = self.free.pop()?;
        let (generation, place) = &mut self.places[index as usize];
        let endpoint = Endpoint::new(index, *generation);
        *place = Some(make(endpoint));
        Some(endpoint)
    }

    pub(crate) fn get(&self, endpoint: Endpoint) -> Option<&T> {
        let (generation, place) = self.places.get(endpoint.index())?;
        (*generation == endpoint.generation()).then_some(place.as_ref())?
    }

    pub(crate) fn get_mut(&mut self, endpoint: Endpoint) -> Option<&mut T> {
        let (generation, place) = self.places.get_mut(endpoint.index())?;
        (*generation == endpoint.generation()).then_some(place.as_mut())?
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Endpoint, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, (generation, place))| {
            Some((Endpoint::new(index as u32, *generation), place.as_ref()?))
        })
    }

    /// Whatever is in this place.
    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut T> {
        self.places.get_mut(index)?.1.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places
            .iter_mut()
            .filter_map(|(_, place)| place.as_mut())
    }

    /// How many places there are, used or not.
    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// What is in a place.
    pub(crate) fn at(&mut self, index: usize) -> Option<&mut T> {
        self.places.get_mut(index)?.1.as_mut()
    }

    /// All of them, by their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = (Endpoint, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, (generation, place))| {
            Some((Endpoint::new(index as u32, *generation), place.as_ref()?))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Frees its place. A place whose generations are used up stays empty.
    pub(crate) fn remove(&mut self, endpoint: Endpoint) -> Option<T> {
        let (generation, place) = self.places.get_mut(endpoint.index())?;
        if *generation != endpoint.generation() {
            return None;
        }
        let taken = place.take()?;
        if let Some(next) = generation.checked_add(1) {
            *generation = next;
            self.free.push(endpoint.index() as u32);
        }
        Some(taken)
    }

    /// All of them, which are there no more.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        let all = (0..self.places.len()).map(|index| {
            let endpoint = Endpoint::new(index as u32, self.places[index].0);
            self.remove(endpoint)
        });
        all.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_under_another_name() {
        let mut endpoints = Endpoints::new(1);
        let first = endpoints.insert(|_| 1).expect("there is a place");
        assert_eq!(endpoints.insert(|_| 2), None);
        assert_eq!(endpoints.remove(first), Some(1));
        assert_eq!(endpoints.remove(first), None);
        let second = endpoints.insert(|_| 2).expect("its place is free");
        assert_ne!(first, second);
        assert_eq!(
            (endpoints.get(first), endpoints.get(second)),
            (None, Some(&2))
        );
        assert_eq!(endpoints.take_all(), [2]);
        assert_eq!(endpoints.get(second), None);
    }
}
