#[maser::task]
unsafe extern "C" fn print(format: u8, arguments: ...) {}

fn main() {}
