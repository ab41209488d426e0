import Glibc

/// A mailbox file that only this process writes. It is locked from opening until this object is released.
final class MailFileHandle: MailStorage {
    let path: String
    private let descriptor: Int32

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit {
        // Closing the descriptor releases the lock.
        close(descriptor)
    }

    /// Opens the file, which is created if it does not exist. Returns `nil` if another process has locked it.
    static func open(_ path: String) throws(MailFileError) -> MailFileHandle? {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system(path: path, call: "cannot be opened", code: errno) }
        let handle = MailFileHandle(path: path, descriptor: descriptor)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            if code == EWOULDBLOCK || code == EINTR { return nil }
            throw .system(path: path, call: "cannot be locked", code: code)
        }
        MailFileOwner(ofFileAt: path).noteSelf()
        return handle
    }

    /// Reads the whole file in pieces.
    func read(_ body: (ArraySlice<UInt8>) throws(MailFileError) -> Void) throws(MailFileError) {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var position: off_t = 0
        while true {
            let count = pread(descriptor, &buffer, buffer.count, position)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot be read") }
            if count == 0 { return }
            try body(buffer[..<count])
            position += off_t(count)
        }
    }

    /// Appends bytes to the file.
    func append(_ bytes: [UInt8]) throws(MailFileError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot be written") }
            rest = rest.dropFirst(count)
        }
    }

    /// Truncates the file to `length`.
    func cut(to length: Int) throws(MailFileError) {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw failure("cannot be cut") }
    }

    /// Waits until the written bytes are on disk.
    func synchronize() throws(MailFileError) {
        guard fsync(descriptor) == 0 else { throw failure("cannot be brought to the disk") }
    }

    /// Waits until the directory entry of the file is on disk.
    func synchronizeFolder() throws(MailFileError) {
        let end = path.lastIndex(of: "/")
        let folder = end.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(path: folder, call: "cannot be opened", code: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw .system(path: folder, call: "cannot be brought to the disk", code: errno)
        }
    }

    private func failure(_ call: String) -> MailFileError {
        .system(path: path, call: call, code: errno)
    }
}
