import FoundationEssentials
import Glibc

/// Who writes a mailbox file, for those who wait for it: noted in a file beside it, since a lock does not tell.
struct MailFileOwner {
    private let path: String

    /// The note beside the mailbox file at `path`.
    init(ofFileAt path: String) {
        self.path = path + ".owner"
    }

    /// What the note says, such as `process 4711 on mail-1`; `nil` if there is none.
    var noted: String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 200)
        let count = read(descriptor, &buffer, buffer.count)
        let text = buffer[..<max(0, count)].prefix { $0 != UInt8(ascii: "\n") }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }

    /// Notes this process. That it cannot be noted is no reason not to write mail.
    func noteSelf() {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let process = ProcessInfo.processInfo
        let text = Array("process \(process.processIdentifier) on \(process.hostName)\n".utf8)
        _ = text.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }
}
