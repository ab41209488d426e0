import FoundationEssentials
import Glibc

/// The process that writes a mailbox file, for the information of waiting ones. It is noted in a separate file, because
/// a lock does not name its owner.
struct MailFileOwner {
    private let path: String

    /// Creates the note for the mailbox file at `path`.
    init(ofFileAt path: String) {
        self.path = path + ".owner"
    }

    /// The content of the note, such as `process 4711 on mail-1`, or `nil` if there is none.
    var noted: String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 200)
        let count = read(descriptor, &buffer, buffer.count)
        let text = buffer[..<max(0, count)].prefix { $0 != UInt8(ascii: "\n") }
        return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
    }

    /// Notes this process. A failure is ignored, because mail can be written without the note.
    func noteSelf() {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let process = ProcessInfo.processInfo
        let text = Array("process \(process.processIdentifier) on \(process.hostName)\n".utf8)
        _ = text.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }
}
