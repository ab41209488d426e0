public import EventBus

/// A store for the bodies of large events in a folder, which several services may share.
///
/// ```swift
/// let store = try FileClaimCheckStore(directory: "/var/lib/shop/bodies")
/// var configuration = EventBusConfiguration()
/// configuration.claimCheck = ClaimCheck(store: store)
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
///
/// Each body is a file that only its owner may read. It appears under its name when it is complete and on disk. On a
/// network file system, all services need the same folder and the same user. A task that is cancelled or whose deadline passes
/// does not wait for a file system that hangs. Up to 16 calls run at once, and further ones wait for them.
public struct FileClaimCheckStore: ClaimCheckStore {
    private let folder: Folder
    private let calls = BlockingCalls(limit: 16)
    private let maximumSize: Int

    /// Creates a store in an existing folder.
    ///
    /// ```swift
    /// let store = try FileClaimCheckStore(directory: "/srv/shop/payloads")
    /// configuration.claimCheck = ClaimCheck(store: store)
    /// ```
    ///
    /// - Parameters:
    ///   - directory: The path of the folder. It should contain nothing else, and its owner alone should have access.
    ///   - maximumSize: The maximum size of a body, in bytes. A publish with a larger one throws `.tooLarge`. Defaults to
    ///     256 MiB.
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration` if the folder cannot be opened.
    public init(directory: String, maximumSize: Int = 256 << 20) throws(EventBusError) {
        self.folder = try Folder(directory)
        self.maximumSize = maximumSize
    }

    /// Stores a body in a file of this name.
    public func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        guard body.count <= maximumSize else {
            throw EventBusError(
                .tooLarge,
                "the body has \(body.count) bytes, the store takes \(maximumSize); raise maximumSize everywhere"
            )
        }
        try await calls.run { [folder] in try folder.write(body, to: name.rawValue) }
    }

    /// Returns the content of the file of this name, or `nil` if there is none.
    public func get(_ name: ClaimCheckName) async throws -> [UInt8]? {
        try await calls.run { [folder, maximumSize] in try folder.read(name.rawValue, limit: maximumSize) }
    }

    /// Removes the file of this name, if there is one.
    public func remove(_ name: ClaimCheckName) async throws {
        try await calls.run { [folder] in try folder.remove(name.rawValue) }
    }

    /// Removes the bodies that were stored longer ago than `age`, and what interrupted writes have left behind. Other files
    /// remain.
    ///
    /// ```swift
    /// let removed = try await store.removeAll(olderThan: .seconds(30 * 86_400))
    /// ```
    ///
    /// - Returns: The number of removed files.
    @discardableResult
    public func removeAll(olderThan age: Duration) async throws -> Int {
        try await calls.run { [folder] in
            try folder.removeAll(olderThan: age) {
                $0.hasPrefix(Folder.temporaryPrefix) || ClaimCheckName(rawValue: $0) != nil
            }
        }
    }
}
