//! `counter`: a sum to which every replica adds. Spec 5.

use crate::fault;
use crate::limits::INT_MAX;
use crate::value::Value;

/// The join of two cells of one author: the later one, then the greater encoding. (RULES-9)
pub fn join(a: (u64, Value), b: (u64, Value)) -> (u64, Value) {
    let order = a.0.cmp(&b.0).then_with(|| a.1.encoded().cmp(&b.1.encoded()));
    if order.is_lt() { b } else { a }
}

/// An author's sum after another amount; none where it leaves the range of integers. (RULES-10)
pub fn sum(before: i64, amount: i64) -> Option<i64> {
    before.checked_add(amount).filter(|sum| (-INT_MAX..=INT_MAX).contains(sum))
}

/// What a counter shows: the sum of its cells, kept in the range of integers. (RULES-11)
pub fn view(sums: impl Iterator<Item = i64>) -> i64 {
    let total: i128 = sums.map(i128::from).take(if fault::is("rules-shows-one-sum") { 1 } else { usize::MAX }).sum();
    total.clamp(i128::from(-INT_MAX), i128::from(INT_MAX)) as i64
}
