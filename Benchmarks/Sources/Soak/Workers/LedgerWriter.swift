import Glibc
import SoakAudit

/// The ledger of a worker. Each entry is appended by one call of `write`, so that it survives a kill of the process.
final class LedgerWriter: Sendable {
    private let descriptor: Int32

    /// Opens the file, and records the start of the process.
    init(file: String) throws {
        descriptor = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SoakProblem("\(file) cannot be opened: \(errno)") }
        record(.started, extra: UInt64(getpid()))
    }

    /// Appends an entry.
    func record(_ kind: LedgerRecord.Kind, number: UInt64 = 0, extra: UInt64 = 0, code: UInt8 = 0) {
        let bytes = LedgerRecord(time: LedgerRecord.now(), kind: kind, number: number, extra: extra, code: code).bytes
        let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        // Without its ledger a worker would falsify the audit.
        guard written == bytes.count else { fatalError("the ledger cannot be written: \(errno)") }
    }
}
