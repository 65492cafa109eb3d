//! Fuzz targets of maser-transport: what [`targets`] does with any bytes, one program each.

pub mod targets;
