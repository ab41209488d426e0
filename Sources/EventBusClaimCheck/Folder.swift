internal import EventBus
internal import Glibc

/// A folder whose files are named by the caller, which never contain a slash.
final class Folder: Sendable {
    /// The beginning of the names of files that are being written.
    static let temporaryPrefix = ".partial-"

    private let path: String
    private let descriptor: CInt

    init(_ path: String) throws(EventBusError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw EventBusError(
                .invalidConfiguration,
                "the folder \(path.quotedForError) for bodies cannot be opened: \(Self.reason(errno)); create it first"
            )
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Writes a file that appears under its name when it is complete and on disk.
    func write(_ bytes: [UInt8], to name: String) throws {
        let partial =
            Self.temporaryPrefix + name + "-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        let file = openat(
            descriptor,
            partial,
            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
            mode_t(0o600)
        )
        guard file >= 0 else { throw failure("create", partial) }
        do {
            defer { close(file) }
            try writeAll(bytes, to: file, name)
            guard fsync(file) == 0 else { throw failure("write", name) }
            guard renameat(descriptor, partial, descriptor, name) == 0 else {
                throw failure("rename", partial)
            }
        } catch {
            unlinkat(descriptor, partial, 0)
            throw error
        }
        guard fsync(descriptor) == 0 else { throw failure("write", name) }
    }

    private func writeAll(_ bytes: [UInt8], to file: CInt, _ name: String) throws {
        try bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let count = Glibc.write(
                    file,
                    buffer.baseAddress.map { $0 + written },
                    buffer.count - written
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failure("write", name) }
                written += count
            }
        }
    }

    /// Returns the content of a file of at most `limit` bytes, or `nil` if there is none.
    func read(_ name: String, limit: Int) throws -> [UInt8]? {
        // Not blocking, because the name may be that of a pipe.
        let file = openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("open", name)
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure("read", name) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= limit else {
            throw EventBusError(
                .unavailable,
                "\(name) in \(path.quotedForError) has \(status.st_size) bytes, \(limit) are allowed, or is no file"
            )
        }
        let size = Int(status.st_size)
        var problem: EventBusError?
        let content = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let received = Glibc.read(file, buffer.baseAddress.map { $0 + count }, size - count)
                if received < 0, errno == EINTR { continue }
                if received < 0 { problem = failure("read", name) }
                guard received > 0 else { return }
                count += received
            }
        }
        if let problem { throw problem }
        return content
    }

    /// Removes a file, if there is one.
    func remove(_ name: String) throws {
        guard unlinkat(descriptor, name, 0) == 0 || errno == ENOENT else {
            throw failure("remove", name)
        }
    }

    /// Removes the files whose names are accepted and that were last written longer ago than `age`.
    ///
    /// - Returns: The number of removed files.
    func removeAll(olderThan age: Duration, where isAccepted: (String) -> Bool) throws -> Int {
        // Another descriptor, because the position in a folder belongs to its descriptor.
        let listed = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard listed >= 0 else { throw failure("list", ".") }
        guard let entries = fdopendir(listed) else {
            defer { close(listed) }
            throw failure("list", ".")
        }
        defer { closedir(entries) }
        let limit = time(nil) - Int(age.clampedToLongest.components.seconds)
        var removed = 0
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 1) { String(cString: $0) }
            }
            var status = stat()
            guard isAccepted(name), fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                status.st_mode & S_IFMT == S_IFREG, status.st_mtim.tv_sec < limit
            else { continue }
            try remove(name)
            removed += 1
        }
        return removed
    }

    private func failure(_ action: String, _ name: String) -> EventBusError {
        let reason = Self.reason(errno)
        return EventBusError(
            .unavailable,
            "cannot \(action) \(name) in \(path.quotedForError): \(reason)"
        )
    }

    private static func reason(_ code: CInt) -> String { String(cString: strerror(code)) }
}
