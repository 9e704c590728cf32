//! Benchmarks of the reference.
