#[maser::task]
fn forever() -> ! {
    loop {}
}

fn main() {}
