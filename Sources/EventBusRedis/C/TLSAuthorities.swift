import COpenSSL
import EventBus
import Glibc

/// The trusted authorities of TLS sessions, which are read once and again after their file has changed.
///
/// Reading a list of authorities takes tens of milliseconds, which is too long for a thread that serves connections.
enum TLSAuthorities {
    /// The state of a file at one time. It differs after a change.
    private struct Version: Equatable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int

        init(path: String) {
            var info = stat()
            guard stat(path, &info) == 0 else {
                (inode, size, seconds, nanoseconds) = (0, 0, 0, 0)
                return
            }
            (inode, size) = (UInt64(info.st_ino), Int64(info.st_size))
            (seconds, nanoseconds) = (info.st_mtim.tv_sec, info.st_mtim.tv_nsec)
        }
    }

    private final class Store: Sendable {
        // Safe because the store is complete before it is shared, is not changed afterwards, and OpenSSL locks its own
        // reads of it.
        nonisolated(unsafe) let handle: OpaquePointer
        let versions: [Version]

        init(_ handle: OpaquePointer, _ versions: [Version]) {
            self.handle = handle
            self.versions = versions
        }

        deinit { X509_STORE_free(handle) }
    }

    /// The stores by the path of the list, or by an empty path for the system's.
    private static let stores = Locked<[String: Store]>([:])

    /// Returns a Boolean value indicating whether ``use(_:in:)`` has to read files.
    static func needsReading(_ settings: RedisConfiguration.TLS) -> Bool {
        !settings.insecureSkipsVerification && current(settings.caFile) == nil
    }

    /// Reads the authorities if they have not been read or have changed.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the file that cannot be
    ///   used.
    static func read(_ settings: RedisConfiguration.TLS) throws(EventBusError) {
        _ = try store(settings.caFile)
    }

    /// Lets the sessions of a context trust the authorities of `settings`.
    static func use(_ settings: RedisConfiguration.TLS, in context: OpaquePointer) throws(EventBusError) {
        // The context takes a reference of its own.
        SSL_CTX_set1_cert_store(context, try store(settings.caFile).handle)
    }

    private static func current(_ path: String?) -> Store? {
        guard let store = stores.withLock({ $0[path ?? ""] }), store.versions == versions(path) else { return nil }
        return store
    }

    private static func store(_ path: String?) throws(EventBusError) -> Store {
        if let current = current(path) { return current }
        // Before reading, so that a change meanwhile is noticed.
        let versions = versions(path)
        guard let handle = X509_STORE_new() else { throw EventBusError(.unavailable, "no memory for TLS") }
        let store = Store(handle, versions)
        ERR_clear_error()
        if let path {
            try TLSContext.check(
                X509_STORE_load_locations(handle, path, nil),
                "tls.caFile \(path.quotedForError)"
            )
        } else {
            try TLSContext.check(X509_STORE_set_default_paths(handle), "the system's list of authorities")
        }
        stores.withLock { $0[path ?? ""] = store }
        return store
    }

    private static func versions(_ path: String?) -> [Version] {
        if let path { return [Version(path: path)] }
        let defaults = [
            (X509_get_default_cert_file_env(), X509_get_default_cert_file()),
            (X509_get_default_cert_dir_env(), X509_get_default_cert_dir()),
        ]
        return defaults.map { variable, path in
            let path = variable.flatMap { getenv($0) }.map { String(cString: $0) } ?? path.map { String(cString: $0) }
            return Version(path: path ?? "")
        }
    }
}
