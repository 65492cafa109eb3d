//! Files without a name that several processes map, and their way to another process.
//!
//! - SF-1 a file is sealed once its owner has mapped it: nobody can shrink, grow or write it any
//!   more, nor map it for writing, nor take the seals off; the owner's own mapping stays writable.
//!   The seals also keep the owner from punching holes, so a file goes back whole.
//! - SF-2 descriptors that arrive are input: seals and size are looked at before anything is
//!   mapped.
//! - SF-5 a file that several processes write is sealed against shrinking, growing and further seals
//!   alone. Whoever holds it may still punch holes, which gives zeros and not a fault.
//! - SF-3 every descriptor is close-on-exec and owned by a value that closes it.
//! - SF-6 no file is made larger than the process may make files (`RLIMIT_FSIZE`): the kernel does
//!   not only refuse that but sends SIGXFSZ, which ends the process.
#![allow(unsafe_code, reason = "maps and unmaps memory")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr::NonNull;

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Pages that a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// The machine's own, 4 KiB on most; huge ones where the kernel finds it fit.
    Plain,
    /// 2 MiB, from the reserved pool.
    Huge2MiB,
    /// 1 GiB, from the reserved pool.
    Huge1GiB,
}

impl PageKind {
    /// Bytes of one page.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Plain => rustix::param::page_size(),
            Self::Huge2MiB => 2 << 20,
            Self::Huge1GiB => 1 << 30,
        }
    }
}

/// All the seals of SF-1.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::FUTURE_WRITE)
    .union(SealFlags::SEAL);

/// All the seals of SF-5.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// Most descriptors that travel in one message.
pub const DESCRIPTORS_MAX: usize = 16;

/// Makes an empty file of such pages.
///
/// # Errors
/// What the kernel said: `EINVAL` or `ENODEV` where it has no such pages, `ENOSYS` where a sandbox
/// refuses the call; `EFBIG` where the process may not make files of that size (SF-6).
pub fn create(name: &str, pages: PageKind, bytes: usize) -> io::Result<OwnedFd> {
    let kind = match pages {
        PageKind::Plain => MemfdFlags::empty(),
        PageKind::Huge2MiB => MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB,
        PageKind::Huge1GiB => MemfdFlags::HUGETLB | MemfdFlags::HUGE_1GB,
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | kind;
    let file = rustix::fs::memfd_create(name, flags)?;
    set_size(&file, bytes)?;
    Ok(file)
}

/// Gives a new file its size (SF-6).
fn set_size(file: &OwnedFd, bytes: usize) -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| limit < bytes as u64) {
        return Err(Errno::FBIG.into());
    }
    Ok(rustix::fs::ftruncate(file, bytes as u64)?)
}

/// The size of its pages if a file lies on a file system of huge pages.
#[must_use]
pub fn huge_file_pages(file: BorrowedFd<'_>) -> Option<PageKind> {
    /// `HUGETLBFS_MAGIC`.
    const HUGE: u64 = 0x9584_58f6;
    let system = rustix::fs::fstatfs(file).ok()?;
    // The fields' types differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "not the same type everywhere")]
    let (magic, page_bytes) = (system.f_type as u64, system.f_bsize as u64);
    let kinds = [PageKind::Huge2MiB, PageKind::Huge1GiB];
    let kind = kinds
        .into_iter()
        .find(|kind| kind.bytes() as u64 == page_bytes);
    kind.filter(|_| magic == HUGE)
}

/// Makes a file without a name in a directory, which only this user can read and write. Files there
/// cannot be sealed.
///
/// # Errors
/// What the kernel said.
pub fn create_in(directory: &Path, bytes: usize) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match rustix::fs::open(directory, flags | OFlags::TMPFILE, mode) {
        // Before Linux 5.14 such a file system knew no files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let name = format!("maser-{}-{:p}", std::process::id(), &raw const bytes);
            let path = directory.join(name);
            let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
            rustix::fs::unlink(&path)?;
            file
        }
        other => other?,
    };
    set_size(&file, bytes)?;
    Ok(file)
}

/// Takes the memory of a plain file now, so that no later touch of it can fail.
///
/// # Errors
/// `ENOSPC` or `ENOMEM` where there is not enough.
pub fn allocate(file: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes as u64) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Puts the seals of SF-1 on a file whose owner has mapped it.
///
/// # Errors
/// What the kernel said; older than Linux 5.1 it knows no such seal.
pub fn seal(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(file, SEALS)?)
}

/// Whether the file has all the seals of SF-1.
///
/// # Errors
/// What the kernel said: the descriptor is no file that can be sealed.
pub fn is_sealed(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_get_seals(file)?.contains(SEALS))
}

/// Puts the seals of SF-5 on a file that several processes will write.
///
/// # Errors
/// What the kernel said.
pub fn seal_size(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(file, SIZE_SEALS)?)
}

/// Whether the file has all the seals of SF-5.
///
/// # Errors
/// What the kernel said: the descriptor is no file that can be sealed.
pub fn is_size_sealed(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_get_seals(file)?.contains(SIZE_SEALS))
}

/// Bytes of a file.
///
/// # Errors
/// What the kernel said.
pub fn file_bytes(file: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0))
}

/// The numbers of a file's file system and of the file on it.
///
/// # Errors
/// What the kernel said.
pub fn file_number(file: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// A file's memory in this process.
///
/// - SF-4 a `View` owns its range: nobody else unmaps it, and dropping it does.
#[derive(Debug)]
pub struct View {
    start: NonNull<u8>,
    bytes: usize,
    writable: bool,
}

// SAFETY: SF-4, the range belongs to the value and to no thread.
unsafe impl Send for View {}
// SAFETY: the shared methods only tell where the range lies.
unsafe impl Sync for View {}

impl View {
    /// Maps `bytes` of `file`. The pages of a hugetlb file are reserved by it.
    ///
    /// # Errors
    /// `ENOMEM` where the pool of huge pages, or the address space, is too small.
    pub fn map(file: BorrowedFd<'_>, bytes: usize, writable: bool) -> io::Result<Self> {
        let mut protection = ProtFlags::READ;
        if writable {
            protection |= ProtFlags::WRITE;
        }
        // SAFETY: no address is asked for, so no existing mapping is touched.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                bytes,
                protection,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            bytes,
            writable,
        })
    }

    /// First byte of the range.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length of the range in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Asks for huge pages under a plain file; advice only.
    pub fn advise_huge(&self) {
        // SAFETY: SF-4; the advice changes no contents. A kernel that does not know it refuses it.
        let _advised = unsafe {
            rustix::mm::madvise(
                self.start.as_ptr().cast(),
                self.bytes,
                Advice::LinuxHugepage,
            )
        };
    }

    /// Keeps the range out of core dumps, which it would make as large as itself; advice only.
    pub fn leave_out_of_dumps(&self) {
        // SAFETY: SF-4; the advice changes no contents.
        let _advised = unsafe {
            rustix::mm::madvise(
                self.start.as_ptr().cast(),
                self.bytes,
                Advice::LinuxDontDump,
            )
        };
    }

    /// Faults the pages of `from..from + bytes` in, so that no later touch of them does.
    ///
    /// # Errors
    /// `ENOMEM` or `EFAULT` where there is no page to be had; `InvalidInput` outside of the range.
    pub fn populate(&self, from: usize, bytes: usize) -> io::Result<()> {
        let inside = from.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        let advice = if self.writable {
            Advice::LinuxPopulateWrite
        } else {
            Advice::LinuxPopulateRead
        };
        if !inside {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            // SAFETY: SF-4, inside the range; the contents stay.
            let populated = unsafe {
                let start = self.start.as_ptr().add(from).cast();
                rustix::mm::madvise(start, bytes, advice)
            };
            match populated {
                Err(Errno::INTR | Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: SF-4.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Sends `bytes` with descriptors.
///
/// # Errors
/// What the kernel said; `InvalidInput` for no bytes, or more than [`DESCRIPTORS_MAX`] descriptors.
pub fn send(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    send_with(socket, bytes, files, SendFlags::NOSIGNAL)
}

/// As [`send`], and 0 if the socket has no room; the descriptors have not gone then.
///
/// # Errors
/// As [`send`].
pub fn try_send(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    match send_with(socket, bytes, files, flags) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

fn send_with(
    socket: &UnixStream,
    bytes: &[u8],
    files: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    if bytes.is_empty() || files.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let parts = [IoSlice::new(bytes)];
        match rustix::net::sendmsg(socket.as_fd(), &parts, &mut control, flags) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Receives bytes and the descriptors that came with the first of them; 0 bytes at the end.
///
/// # Errors
/// What the kernel said; `InvalidData` if descriptors were lost on the way (the limit of open files,
/// or more than [`DESCRIPTORS_MAX`] of them).
pub fn receive(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket, bytes, RecvFlags::empty())
}

/// As [`receive`], of what is there now.
///
/// # Errors
/// As [`receive`], and `WouldBlock` if nothing is.
pub fn try_receive(socket: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket, bytes, RecvFlags::DONTWAIT)
}

fn receive_with(
    socket: &UnixStream,
    bytes: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket.as_fd(), &mut parts, &mut control, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            files.extend(some);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((received.bytes, files))
}
