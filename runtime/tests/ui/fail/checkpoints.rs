struct NoSave;

#[maser::actor(checkpoint_interval = 5)]
impl NoSave {
    fn new() -> Self {
        NoSave
    }
    fn restore(_saved: u64) -> Option<Self> {
        None
    }
}

struct NoRestore;

#[maser::actor(checkpoint_interval = 5)]
impl NoRestore {
    fn new() -> Self {
        NoRestore
    }
    fn save(&self) -> u64 {
        7
    }
}

struct Changes;

#[maser::actor(checkpoint_interval = 5)]
impl Changes {
    fn new() -> Self {
        Changes
    }
    fn save(&mut self) -> u64 {
        7
    }
    fn restore(_saved: u64) -> Option<Self> {
        None
    }
}

struct OtherType;

#[maser::actor(checkpoint_interval = 5)]
impl OtherType {
    fn new() -> Self {
        OtherType
    }
    fn save(&self) -> u64 {
        7
    }
    fn restore(_saved: String) -> Option<Self> {
        None
    }
}

struct MakesNone;

#[maser::actor(checkpoint_interval = 5)]
impl MakesNone {
    fn new() -> Self {
        MakesNone
    }
    fn save(&self) -> u64 {
        7
    }
    fn restore(_saved: u64) -> u64 {
        7
    }
}

struct Never;

#[maser::actor(checkpoint_interval = 0)]
impl Never {
    fn new() -> Self {
        Never
    }
}

struct Here;

#[maser::actor(local, max_restarts = 1)]
impl Here {
    fn new() -> Self {
        Here
    }
}

#[maser::task(retry_errors, local)]
fn local_task() {}

#[maser::task(retry_errors = std::fmt::Error)]
fn not_a_list() {}

#[maser::task(stream, retry_errors)]
fn stream() -> Vec<u8> {
    Vec::new()
}

fn main() {}
