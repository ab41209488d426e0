import EventBus
import Glibc
import Logging
import Synchronization

/// A mailbox file (RFC 4155, lines end with LF) to which messages are appended, each once.
///
/// One process writes it at a time: ``open()`` has to succeed first. A message is on the disk before ``send(_:)``
/// returns, and those that come at the same time share the wait for it. What a process left behind that was killed while
/// it wrote is cut off when the file is opened.
actor MailFile: Mailer {
    private enum State {
        case closed
        case waiting(owner: String?)
        case open
    }

    /// Where the file is.
    nonisolated let path: String
    private let executor = BlockingExecutor(name: "mail-file")
    private let logger: Logger
    private let state = Mutex(State.closed)

    private let openStorage: @Sendable (String) throws(MailFileError) -> (any MailStorage)?
    private var storage: (any MailStorage)?
    /// The messages on the disk.
    private var kept: Set<MessageID> = []
    /// How much of the file they are.
    private var keptLength = 0
    /// The messages that are written behind them, and are not known to be on the disk.
    private var written: [MessageID] = []
    private var writtenLength = 0
    /// Whether there may be more in the file than is known of: a write failed.
    private var isTorn = false

    /// The file at `path`, which is not touched yet.
    ///
    /// - Parameters:
    ///   - path: Where the file is, or will be.
    ///   - logger: Where it logs.
    ///   - openStorage: What opens it; `nil` where another process writes it.
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

    /// Whether messages can be written, and if not who keeps the file.
    nonisolated var health: ComponentHealth {
        let reason: String? =
            switch state.withLock({ $0 }) {
            case .open: nil
            case .closed: "\(path) is not open yet"
            case .waiting(let owner): "\(path) is written by \(owner ?? "another process"); waiting for its end"
            }
        return ComponentHealth(name: "mail.file", status: reason == nil ? .ready : .notReady, reason: reason)
    }

    /// Locks the file, cuts off what was not finished, and learns which messages it holds.
    ///
    /// - Returns: Whether the file is open; false while another process writes it.
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
        // What another process wrote last may not have come to the disk before it was killed.
        try storage.synchronize()
        try storage.synchronizeFolder()
        kept = scanner.messageIDs
        keptLength = scanner.wholeLength + scanner.missingLineEnds
        writtenLength = keptLength
        self.storage = storage
        state.withLock { $0 = .open }
        return true
    }

    /// Appends a message, unless the file holds it already; returns when it is on the disk.
    ///
    /// - Throws: ``MailFileError``.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool {
        guard let storage else { throw MailFileError.notOpen(path: path) }
        if kept.contains(message.id) { return false }
        let isNew = !written.contains(message.id)
        if isNew { try append(message, to: storage) }
        // Those who come meanwhile write as well, and whoever is first then goes to the disk for all.
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

    /// Brings everything that is written to the disk. Where that fails, nothing of it counts: the system may have
    /// forgotten it, and would not say so a second time.
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
    /// The message as it stands in a mailbox file, with the lines before and behind it. Its `Content-Length` tells a
    /// whole message from one that was cut off.
    var mailboxText: String {
        let length = body.lines.reduce(0) { $0 + $1.utf8.count + 1 }
        let separator = "From \(sender) \(date.separator)\n"
        return separator + text(.lf, further: [HeaderField("Content-Length", structured: "\(length)")]) + "\n"
    }
}
