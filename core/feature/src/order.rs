//! Orders in which onnxruntime's kernels compute: sums of Eigen, the choice of zeros in `Min` and `Max`, and the selection
//! of `TopK` in libstdc++.

/// Bytes of a vector in the code that onnxruntime's wheels run for these kernels.
const VECTOR: usize = 16;

/// Values of type `T` in a vector.
const fn lanes<T>() -> usize {
    VECTOR / size_of::<T>()
}

/// Values before the first that starts a vector, for a row that starts `place` values behind an aligned address.
fn head<T>(place: usize, size: usize) -> usize {
    let lanes = lanes::<T>();
    ((lanes - place % lanes) % lanes).min(size)
}

/// Folds a row as Eigen's `redux` does for contiguous values that start `place` values behind an aligned address: two
/// vectors side by side, then their lanes, then the values before and behind.
pub(crate) fn fold<T: Copy>(row: &[T], place: usize, join: impl Fn(T, T) -> T) -> T {
    let (lanes, start) = (lanes::<T>(), head::<T>(place, row.len()));
    let (pairs, whole) = ((row.len() - start) / (2 * lanes) * 2 * lanes, (row.len() - start) / lanes * lanes);
    if whole == 0 {
        return row[1..].iter().fold(row[0], |sum, &value| join(sum, value));
    }
    let mut left = [row[0]; 4];
    left[..lanes].copy_from_slice(&row[start..start + lanes]);
    let join_all = |sums: &mut [T; 4], at: usize| {
        for lane in 0..lanes {
            sums[lane] = join(sums[lane], row[at + lane]);
        }
    };
    if whole > lanes {
        let mut right = left;
        right[..lanes].copy_from_slice(&row[start + lanes..start + 2 * lanes]);
        for at in (start + 2 * lanes..start + pairs).step_by(2 * lanes) {
            join_all(&mut left, at);
            join_all(&mut right, at + lanes);
        }
        for lane in 0..lanes {
            left[lane] = join(left[lane], right[lane]);
        }
        if whole > pairs {
            join_all(&mut left, start + pairs);
        }
    }
    let found = if lanes == 4 { join(join(left[0], left[2]), join(left[1], left[3])) } else { join(left[0], left[1]) };
    let before = row[..start].iter();
    before.chain(&row[start + whole..]).fold(found, |sum, &value| join(sum, value))
}

/// Which of two operands `Min` and `Max` give when they are zeros of different sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tie {
    /// The first operand is one number where the second has a vector.
    pub lone_first: bool,
    /// A run of onnxruntime's loop is a row; else it is all rows.
    pub by_row: bool,
    /// Values in a row.
    pub width: usize,
}

impl Tie {
    /// Whether the second operand is given, for values of type `T` in a column of a row, of `rows`.
    pub(crate) fn second<T>(self, row: usize, column: usize, rows: usize) -> bool {
        let lanes = lanes::<T>();
        let lone = self.lone_first || rows * self.width == 1;
        let in_vector = if self.by_row {
            let start = head::<T>(row * self.width, self.width);
            column >= start && column < start + (self.width - start) / lanes * lanes
        } else {
            row * self.width + column < rows * self.width / lanes * lanes
        };
        in_vector != lone
    }
}

/// Sorts values, and their places with them; equal ones keep their order. NaN is not among them.
pub(crate) fn sort_plain<T: Copy>(row: &mut [T], places: &mut [usize], before: impl Fn(T, T) -> bool) {
    for at in 0..row.len() {
        let (value, mut to) = (row[at], at);
        while to > 0 && before(value, row[to - 1]) {
            row[to] = row[to - 1];
            places[to] = places[to - 1];
            to -= 1;
        }
        row[to] = value;
        places[to] = at;
    }
}

/// The places of the `count` best of a row, best first, where `better` says whether a place goes before another: as
/// libstdc++ selects them, which matters where there is NaN, since then `better` is no order.
pub(crate) fn select(places: &mut [usize], count: usize, better: &impl Fn(usize, usize) -> bool) {
    for (at, place) in places.iter_mut().enumerate() {
        *place = at;
    }
    nth_element(places, count - 1, better);
    sort(&mut places[..count], better);
}

/// Whether libstdc++ would select with a heap, which is not compiled.
pub(crate) fn takes_heap(count: usize, size: usize) -> bool {
    #[allow(clippy::cast_precision_loss, reason = "sizes of rows are small")]
    let share = (count as f64).log2() / (size as f64).log2();
    count != 1 && (count < 4 || share < 0.725)
}

/// As `std::nth_element`, without its heap for bad luck: that needs rows far longer than those compiled.
fn nth_element(places: &mut [usize], nth: usize, better: &impl Fn(usize, usize) -> bool) {
    let (mut first, mut last) = (0, places.len());
    while last - first > 3 {
        let cut = partition(places, first, last, better);
        if cut <= nth {
            first = cut;
        } else {
            last = cut;
        }
    }
    insertion_sort(&mut places[first..last], better);
}

/// As `std::sort`, with the same exception.
fn sort(places: &mut [usize], better: &impl Fn(usize, usize) -> bool) {
    fn cut_down(places: &mut [usize], first: usize, mut last: usize, better: &impl Fn(usize, usize) -> bool) {
        while last - first > 16 {
            let cut = partition(places, first, last, better);
            cut_down(places, cut, last, better);
            last = cut;
        }
    }
    cut_down(places, 0, places.len(), better);
    let guarded = places.len().min(16);
    insertion_sort(&mut places[..guarded], better);
    for at in guarded..places.len() {
        insert(places, at, better);
    }
}

fn insertion_sort(places: &mut [usize], better: &impl Fn(usize, usize) -> bool) {
    for at in 1..places.len() {
        if better(places[at], places[0]) {
            places[..=at].rotate_right(1);
        } else {
            insert(places, at, better);
        }
    }
}

fn insert(places: &mut [usize], mut at: usize, better: &impl Fn(usize, usize) -> bool) {
    let place = places[at];
    while at > 0 && better(place, places[at - 1]) {
        places[at] = places[at - 1];
        at -= 1;
    }
    places[at] = place;
}

/// As `std::__unguarded_partition_pivot`.
fn partition(places: &mut [usize], first: usize, last: usize, better: &impl Fn(usize, usize) -> bool) -> usize {
    let (low, middle, high) = (first + 1, first + (last - first) / 2, last - 1);
    let (a, b, c) = (places[low], places[middle], places[high]);
    let median = if better(a, b) {
        if better(b, c) {
            middle
        } else if better(a, c) {
            high
        } else {
            low
        }
    } else if better(a, c) {
        low
    } else if better(b, c) {
        high
    } else {
        middle
    };
    places.swap(first, median);
    let pivot = places[first];
    let (mut left, mut right) = (first + 1, last);
    loop {
        while better(places[left], pivot) {
            left += 1;
        }
        right -= 1;
        while better(pivot, places[right]) {
            right -= 1;
        }
        if left >= right {
            return left;
        }
        places.swap(left, right);
        left += 1;
    }
}
