#[maser::task]
unsafe fn trust_me() {}

#[maser::task]
extern "C" fn callback() {}

fn main() {}
