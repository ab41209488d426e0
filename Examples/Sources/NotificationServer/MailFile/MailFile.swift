import BlockingExecutor
import EventBus
import Glibc
import Logging
import Synchronization

/// A mailbox file (RFC 4155, lines end with LF) to which each message is appended once.
///
/// One process writes it at a time: ``open()`` has to succeed first. A message is on disk before ``send(_:)`` returns,
/// and concurrent messages share the wait for the disk. The incomplete end that a killed process has left is removed
/// when the file is opened.
actor MailFile: Mailer {
    private enum State {
        case closed
        case waiting(owner: String?)
        case open
    }

    /// The path of the file.
    nonisolated let path: String
    private let executor = BlockingExecutor(name: "mail-file")
    private let logger: Logger
    private let state = Mutex(State.closed)

    private let openStorage: @Sendable (String) throws(MailFileError) -> (any MailStorage)?
    private var storage: (any MailStorage)?
    /// The messages on disk.
    private var kept: Set<MessageID> = []
    /// The length of these messages in the file.
    private var keptLength = 0
    /// The messages that were written after them and may not be on disk yet.
    private var written: [MessageID] = []
    private var writtenLength = 0
    /// A Boolean value indicating whether the file may contain more than is known, because a write failed.
    private var isTorn = false

    /// Creates a mail file for `path` without accessing it.
    ///
    /// - Parameters:
    ///   - path: The path of the file.
    ///   - logger: The logger.
    ///   - openStorage: A closure that opens the file, or returns `nil` if another process writes it.
    init(
        path: String,
        logger: Logger,
        openStorage: @escaping @Sendable (String) throws(MailFileError) -> (any MailStorage)? = {
            path throws(MailFileError) in try MailFileHandle.open(path)
        }
    ) {
        self.path = path
        self.logger = logger
        self.openStorage = openStorage
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// The health: whether messages can be written, and otherwise the process that writes the file.
    nonisolated var health: ComponentHealth {
        let reason: String? =
            switch state.withLock({ $0 }) {
            case .open: nil
            case .closed: "\(path) is not open yet"
            case .waiting(let owner): "\(path) is written by \(owner ?? "another process"); waiting for its end"
            }
        return ComponentHealth(name: "mail.file", status: reason == nil ? .ready : .notReady, reason: reason)
    }

    /// Locks the file, removes an incomplete end, and reads the ids of its messages.
    ///
    /// - Returns: `true` if the file is open, and `false` while another process writes it.
    /// - Throws: ``MailFileError``.
    func open() throws(MailFileError) -> Bool {
        if storage != nil { return true }
        guard let storage = try openStorage(path) else {
            let name = MailFileOwner(ofFileAt: path).noted
            let isNews = state.withLock { state in
                defer { state = .waiting(owner: name) }
                if case .waiting = state { return false } else { return true }
            }
            if isNews {
                logger.notice(
                    "another process writes the mail; waiting for its end",
                    metadata: ["file": "\(path)", "owner": "\(name ?? "unknown")"]
                )
            }
            return false
        }
        var scanner = MailFileScanner(path: path)
        var length = 0
        try storage.read { bytes throws(MailFileError) in
            length += bytes.count
            try scanner.read(bytes)
        }
        scanner.finish()
        if length > scanner.wholeLength {
            logger.notice(
                "a message that was not finished is cut off",
                metadata: [
                    "file": "\(path)", "from": "\(scanner.wholeLength)", "bytes": "\(length - scanner.wholeLength)",
                ]
            )
            try storage.cut(to: scanner.wholeLength)
        }
        try storage.append(Array(repeating: UInt8(ascii: "\n"), count: scanner.missingLineEnds))
        // The last writes of another process may not have reached the disk before it was killed.
        try storage.synchronize()
        try storage.synchronizeFolder()
        kept = scanner.messageIDs
        keptLength = scanner.wholeLength + scanner.missingLineEnds
        writtenLength = keptLength
        self.storage = storage
        state.withLock { $0 = .open }
        return true
    }

    /// Appends a message, unless the file contains it already. Returns when it is on disk.
    ///
    /// - Throws: ``MailFileError``.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool {
        guard let storage else { throw MailFileError.notOpen(path: path) }
        if kept.contains(message.id) { return false }
        let isNew = !written.contains(message.id)
        if isNew { try append(message, to: storage) }
        // Concurrent messages are written too, and the first one to continue synchronizes the file for all of them.
        await Task.yield()
        if !kept.contains(message.id) { try keep(in: storage) }
        guard kept.contains(message.id) else {
            throw MailFileError.system(path: path, call: "cannot be brought to the disk", code: EIO)
        }
        return isNew
    }

    private func append(_ message: MailMessage, to storage: any MailStorage) throws(MailFileError) {
        if isTorn {
            try storage.cut(to: writtenLength)
            isTorn = false
        }
        let bytes = Array(message.mailboxText.utf8)
        do throws(MailFileError) {
            try storage.append(bytes)
        } catch {
            isTorn = true
            throw error
        }
        written.append(message.id)
        writtenLength += bytes.count
    }

    /// Synchronizes the written messages to disk. If that fails, none of them counts, because the system may have
    /// dropped them and would not report it a second time.
    private func keep(in storage: any MailStorage) throws(MailFileError) {
        do throws(MailFileError) {
            try storage.synchronize()
        } catch {
            written = []
            writtenLength = keptLength
            isTorn = true
            throw error
        }
        kept.formUnion(written)
        keptLength = writtenLength
        written = []
    }
}

extension MailMessage {
    /// The message in the format of a mailbox file, with the lines before and after it. Its `Content-Length`
    /// distinguishes a complete message from a truncated one.
    var mailboxText: String {
        let length = body.lines.reduce(0) { $0 + $1.utf8.count + 1 }
        let separator = "From \(sender) \(date.separator)\n"
        return separator + text(.lf, further: [HeaderField("Content-Length", structured: "\(length)")]) + "\n"
    }
}
