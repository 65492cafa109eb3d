//! Where nodes stand in a layered drawing: the method of Sugiyama, Tagawa and Toda ("Methods for visual
//! understanding of hierarchical system structures", 1981).
//!
//! 1. Layers: a node is one below the lowest of those it reads.
//! 2. Edges over several layers get a place in each of them. Edges of one node share these places, and
//!    there is a limit to how many stops they have in all (VW-2): beyond it edges go straight.
//! 3. Order: a few sweeps, down and up, put each place at the mean position of those it is joined with.
//! 4. Coordinates: a few sweeps bring each place to the mean of its neighbours, as near as order and
//!    widths allow; the nearest of a layer is found by joining places that push each other (Ayer and
//!    others, "An empirical distribution function for sampling with incomplete information", 1955).

/// Sweeps of each kind.
const SWEEPS: usize = 8;

/// Stops of long edges for each node, at most.
const STOPS_PER_NODE: usize = 16;

/// The layer of each of `count` nodes; edges lead from lower to higher positions.
pub(super) fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; count];
    for (from, to) in by_target(edges) {
        layer[to] = layer[to].max(layer[from] + 1);
    }
    layer
}

fn by_target(edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut sorted = edges.to_vec();
    sorted.sort_by_key(|(_, to)| *to);
    sorted
}

/// Something that takes room in a layer: a node, or the way of edges.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) layer: usize,
    pub(super) width: f64,
    /// Its middle.
    pub(super) x: f64,
    up: Vec<usize>,
    down: Vec<usize>,
}

/// A drawing with coordinates.
pub(super) struct Layered {
    /// The nodes, and behind them the ways of edges.
    pub(super) places: Vec<Place>,
    /// Of each layer, from left to right.
    pub(super) rows: Vec<Vec<usize>>,
    /// For each edge the places between its ends, in order.
    pub(super) ways: Vec<Vec<usize>>,
    pub(super) width: f64,
}

/// Lays out nodes of these layers and widths; `gap` is left between neighbours.
pub(super) fn lay_out(
    layer: &[usize],
    widths: &[f64],
    edges: &[(usize, usize)],
    gap: f64,
) -> Layered {
    let place = |layer: usize, width: f64| Place {
        layer,
        width,
        x: 0.0,
        up: Vec::new(),
        down: Vec::new(),
    };
    let nodes = layer.iter().zip(widths);
    let mut layered = Layered {
        places: nodes.map(|(layer, width)| place(*layer, *width)).collect(),
        rows: vec![Vec::new(); layer.iter().max().map_or(0, |last| last + 1)],
        ways: vec![Vec::new(); edges.len()],
        width: 0.0,
    };
    layered.add_ways(layer, edges);
    for at in 0..layered.places.len() {
        layered.rows[layered.places[at].layer].push(at);
    }
    layered.order();
    layered.find_coordinates(gap);
    layered
}

impl Layered {
    fn join(&mut self, from: usize, to: usize) {
        self.places[from].down.push(to);
        self.places[to].up.push(from);
    }

    fn add_ways(&mut self, layer: &[usize], edges: &[(usize, usize)]) {
        let mut left = layer.len() * STOPS_PER_NODE;
        // Of each node, one in each layer below it.
        let mut shared: Vec<Vec<usize>> = vec![Vec::new(); layer.len()];
        for (edge, (from, to)) in edges.iter().copied().enumerate() {
            let mut between = (layer[to] - layer[from]).saturating_sub(1);
            match left.checked_sub(between) {
                Some(less) => left = less,
                None => between = 0,
            }
            while shared[from].len() < between {
                let before = shared[from].last().copied().unwrap_or(from);
                let at = self.places.len();
                self.places.push(Place {
                    layer: self.places[before].layer + 1,
                    width: 8.0,
                    x: 0.0,
                    up: Vec::new(),
                    down: Vec::new(),
                });
                self.join(before, at);
                shared[from].push(at);
            }
            let way: Vec<usize> = shared[from].iter().copied().take(between).collect();
            self.join(way.last().copied().unwrap_or(from), to);
            self.ways[edge] = way;
        }
    }

    /// Sorts each layer by the mean position of the layer before it, downwards and upwards in turn.
    fn order(&mut self) {
        let mut position = vec![0.0; self.places.len()];
        let number = |row: &[usize], position: &mut [f64]| {
            for (at, place) in row.iter().enumerate() {
                position[*place] = at as f64;
            }
        };
        for row in &self.rows {
            number(row, &mut position);
        }
        for sweep in 0..SWEEPS {
            let is_down = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 0..count {
                let at = if is_down { step } else { count - 1 - step };
                let mut row = std::mem::take(&mut self.rows[at]);
                let mut keyed: Vec<(f64, usize)> = row
                    .iter()
                    .map(|place| (self.mean(*place, is_down, &position), *place))
                    .collect();
                // Stable: equals keep their order.
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                row.clear();
                row.extend(keyed.into_iter().map(|(_, place)| place));
                number(&row, &mut position);
                self.rows[at] = row;
            }
        }
    }

    /// The mean of a place's neighbours above or below it; its own value if it has none.
    fn mean(&self, place: usize, above: bool, value: &[f64]) -> f64 {
        let place_of = &self.places[place];
        let beside = if above { &place_of.up } else { &place_of.down };
        if beside.is_empty() {
            return value[place];
        }
        beside.iter().map(|at| value[*at]).sum::<f64>() / beside.len() as f64
    }

    fn find_coordinates(&mut self, gap: f64) {
        let mut x = vec![0.0; self.places.len()];
        for row in &self.rows {
            let wish: Vec<f64> = vec![0.0; row.len()];
            self.settle(row, &wish, gap, &mut x);
        }
        for sweep in 0..SWEEPS {
            let is_down = sweep % 2 == 0;
            let count = self.rows.len();
            for step in 0..count {
                let row = &self.rows[if is_down { step } else { count - 1 - step }];
                let wish: Vec<f64> = row.iter().map(|at| self.mean(*at, is_down, &x)).collect();
                self.settle(row, &wish, gap, &mut x);
            }
        }
        let left = |at: usize| x[at] - self.places[at].width / 2.0;
        let least = (0..x.len()).map(left).fold(f64::INFINITY, f64::min);
        for (place, x) in self.places.iter_mut().zip(&x) {
            place.x = if least.is_finite() { x - least } else { *x };
            self.width = self.width.max(place.x + place.width / 2.0);
        }
    }

    /// Puts the places of a row as near to their wishes as their order and widths allow.
    fn settle(&self, row: &[usize], wish: &[f64], gap: f64, x: &mut [f64]) {
        // Measured from where each would be if all were packed, places need only not go down.
        let mut packed = Vec::with_capacity(row.len());
        let mut end = 0.0;
        for place in row {
            let width = self.places[*place].width;
            packed.push(end + width / 2.0);
            end += width + gap;
        }
        // Blocks of neighbours that push each other: sum of wishes and count.
        let mut blocks: Vec<(f64, usize)> = Vec::new();
        for (wish, packed) in wish.iter().zip(&packed) {
            let mut block = (wish - packed, 1);
            while let Some(before) = blocks.last()
                && before.0 / before.1 as f64 >= block.0 / block.1 as f64
            {
                block = (block.0 + before.0, block.1 + before.1);
                blocks.pop();
            }
            blocks.push(block);
        }
        let shifts = blocks
            .iter()
            .flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f64, *count));
        for ((place, packed), shift) in row.iter().zip(packed).zip(shifts) {
            x[*place] = packed + shift;
        }
    }
}
