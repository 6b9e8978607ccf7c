//! Code that the fuzz targets share.

pub mod mutate;
pub mod reviews;
