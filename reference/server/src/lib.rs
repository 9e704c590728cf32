//! Syncline.
