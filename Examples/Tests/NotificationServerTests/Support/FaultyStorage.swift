import Glibc
import Synchronization

@testable import NotificationServer

/// An in-memory mailbox that fails on request.
final class FaultyStorage: MailStorage, Sendable {
    /// The counts of its calls.
    struct Counts {
        var synchronized = 0
    }

    private struct State {
        var bytes: [UInt8] = []
        var counts = Counts()
        var bytesOfFailingAppend: Int?
        var failsToSynchronize = false
        var failsToCut = false
    }

    private let state = Mutex(State())

    /// The stored bytes.
    var bytes: [UInt8] { state.withLock { $0.bytes } }
    var counts: Counts { state.withLock { $0.counts } }

    /// A closure that opens it, as for a mail file.
    var opener: @Sendable (String) throws(MailFileError) -> (any MailStorage)? {
        { _ throws(MailFileError) in self }
    }

    func failNextAppend(after length: Int) { state.withLock { $0.bytesOfFailingAppend = length } }
    func failNextSynchronization() { state.withLock { $0.failsToSynchronize = true } }
    func failNextCut() { state.withLock { $0.failsToCut = true } }

    func read(_ body: (ArraySlice<UInt8>) throws(MailFileError) -> Void) throws(MailFileError) {
        try body(bytes[...])
    }

    func append(_ bytes: [UInt8]) throws(MailFileError) {
        let fails = state.withLock { state in
            defer { state.bytesOfFailingAppend = nil }
            state.bytes += bytes.prefix(state.bytesOfFailingAppend ?? bytes.count)
            return state.bytesOfFailingAppend != nil
        }
        if fails { throw .system(path: "mail", call: "cannot be written", code: ENOSPC) }
    }

    func cut(to length: Int) throws(MailFileError) {
        let fails = state.withLock { state in
            defer { state.failsToCut = false }
            if !state.failsToCut { state.bytes.removeLast(state.bytes.count - length) }
            return state.failsToCut
        }
        if fails { throw .system(path: "mail", call: "cannot be cut", code: EIO) }
    }

    func synchronize() throws(MailFileError) {
        let fails = state.withLock { state in
            defer { state.failsToSynchronize = false }
            state.counts.synchronized += 1
            return state.failsToSynchronize
        }
        if fails { throw .system(path: "mail", call: "cannot be brought to the disk", code: EIO) }
    }

    func synchronizeFolder() {}
}
