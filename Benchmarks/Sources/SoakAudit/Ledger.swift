import Glibc

/// The entries of one worker, of all its processes, in order.
package struct Ledger: Sendable {
    /// The worker's name.
    package var worker: String
    /// The entries.
    package var records: [LedgerRecord]

    /// Creates a ledger.
    package init(worker: String, records: [LedgerRecord]) {
        self.worker = worker
        self.records = records
    }

    /// Reads a ledger from a file. An incomplete entry at the end is ignored.
    package init(worker: String, file: String) {
        var records: [LedgerRecord] = []
        let bytes = readFile(file)
        records.reserveCapacity(bytes.count / LedgerRecord.size)
        bytes.withUnsafeBytes { bytes in
            var offset = 0
            while let record = LedgerRecord(bytes, at: offset) {
                records.append(record)
                offset += LedgerRecord.size
            }
        }
        self.init(worker: worker, records: records)
    }
}

/// Returns the contents of a file, which are empty if it cannot be read.
package func readFile(_ path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return bytes }
        bytes += buffer[..<count]
    }
}
